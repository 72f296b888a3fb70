"""Many times the same: nothing is left over."""

from __future__ import annotations

import gc
import sys
import threading
import time

import pytest

from aio_support import no_thread_stays
from echoserver import EchoServer
from footprint import descriptors, threads
from support import FACTOR, TIMEOUT, RawClient, eventually, finished, in_thread, join, python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CYCLES = """
import os, threading, time
from echoserver import EchoServer

def state():
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file if ":" in line)
    return len(os.listdir("/proc/self/fd")), int(status["Threads"]), threading.active_count()

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def cycle(number):
    server = EchoServer(0, host="127.0.0.1", on_text=lambda client, text: text if number % 2 else None)
    if number % 3 == 0:
        with server:
            pass
    else:
        server.start().stop()

def settled(expected):
    # A thread that was joined may be in the kernel's books for a moment.
    deadline = time.monotonic() + 5
    while state() != expected:
        assert time.monotonic() < deadline, (state(), expected)

for number in range(100):
    cycle(number)
before, size = (state()[0], 1, 1), resident()
settled(before)
for number in range(900):
    cycle(number)
    settled(before)
grown = resident() - size
assert grown < 2**20, f"grown by {grown} bytes"
"""


def test_a_thousand_servers_leave_no_thread_descriptor_or_memory() -> None:
    assert finished(python(CYCLES), 3 * TIMEOUT) == (0, "", "")


def test_a_thousand_clients_are_all_told_1001_at_stop() -> None:
    no_thread_stays()
    # What earlier tests have left to the collector is not to go meanwhile.
    gc.collect()
    before = descriptors(), threads(), threading.active_count()
    server = EchoServer(0, host="127.0.0.1").start()
    clients = [RawClient(server.port).opened() for _ in range(1000)]
    assert len(server.clients) == 1000
    answers = in_thread(answer, clients)
    begun = time.monotonic()
    server.stop()
    took = time.monotonic() - begun
    join(answers)
    assert took < 2 * FACTOR
    assert server.stats().clients_closed == 1000
    eventually(lambda: (descriptors(), threads(), threading.active_count()) == before, "the end of all of it")


def answer(clients: list[RawClient]) -> None:
    for client in clients:
        opcode, payload = client.receive()
        assert (opcode, payload[:2]) == (8, (1001).to_bytes(2, "big"))
        client.send(8, payload)
        client.close()
