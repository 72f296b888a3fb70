"""`make fault-soak`, for a moment: that it finds nothing, and would find something."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

import fault_soak
import fault_talks
from echoserver.testing import Duplicate
from served_apart import Apart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.timeout(120)
def test_all_faults_at_once_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_soak, "CLIENTS", 8)
    soak = fault_soak.Soak(seed=7)
    soak.run(1)
    assert not soak.wrong, soak.wrong[0]
    assert len(soak.memory) == 1
    assert soak.ledger.messages["come"] > 0
    assert set(soak.ledger.hits) <= set(fault_talks.KINDS)


@pytest.mark.timeout(120)
def test_a_message_too_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(name: str, _chance: Any) -> Any:
        # It makes another message than the plan knows of.
        return Duplicate(1) if name == "Drop" else made(name, _chance)

    made = fault_talks._kind
    monkeypatch.setattr(fault_talks, "KINDS", ["Drop"])
    monkeypatch.setattr(fault_talks, "_kind", kind)
    monkeypatch.setattr(fault_soak, "CLIENTS", 1)
    soak = fault_soak.Soak(seed=7)
    monkeypatch.setattr(fault_talks._Plan, "due", lambda plan: ([(1, text) for text in plan.said], ""))
    soak.run(1)
    assert "AssertionError" in soak.wrong[0]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", fault_talks.KINDS)
def test_a_new_fault_needs_no_line_in_the_soak(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(fault_talks._MADE, name, raising=False)
    monkeypatch.setattr(fault_talks, "KINDS", [name])
    ledger = fault_talks.Ledger()
    with Apart(seed=7) as apart:
        for number in range(8):
            server = apart.servers["tls" if number % 2 else "plain"]
            fault_talks.talk(server, number, random.Random(number), server.context(), ledger)
    assert ledger.hits[name]


def test_a_slope_is_told_from_noise() -> None:
    soak = fault_soak.Soak(seed=7)
    for growth, grows in ((0, False), (1000, False), (10**5, True)):
        sizes = [(float(second), 10**8 + (second % 3) * 10**4 + second * growth) for second in range(60)]
        soak.memory = [(second, size, size) for second, size in sizes]
        assert soak.grows() is grows
    # Caches fill in the first rounds.
    soak.memory = [(float(second), 10**8 + min(second, 25) * 10**5, 0) for second in range(60)]
    assert not soak.grows()
