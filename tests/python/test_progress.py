"""Progress is life: who reads, however slowly, is neither silent nor gone."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from echoserver import Client
from support import RawClient, eventually, frame, in_thread, join

if TYPE_CHECKING:
    from conftest import Listen

# Bytes of a message that takes about two seconds to read in steps of 64 KiB.
LARGE = 3 << 20
STEP = 64 << 10
PAUSE = 0.04

# Elsewhere the kernel takes megabytes at once, and hides that somebody reads.
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_NOTSENT_LOWAT")


def read_slowly(raw: RawClient, length: int) -> bytes:
    """Reads that many bytes, in steps with pauses between them."""
    received = bytearray()
    pause = threading.Event()
    while len(received) < length:
        data = raw.socket.recv(min(STEP, length - len(received)))
        assert data, f"cut off after {len(received)} of {length} bytes"
        received += data
        pause.wait(PAUSE)
    return bytes(received)


def settings() -> list[dict[str, float]]:
    """Options that would end a client that is silent for half a second."""
    return [{"idle_timeout": 0.5}, {"ping_interval": 0.2, "ping_timeout": 0.5}]


@linux
@pytest.mark.parametrize("options", settings())
def test_a_steady_reader_of_a_large_echo_is_not_cut_off(run: Listen, options: dict[str, float]) -> None:
    server = run(**options)
    with RawClient(server.port, receive_buffer=STEP).opened() as raw:
        sender = in_thread(raw.socket.sendall, frame(2, bytes(LARGE)))
        # The frames before it may be pings.
        while True:
            head = raw.file.read(2)
            if head[0] == 0x82:
                break
            assert head[0] == 0x89
            raw.file.read(head[1])
        assert raw.file.read(8) == LARGE.to_bytes(8, "big")
        early = raw.file.read1()
        read_slowly(raw, LARGE - len(early))
        join(sender)


@linux
def test_a_close_of_ours_waits_for_a_steady_reader(run: Listen) -> None:
    clients: list[Client] = []
    server = run(on_connect=clients.append, close_timeout=0.5)
    with RawClient(server.port, receive_buffer=STEP).opened() as raw:
        eventually(lambda: clients, "the client")
        clients[0].send(bytes(LARGE))
        clients[0].close(4000, "enough")
        assert raw.file.read(10) == b"\x82\x7f" + LARGE.to_bytes(8, "big")
        early = raw.file.read1()
        read_slowly(raw, LARGE - len(early))
        assert raw.close_code() == 4000


@pytest.mark.parametrize("options", settings())
def test_a_slow_upload_is_a_sign_of_life(run: Listen, options: dict[str, float]) -> None:
    server = run(**options)
    message = frame(2, bytes(1000))
    with RawClient(server.port).opened() as raw:
        pause = threading.Event()
        for start in range(0, len(message), 100):
            raw.socket.sendall(message[start : start + 100])
            pause.wait(0.12)
        while (received := raw.receive())[0] == 9:
            pass
        assert received == (2, bytes(1000))


@pytest.mark.parametrize("options", settings())
def test_who_takes_nothing_ends(run: Listen, options: dict[str, float]) -> None:
    gone = threading.Event()
    server = run(on_disconnect=lambda _: gone.set(), close_timeout=0.2, **options)
    with RawClient(server.port, receive_buffer=STEP).opened() as raw:
        raw.fill(frame(2, bytes(1 << 20)), 64 << 20)
        assert gone.wait(15)
