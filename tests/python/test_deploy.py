"""What docs/deploy says of the program: its options, and times that go together. The schemas are for `make deploy`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from echoserver.cli.arguments import DEFAULTS, parser

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"


@pytest.fixture
def parts() -> dict[str, Any]:
    """The objects, by their kind."""
    return {part["kind"]: part for part in YAML(typ="safe").load_all(DEPLOY / "kubernetes.yaml")}


def arguments(parts: dict[str, Any]) -> dict[str, Any]:
    """The options of the program, as image and pod give them."""
    entry = re.search(r"^ENTRYPOINT (.*)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert entry
    name, *first = json.loads(entry[1])
    assert name == "echoserver"
    return DEFAULTS | vars(parser().parse_args([*first, *container(parts)["args"]]))


def container(parts: dict[str, Any]) -> dict[str, Any]:
    (only,) = parts["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_a_stop_has_time_for_all_of_its_stages(parts: dict[str, Any]) -> None:
    options = arguments(parts)
    before = container(parts)["lifecycle"]["preStop"]["sleep"]["seconds"]
    stages = options["drain_delay"] + options["drain_spread"] + options["close_timeout"]
    assert parts["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > before + stages


def test_the_probes_see_a_drain_in_time(parts: dict[str, Any]) -> None:
    options, pod = arguments(parts), container(parts)
    (port,) = pod["ports"]
    assert port["containerPort"] == options["port"]
    times = {}
    for name in ("readinessProbe", "livenessProbe"):
        probe = pod[name]
        assert probe["httpGet"] == {"path": "/healthz", "port": port["name"]}
        times[name] = probe["periodSeconds"] * probe["failureThreshold"]
    assert times["readinessProbe"] < options["drain_delay"]
    assert times["livenessProbe"] > options["drain_delay"] + options["drain_spread"] + options["close_timeout"]


def test_strangers_get_no_faults_and_nobody_is_root(parts: dict[str, Any]) -> None:
    assert arguments(parts)["fault_urls"] is False
    user = re.search(r"^USER (\d+):\d+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert user
    assert int(user[1]) == parts["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"] != 0


def test_it_scales_by_a_metric_that_there_is(parts: dict[str, Any]) -> None:
    scaler = parts["HorizontalPodAutoscaler"]["spec"]
    (metric,) = scaler["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f"| `{name}` |" in (DEPLOY.parent / "operations.md").read_text(encoding="utf-8")
    # One of the fewest may go, and the others have room for its clients.
    most, fewest = int(metric["pods"]["target"]["averageValue"]), scaler["minReplicas"]
    assert most * fewest <= arguments(parts)["max_connections"] * (fewest - 1)
