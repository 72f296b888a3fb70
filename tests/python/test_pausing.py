"""`Client.pause()` and `resume()`: TCP holds a client up that is not read from, and nothing of it is lost."""

from __future__ import annotations

import socket
import threading

import pytest

from echoserver import Client
from echoserver.testing import EchoTestServer
from support import TIMEOUT, RawClient, connect, frame, in_thread, join

# More than the buffers of both ends take.
MOST = 64 << 20


def test_the_window_fills_and_then_all_comes_in_order() -> None:
    with EchoTestServer(record=None) as server, RawClient(server.port, receive_buffer=4096).opened() as raw:
        (client,) = server.clients
        client.pause()
        client.ping()
        # It is paused by now.
        assert raw.receive() == (9, b"")
        before = server.stats().bytes_received
        pieces = [frame(2, number.to_bytes(4) + bytes(996)) for number in range(MOST // 1000)]
        sent = raw.fill(b"".join(pieces), MOST)
        assert sent < MOST, "the window is full"
        assert server.stats().bytes_received == before
        assert server.stats().memory_used < 1 << 20
        count, part = divmod(sent, len(pieces[0]))
        client.resume()
        rest = in_thread(raw.socket.sendall, pieces[count][part:])
        for number in range(count + 1):
            opcode, payload = raw.receive()
            assert (opcode, payload[:4], len(payload)) == (2, number.to_bytes(4), 1000)
        join(rest)


def test_a_callback_may_pause_its_client() -> None:
    is_paused = threading.Event()

    def on_text(client: Client, message: str) -> str:
        if message == "pause":
            client.pause()
            is_paused.set()
        return message.upper()

    with EchoTestServer(on_text=on_text) as server, connect(server.url) as ws:
        ws.send("pause")
        assert ws.recv() == "PAUSE"
        assert is_paused.wait(TIMEOUT)
        client = server.accept()
        ws.send("later")
        client.send("first")
        assert ws.recv() == "first"
        assert client.received == ["pause"]
        client.resume()
        assert ws.recv() == "LATER"


def test_others_are_read_meanwhile() -> None:
    with EchoTestServer() as server, connect(server.url_for("/a")) as a, connect(server.url_for("/b")) as b:
        client = server.accept("/a")
        client.pause()
        a.send("late")
        b.send("x")
        assert b.recv() == "x"
        client.resume()
        assert a.recv() == "late"


def test_a_stop_does_not_wait_for_it() -> None:
    server = EchoTestServer().start()
    with RawClient(server.port).opened() as raw:
        client = server.accept()
        client.pause()
        raw.fill(frame(2, bytes(100_000)), MOST)
        # Within its own time, and not that of a test.
        server.stop()
        assert client.close_code == 1001
        opcode = 2
        while opcode != 8:
            opcode, _ = raw.receive()
        assert raw.is_dropped()


def test_one_that_is_gone_can_be_paused_and_resumed() -> None:
    with EchoTestServer() as server:
        with connect(server.url):
            client = server.accept()
        client.wait_closed(TIMEOUT)
        client.pause()
        client.resume()
        assert client.close_code == 1000


def test_its_end_is_seen_when_it_goes_on() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened() as raw:
        client = server.accept()
        client.pause()
        client.ping(b"paused")
        assert raw.receive() == (9, b"paused")
        raw.send(1, b"last")
        raw.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(TimeoutError):
            client.wait_closed(0)
        client.resume()
        assert client.recv() == "last"
        assert client.wait_closed(TIMEOUT) == 1006
