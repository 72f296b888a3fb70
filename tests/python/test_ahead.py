"""That a run of the benchmarks says in words where somebody else is ahead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="THERE ARE NO BENCHMARKS")
sys.path.insert(0, str(BENCH))

from harness.ahead import told  # noqa: E402  # What it needs stands before it.
from harness.servers import SERVERS  # noqa: E402
from harness.workloads import COMPARISONS  # noqa: E402


def measured(workload: str, key: str, baseline: str, **figures: list[float]) -> dict[str, Any]:
    """A set as its file has it: of each server the figures of its rounds."""
    runs = {
        server: {workload: [{"round": number, key: figure} for number, figure in enumerate(found)]}
        for server, found in figures.items()
    }
    texts = {name: SERVERS[name].text for name in figures}
    return {"runs": runs, "texts": texts, "baselines": {workload: baseline}, "left_out": {}, "load": []}


def connected(**figures: list[float]) -> dict[str, Any]:
    return measured("W6", "server_cpu_ns_per_msg", "ws_own", **figures)


def test_who_is_ahead_is_told_with_the_interval() -> None:
    found = connected(
        ws_own=[1.0] * 9, uwebsockets=[80.0] * 5 + [90.0] * 4, tt_cork=[101.0] * 9, echoserver=[100.0] * 9
    )
    text = told({"connect": found})
    assert (
        "Connect, one message, close (connect to close): uWebSockets (C++) takes 0.80 (0.80-0.90) of the server CPU "
        "per connection of echoserver, native echo" in text
    )
    # Neither the limit, which does less, nor who is behind.
    assert text.count(" takes 0") == text.count("\n- ") == 1
    assert "Nobody" not in text
    assert "2 pairs" in text


def test_it_is_said_that_nobody_is_ahead() -> None:
    found = connected(ws_own=[1.0] * 9, uwebsockets=[100.0] * 9, echoserver=[100.0] * 9)
    assert "Nobody else is ahead." in told({"connect": found})


def test_who_is_ahead_in_the_median_only_is_told_apart() -> None:
    found = connected(uwebsockets=[99.0] * 5 + [120.0] * 4, echoserver=[100.0] * 9)
    text = told({"connect": found})
    nobody, _, rest = text.partition("but 1 is in the interval")
    assert "Nobody else is ahead." in nobody
    assert "0.99 (0.99-1.20)" in rest


def test_each_is_compared_with_who_does_the_same() -> None:
    figures = {"uwebsockets": [50.0], "picows+uvloop": [60.0], "echoserver": [100.0], "echoserver-reply": [100.0]}
    text = told({"latency": measured("W1", "p50_us", "ws_own", **figures)})
    assert "uWebSockets (C++) takes 0.50 of the median latency of echoserver, native echo" in text
    assert "picows on uvloop takes 0.60 of the median latency of echoserver, callback that replies" in text
    # That has no callbacks.
    assert "uWebSockets (C++) takes 0.50 of the median latency of echoserver, callback" not in text


def test_where_nobody_is_compared_nothing_is_told() -> None:
    assert told({"startup": {}}) == told({}) == ""


def test_who_is_named_is_there() -> None:
    for about in COMPARISONS.values():
        for ours, others in about.rivals.items():
            assert {ours, *others} <= {*about.servers}
