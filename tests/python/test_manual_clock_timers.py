"""Every timeout of a server by a clock that the test advances, on real sockets, in no time of its own."""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
import time
from typing import Any

import pytest

from echoserver import Client
from echoserver.testing import (
    Bandwidth,
    Close,
    Delay,
    EchoTestServer,
    Freeze,
    Hang,
    Latency,
    ManualClock,
    Reset,
    Response,
    Slice,
)
from support import TIMEOUT, Door, RawClient, connect, eventually, in_thread, join

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Timed:
    """A server with a clock of its own; `raw` are its clients."""

    def __init__(self, **options: Any) -> None:
        """Serves."""
        self.clock = ManualClock()
        self.server = EchoTestServer(clock=self.clock, **options).start()
        self.raws: list[RawClient] = []

    def open(self, **options: Any) -> tuple[RawClient, Client]:
        """A client, and what the server has of it."""
        self.raws.append(RawClient(self.server.port, **options).opened())
        return self.raws[-1], self.server.accept()

    def connect(self) -> socket.socket:
        """Somebody who says nothing."""
        raw = socket.create_connection(self.server.address, TIMEOUT)
        raw.settimeout(TIMEOUT)
        return raw

    def __enter__(self) -> Timed:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        for raw in self.raws:
            raw.close()


def is_silent(raw: RawClient) -> bool:
    """Whether nothing has come."""
    raw.socket.setblocking(False)
    try:
        return not raw.socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        raw.socket.settimeout(TIMEOUT)


def test_a_ping_cycle_is_passed() -> None:
    with Timed(ping_interval=20, ping_timeout=10) as timed, connect(timed.server.url):
        client = timed.server.accept()
        for count in range(50):
            timed.clock.advance(20)
            assert client.wait_pong() == count.to_bytes(8, "big")
            assert client.rtt == 0
        assert client.is_open
    assert timed.clock.time == 1000


def test_a_client_that_owes_a_pong_is_found_in_no_time() -> None:
    begun = time.monotonic()
    with Timed(ping_interval=3600, ping_timeout=1800, close_timeout=600) as timed:
        raw, client = timed.open()
        timed.clock.advance(3600)
        assert raw.receive()[0] == PING
        timed.clock.advance(1799)
        assert client.is_open
        timed.clock.advance(1)
        assert not client.is_open
        assert raw.close_code() == 1011
        timed.clock.advance(599)
        assert client.close_code is None
        timed.clock.advance(1)
        assert client.close_code == 1011
    # An hour and forty minutes.
    assert time.monotonic() - begun < 600


def test_one_jump_brings_each_thing_once() -> None:
    with Timed(ping_interval=1, ping_timeout=5) as timed:
        raw, client = timed.open()
        timed.clock.advance(1000)
        assert raw.receive()[0] == PING
        assert is_silent(raw)
        timed.clock.advance(4.9)
        assert client.is_open
        timed.clock.advance(0.1)
        assert raw.close_code() == 1011


def test_what_a_client_did_before_an_advance_it_did_at_the_old_time() -> None:
    with Timed(idle_timeout=10, workers=2) as timed:
        raws = [timed.open()[0] for _ in range(4)]
        for count in range(100):
            raws[count % 4].send(TEXT, b"here")
            if count >= 4:
                # So its last word was four advances ago.
                assert raws[count % 4].receive() == (TEXT, b"here")
            timed.clock.advance(2.4 if count >= 4 else 0)
        assert all(client.is_open for client in timed.server.clients)
        assert len(timed.server.clients) == 4


def test_who_sends_no_request_has_open_timeout() -> None:
    for _ in range(20):
        with Timed(open_timeout=10, close_timeout=5, workers=2) as timed:
            # It was just accepted, or is about to be: that was before the advance.
            raw = timed.connect()
            timed.clock.advance(9.99)
            raw.sendall(b"GET / HTTP/1.1\r\n")
            timed.clock.advance(0.01)
            assert raw.recv(12) == b"HTTP/1.1 408"
            timed.clock.advance(5)
            while raw.recv(1000):
                pass
            raw.close()


def test_a_tls_handshake_has_open_timeout() -> None:
    with Timed(tls="self-signed") as timed:
        silent, half = timed.connect(), timed.connect()
        half.sendall(b"\x16\x03\x01\x01\x00\x01")
        timed.clock.advance(9)
        assert timed.server.stats().tls_failures == 0
        timed.clock.advance(1)
        assert timed.server.stats().tls_failures == 2
        for raw in (silent, half):
            assert raw.recv(1) == b""
            raw.close()
        # The request has what is left of it.
        context = timed.server.ssl_context()
        wrapped = context.wrap_socket(timed.connect(), server_hostname="127.0.0.1")
        assert isinstance(wrapped, ssl.SSLSocket)
        timed.clock.advance(10)
        assert wrapped.recv(12) == b"HTTP/1.1 408"
        wrapped.close()


def test_a_decision_has_open_timeout() -> None:
    door = Door()
    with Timed(on_handshake=door) as timed:
        raw = RawClient(timed.server.port)
        door.asked()
        timed.clock.advance(10)
        assert raw.status() == 503
        door.answers.put(None)
        raw.close()
        (error,) = timed.server.wait_until(lambda: timed.server.errors)
        assert "after open_timeout" in str(error)
        timed.server.errors.clear()


def test_a_silent_client_has_idle_timeout() -> None:
    with Timed(idle_timeout=60) as timed:
        raw, client = timed.open()
        timed.clock.advance(59)
        raw.send(PONG)
        timed.clock.advance(59)
        assert client.is_open
        timed.clock.advance(1)
        assert raw.close_code() == 1001
        raw.send(CLOSE, struct.pack("!H", 1001))
        assert client.wait_closed() == 1001


def test_a_close_that_is_not_answered_has_close_timeout() -> None:
    with Timed(close_timeout=5) as timed:
        raw, client = timed.open()
        client.close(4000)
        assert raw.close_code() == 4000
        timed.clock.advance(4)
        assert client.close_code is None
        timed.clock.advance(1)
        assert client.close_code == 4000


def test_who_has_closed_and_keeps_tcp_open_has_close_timeout() -> None:
    with Timed(close_timeout=5, max_connections=1) as timed:
        raw, client = timed.open()
        raw.send(CLOSE, struct.pack("!H", 1000))
        assert raw.close_code() == client.wait_closed() == 1000
        assert raw.file.read() == b""
        timed.clock.advance(4)
        raw.socket.sendall(b"more")
        timed.clock.advance(1)
        # There is nobody any more who would read it.
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            raw.socket.sendall(bytes(100 << 20))


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_due_happens_in_the_order_of_its_times_on_all_workers(workers: int) -> None:
    gone: queue.Queue[int] = queue.Queue()
    with Timed(workers=workers, on_disconnect=lambda client: gone.put(client.id)) as timed:
        timed.server.fault(Reset(), after="1000s")
        for _ in range(24):
            timed.open()
            timed.clock.advance(0.001)
        timed.clock.advance(5000)
        assert [gone.get(timeout=TIMEOUT) for _ in timed.raws] == [*range(1, 25)]


def test_many_clients_of_several_workers_get_one_ping_each() -> None:
    with Timed(ping_interval=20, ping_timeout=100, workers=4) as timed:
        raws = [timed.open()[0] for _ in range(200)]
        for count in range(3):
            timed.clock.advance(20)
            # They are on their way when it returns.
            for raw in raws:
                assert raw.receive() == (PING, count.to_bytes(8, "big"))
                raw.send(PONG, count.to_bytes(8, "big"))
        assert timed.server.client_count == 200


def test_clients_talk_while_the_clock_is_advanced() -> None:
    # More than goes by here: how soon a client's thread runs is for the system to say.
    options: dict[str, Any] = {"ping_interval": 1, "ping_timeout": 200, "idle_timeout": 200, "open_timeout": 200}
    with Timed(workers=2, compression="deflate", record=None, **options) as timed:
        over = threading.Event()
        counts = [0] * 4

        def talk(number: int) -> None:
            with connect(timed.server.url, compression="deflate" if number % 2 else None) as ws:
                while not over.is_set():
                    text = f"{number} {counts[number]} " * 1000
                    ws.send(text)
                    assert ws.recv() == text
                    counts[number] += 1

        threads = [in_thread(talk, number) for number in range(4)]
        eventually(lambda: all(counts))
        for _ in range(300):
            timed.clock.advance(0.5)
        eventually(lambda: timed.server.stats().pongs_received > 0)
        over.set()
        for thread in threads:
            join(thread)


def test_a_client_that_vanishes_is_no_obstacle() -> None:
    with Timed(ping_interval=20, ping_timeout=10, workers=2) as timed:
        raw, client = timed.open()
        _, other = timed.open()
        raw.reset_at_close()
        raw.close()
        timed.clock.advance(20)
        assert client.wait_closed() == 1006
        timed.clock.advance(10)
        assert not other.is_open


def test_handshakes_are_delayed_by_the_clock() -> None:
    with Timed() as timed:
        timed.server.handshakes.extend([Delay(30, Response(503)), Delay(5), Hang()])
        late = RawClient(timed.server.port)
        timed.server.wait_until(lambda: len(timed.server.handshakes) == 2)
        timed.clock.advance(29)
        assert is_silent(late)
        timed.clock.advance(1)
        assert late.status() == 503
        late.close()
        delayed = RawClient(timed.server.port)
        timed.server.wait_until(lambda: len(timed.server.handshakes) == 1)
        timed.clock.advance(5)
        assert delayed.opened()
        hung = RawClient(timed.server.port)
        timed.server.wait_until(lambda: not timed.server.handshakes)
        timed.clock.advance(86_400)
        assert is_silent(hung)
        for raw in (delayed, hung):
            raw.close()


def test_a_line_is_slow_by_the_clock() -> None:
    with Timed() as timed:
        raw, client = timed.open()
        with client.fault(Latency(60, direction="out")):
            raw.send(TEXT, b"late")
            assert client.recv() == "late"
            timed.clock.advance(59)
            assert is_silent(raw)
            timed.clock.advance(1)
            assert raw.receive() == (TEXT, b"late")
        # Three bytes at once, and three with each advance.
        for slow, step in ((Slice(3, gap=10), 10), (Bandwidth(150), 0.02)):
            with client.fault(slow):
                raw.send(TEXT, b"0123456")
                assert client.recv() == "0123456"
                for expected in (b"\x81\x070", b"123", b"456"):
                    assert raw.file.read(3) == expected
                    assert is_silent(raw)
                    timed.clock.advance(step)


def test_faults_begin_and_freeze_by_the_clock() -> None:
    with Timed(idle_timeout=100) as timed:
        with timed.server.fault(Close(1011, "late"), after="30s"):
            raw, client = timed.open()
            timed.clock.advance(29)
            assert client.is_open
            timed.clock.advance(1)
            assert raw.close_code() == 1011
        frozen, client = timed.open()
        with client.fault(Freeze()):
            timed.clock.advance(10_000)
            assert is_silent(frozen)
            assert client.is_open


def test_what_a_client_has_asked_for_by_url_ends_by_the_clock() -> None:
    with Timed(fault_urls=True) as timed:
        frozen, client = timed.open(path="/faults?freeze")
        _, other = timed.open(path="/faults?latency=1ms")
        timed.clock.advance(599)
        assert client.close_code is None
        timed.clock.advance(1)
        assert client.wait_closed() == 1006
        with pytest.raises(EOFError):
            frozen.receive()
        # Years of it, and nothing that holds it.
        timed.clock.advance(300 * 86_400)
        assert other.is_open
