"""`echoserver load`: what it measures, what it says of failures and of itself."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import EchoServer
from echoserver.cli import load
from support import SCRIPT, TIMEOUT, eventually, finished, program

if TYPE_CHECKING:
    from conftest import Listen


def loaded(*arguments: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a run with these."""
    command = [SCRIPT, "load", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * TIMEOUT, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def measured(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Status, and the object that it prints."""
    status, out, err = loaded(*arguments, "--json")
    assert err == ""
    assert out.count("\n") == 1
    return status, json.loads(out)


@pytest.mark.parametrize("options", [[], ["--binary", "--size=70kB", "--inflight=3", "--threads=2"]])
def test_it_counts_the_answers_that_have_come(options: list[str], server: EchoServer) -> None:
    status, found = measured(server.url, "--clients=5", "--seconds=0.3", *options)
    assert (status, found["failed_clients"], found["failure"], found["wrong_answers"]) == (0, 0, None, 0)
    eventually(lambda: server.stats().clients_closed == 5, "the end of all clients")
    stats = server.stats()
    received = stats.binary_messages_received if options else stats.text_messages_received
    # Each client's last answers come after the time.
    assert 0 < found["messages"] <= received <= found["messages"] + 5 * found["inflight"]
    assert stats.clients_opened == 5
    assert stats.violations == 0
    latency = found["latency"]
    assert list(latency) == ["mean", "p50", "p90", "p99", "p99.9", "max"]
    quantiles = [latency[name] for name in ("p50", "p90", "p99", "p99.9", "max")]
    assert quantiles == sorted(quantiles)
    assert 1e-6 < latency["p50"] < TIMEOUT
    assert 1e-6 < latency["mean"] <= latency["max"]
    assert found["messages_per_second"] == pytest.approx(found["messages"] / 0.3)
    assert found["generator_busy"] > 0


def test_it_says_so_in_words(server: EchoServer) -> None:
    status, out, err = loaded(server.url.removeprefix("ws://"), "--clients=2", "--seconds=0.2")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "2 clients x 1 in flight x 125 bytes of text, 0.2 s"
    assert re.fullmatch(r"messages   [\d,]+, [\d,]+/s, [\d.]+ MB/s each way", lines[1])
    assert re.fullmatch(r"latency    mean \S+, p50 \S+, p90 \S+, p99 \S+, p99.9 \S+, max \S+ ms", lines[2])
    assert re.match(r"generator  busy \d+% of 1 thread", lines[3])


def test_more_than_all_buffers_is_on_its_way_without_a_lock(server: EchoServer) -> None:
    # A server that echoes reads no further while its own output is not read.
    status, found = measured(server.url, "--clients=2", "--size=2MiB", "--inflight=16", "--seconds=0.2")
    assert (status, found["failed_clients"], found["wrong_answers"]) == (0, 0, 0)


def test_answers_that_are_others_are_counted_and_status_1(run: Listen) -> None:
    server = run(on_text=lambda _, text: text.upper())
    status, found = measured(server.url, "--clients=1", "--seconds=0.2")
    assert status == 1
    assert found["wrong_answers"] >= found["messages"] > 0


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        ("/faults?close=1011,after:3", "the server closed with 1011"),
        ("/faults?reset,after:3", "Connection reset"),
        ("/faults?status=503", "HTTP error: 503"),
    ],
)
def test_who_fails_is_counted_and_the_first_reason_is_said(path: str, failure: str, run: Listen) -> None:
    server = run(fault_urls=True)
    status, found = measured(server.url_for(path), "--clients=3", "--seconds=0.2")
    assert (status, found["failed_clients"]) == (1, 3)
    assert failure in found["failure"]
    status, out, _ = loaded(server.url_for(path), "--clients=3", "--seconds=0.2")
    assert status == 1
    assert re.search(rf"^failed     3 clients: .*{failure}", out, re.MULTILINE)


def test_nobody_there_is_status_1_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = "ws://{}:{}".format(*free.getsockname())
    status, out, _ = loaded(url, "--clients=2", "--seconds=0.2")
    assert status == 1
    assert out.splitlines()[1:2] == ["messages   0, 0/s, 0.0 MB/s each way"]
    assert re.fullmatch(r"failed     2 clients: .*refused.*", out.splitlines()[2])


@pytest.mark.parametrize(
    ("busy", "machine", "said"),
    [
        (0.95, 0.5, "The generator was the bottleneck: the server may be faster."),
        (0.95, 1.0, "The generator was the bottleneck: the server may be faster."),
        (0.5, 0.95, "The machine had no time left: "),
        (0.5, None, None),
        (0.5, 0.5, None),
    ],
)
def test_it_says_when_it_was_the_bottleneck(busy: float, machine: float | None, said: str | None) -> None:
    given = load.parser().parse_args(["ws://h"])
    result = {
        **{"messages": 1, "messages_per_second": 1.0, "bytes_per_second": 1.0, "latency": {"mean": 1.0}},
        **{"failed_clients": 0, "wrong_answers": 0, "generator_busy": busy, "machine_busy": machine},
    }
    last = list(load._lines(result, given))[-1]
    assert last.startswith(said or "generator  busy 50% of 1 thread")


WRONG = ["--clients=0", "--clients=x", "--inflight=0", "--threads=-1", "--size=x", "--seconds=0", "--seconds=inf"]


@pytest.mark.parametrize("given", [*([f"ws://h {one}"] for one in WRONG), ["wss://h"], ["ws://"], []], ids=str)
def test_a_wrong_argument_is_status_2_and_named(given: list[str]) -> None:
    words = " ".join(given).split()
    status, out, err = loaded(*words)
    assert (status, out) == (2, "")
    assert "echoserver load: error: " in err
    assert not words[1:] or words[1].partition("=")[0] in err


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
def test_ctrl_c_ends_it(server: EchoServer) -> None:
    process = program(SCRIPT, "load", server.url, "--seconds=600")
    eventually(lambda: server.stats().text_messages_received, "the first message")
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == 130
    assert finished(process)[2] == ""
