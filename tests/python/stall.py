"""How fast clients are served that wait for no callback, while Python is busy: a program, not a test.

    stall.py [--seconds 10]

A process of its own is the client: one round after the other, it opens a connection, sends a ping and a binary
message, which no callback wants, and measures each until its answer. Meanwhile, in the server's process, nothing
happens, a callback sleeps or computes, or another thread keeps the interpreter to itself. Prints milliseconds; the
status is 1 if a 99th percentile is not under 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from echoserver import Client, EchoServer
from support import TIMEOUT, RawClient

LIMIT = 50.0
PAUSE = 0.005
BINARY, TEXT, PING, PONG = 2, 1, 9, 10
PAYLOAD = bytes(range(125))
# Added up in one call that never gives the interpreter away: about half a second.
LONG = range(20_000_000)


def measure(port: int, seconds: float) -> dict[str, list[float]]:
    """The client: seconds of each handshake, ping and echo."""
    taken: dict[str, list[float]] = {"handshake": [], "ping": [], "native echo": []}
    with RawClient(port).opened() as stalling, RawClient(port).opened() as client:
        # Enough of them to keep a callback of five seconds busy to the end.
        for _ in range(2 + int(seconds / 5)):
            stalling.send(TEXT, b"to the callback")
        time.sleep(0.1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter()
            RawClient(port).opened().close()
            connected = time.perf_counter()
            client.send(PING, PAYLOAD)
            assert client.receive() == (PONG, PAYLOAD)
            answered = time.perf_counter()
            client.send(BINARY, PAYLOAD)
            assert client.receive() == (BINARY, PAYLOAD)
            echoed = time.perf_counter()
            for name, length in zip(taken, (connected - begun, answered - connected, echoed - answered), strict=True):
                taken[name].append(length)
            time.sleep(PAUSE)
    return taken


class Python:
    """What the server's interpreter does meanwhile."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.calls = 0

    def nothing(self, _client: Client, _message: str) -> None:
        self.calls += 1

    def sleep(self, _client: Client, _message: str) -> None:
        self.calls += 1
        # As time.sleep(5), but for the end.
        self.is_over.wait(5)

    def compute(self, _client: Client, _message: str) -> None:
        self.calls += 1
        end = time.monotonic() + 5
        while time.monotonic() < end and not self.is_over.is_set():
            pass

    def spin(self) -> None:
        while not self.is_over.is_set():
            pass

    def hold(self) -> None:
        while not self.is_over.is_set():
            sum(LONG)


# Title, callback for text, what else runs.
SCENARIOS: list[tuple[str, Callable[[Python, Client, str], None], Callable[[Python], None] | None]] = [
    ("nothing", Python.nothing, None),
    ("a callback sleeps 5 s", Python.sleep, None),
    ("a callback computes for 5 s", Python.compute, None),
    ("a thread in a busy loop", Python.nothing, Python.spin),
    ("a thread that never gives the GIL", Python.nothing, Python.hold),
    ("both: sleeps, and keeps the GIL", Python.sleep, Python.hold),
]


@contextmanager
def running(python: Python, other: Callable[[Python], None] | None) -> Iterator[None]:
    """Runs `other` in a thread meanwhile; then all of it is over."""
    threads = [] if other is None else [threading.Thread(target=other, args=(python,), daemon=True)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        python.is_over.set()
        for thread in threads:
            thread.join(TIMEOUT)


def client_process(port: int, seconds: float) -> dict[str, list[float]]:
    """What a client in its own process measures."""
    command = [sys.executable, __file__, "--port", str(port), "--seconds", str(seconds)]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=seconds + 4 * TIMEOUT)
    measured: dict[str, list[float]] = json.loads(result.stdout)
    return measured


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000


def main() -> int:
    """Runs all scenarios; the status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="for each scenario")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.port is not None:
        print(json.dumps(measure(options.port, options.seconds)))
        return 0
    print(f"{os.cpu_count()} cores, {options.seconds:g} s each, milliseconds")
    print(f"{'meanwhile in Python':34} {'':12} {'count':>6} {'p50':>8} {'p99':>8} {'max':>8}   calls")
    slow = sum(scenario(*each, options.seconds) for each in SCENARIOS)
    print(f"{slow} of the 99th percentiles are not under {LIMIT:g} ms" if slow else f"all p99 are under {LIMIT:g} ms")
    return int(slow > 0)


def scenario(
    title: str, callback: Callable[[Python, Client, str], None], other: Callable[[Python], None] | None, seconds: float
) -> int:
    """Runs one and prints its figures; how many of them are too slow."""
    python = Python()
    with EchoServer(0, host="127.0.0.1", on_text=partial(callback, python)) as server, running(python, other):
        measured = client_process(server.port, seconds)
        calls = python.calls
    slow = 0
    for name, values in measured.items():
        figures = [percentile(values, share) for share in (0.5, 0.99, 1)]
        slow += figures[1] >= LIMIT
        print(f"{title:34} {name:12} {len(values):6}", *(f"{one:8.2f}" for one in figures), f"{calls:7}", flush=True)
        title = ""
    return slow


if __name__ == "__main__":
    sys.exit(main())
