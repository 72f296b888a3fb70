"""What is said of the package, and the workflow that is to build and publish it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import licenses
from support import TIMEOUT

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="THERE ARE NO WORKFLOWS: they were not tested")


def test_every_action_is_pinned_by_its_hash() -> None:
    for workflow in WORKFLOWS:
        used = re.findall(r"^ *-? *uses: *(.*)$", workflow.read_text(encoding="utf-8"), re.MULTILINE)
        assert used
        for action in used:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", action), action


@pytest.mark.parametrize(
    "command",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        ["zizmor", "--offline", "--no-progress"],
    ],
    ids=lambda command: command[0],
)
def test_the_workflows_are_in_order(command: list[str]) -> None:
    tool = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if tool is None:
        pytest.skip(f"NOT CHECKED BY {command[0]}: `pip install {command[0]}`")
    done = subprocess.run(
        [tool, *command[1:], *map(str, WORKFLOWS)], capture_output=True, text=True, timeout=2 * TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_was_seen_to_work_is_claimed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = {one for one in project["classifiers"] if re.search(r":: 3\.\d|Operating System|Free Thread", one)}
    # The workflow builds more, and none of it has been run.
    assert claimed == {
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 16)),
    }


@pytest.mark.skipif(shutil.which("cargo") is None, reason="LICENCES NOT COMPARED: there is no cargo")
def test_the_licences_of_what_is_linked_in_are_all_there() -> None:
    assert licenses.FILE.read_text(encoding="utf-8") == licenses.written(), "run `make licenses`"
    known = licenses.packages()
    assert len(licenses.linked()) > 50
    # Targets that have no wheel: their crates say it in their sources, and have no file.
    without = {crate for crate in licenses.linked() if not licenses.texts(known[crate])}
    assert {crate.split()[0] for crate in without} <= {"r-efi"}


def test_the_package_has_them_and_a_list_of_the_crates() -> None:
    files = metadata.files("echoserver") or []
    (record,) = (Path(str(file.locate())) for file in files if file.name == "RECORD")
    if record.stat().st_mtime < (ROOT / "pyproject.toml").stat().st_mtime:
        pytest.skip("LICENCES IN THE PACKAGE NOT TESTED: it is older than pyproject.toml; run `make develop`")
    inside = {file.name: Path(str(file.locate())) for file in files if ".dist-info" in str(file)}
    assert inside["THIRD-PARTY-LICENSES.txt"].read_text(encoding="utf-8") == licenses.FILE.read_text(encoding="utf-8")
    assert "LICENSE" in inside
    (sbom,) = (path for name, path in inside.items() if name.endswith(".cyclonedx.json"))
    listed = {f"{one['name']} {one['version']}" for one in json.loads(sbom.read_text(encoding="utf-8"))["components"]}
    for name in ("pyo3", "ring", "rustls", "tokio", "zlib-rs"):
        assert any(crate.startswith(f"{name} ") for crate in listed), name
