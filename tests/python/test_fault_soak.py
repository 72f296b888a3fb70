"""`make fault-soak`, for a moment: that it finds nothing, and would find something."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

import fault_soak
import fault_talks
from echoserver.testing import Duplicate

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
    options = fault_soak.OPTIONS
    with fault_soak.Server(seed=7, **options) as plain, fault_soak.Server(tls="self-signed", **options) as tls:
        for number in range(8):
            context = tls.ssl_context() if number % 2 else None
            fault_talks.talk(tls if context else plain, number, random.Random(number), context, ledger)
    assert ledger.hits[name]


def test_a_slope_is_told_from_noise() -> None:
    soak = fault_soak.Soak(seed=7)
    soak.memory = [(float(second), 10**8 + (second % 3) * 10**5) for second in range(60)]
    assert not soak.grows()
    soak.memory = [(float(second), 10**8 + (second % 3) * 10**5 + second * 10**5) for second in range(60)]
    assert soak.grows()
