"""That every option reaches the core and does there what its name says. How exactly is tested in Rust."""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from echoserver import Client, EchoServer
from support import FACTOR, TIMEOUT, RawClient, connect, eventually, frame

if TYPE_CHECKING:
    from conftest import Listen


def status(server: EchoServer, *lines: str) -> int:
    with RawClient(server.port, *lines) as client:
        return client.status()


def let_in(server: EchoServer) -> RawClient:
    """A client, as soon as there is room for it."""
    found: list[RawClient] = []

    def is_let_in() -> bool:
        client = RawClient(server.port)
        if client.status() == 101:
            found.append(client)
        else:
            client.close()
        return bool(found)

    eventually(is_let_in, "room for a new client")
    return found[0]


def test_the_first_subprotocol_of_the_client_that_is_supported_is_chosen(run: Listen) -> None:
    server = run(subprotocols=["a", "b"])
    with RawClient(server.port, "Sec-WebSocket-Protocol: c, b, a") as client:
        client.opened()
        assert client.headers["sec-websocket-protocol"] == "b"
        assert [one.subprotocol for one in server.clients] == ["b"]
    with RawClient(server.port, "Sec-WebSocket-Protocol: c") as client:
        client.opened()
        assert "sec-websocket-protocol" not in client.headers


def test_every_origin_is_admitted_by_default(server: EchoServer) -> None:
    for lines in ([], ["Origin: null"], ["Origin: https://example.org"]):
        assert status(server, *lines) == 101


def test_only_the_given_origins_are_admitted(run: Listen) -> None:
    server = run(origins=["https://example.org"])
    assert status(server, "Origin: https://example.org") == 101
    for lines in ([], ["Origin: null"], ["Origin: https://example.org:444"], ["Origin: http://example.org"]):
        assert status(server, *lines) == 403


def test_none_among_the_origins_admits_requests_without_one(run: Listen) -> None:
    server = run(origins=[None])
    assert status(server) == 101
    assert status(server, "Origin: null") == 403


def test_an_empty_list_of_origins_admits_none(run: Listen) -> None:
    server = run(origins=[])
    assert status(server) == 403


def test_max_connections_is_told_with_503(run: Listen) -> None:
    server = run(max_connections=2)
    with connect(server.url), connect(server.url), RawClient(server.port) as third:
        assert third.status() == 503
        assert "retry-after" in third.headers
    eventually(lambda: status(server) == 101, "room for a new client")


@pytest.mark.needs_worker
@pytest.mark.parametrize("sent", [None, "message", "close"])
def test_who_has_left_keeps_no_place_while_on_connect_runs(run: Listen, sent: str | None) -> None:
    entered, go_on = threading.Event(), threading.Event()
    came: queue.Queue[Client] = queue.Queue()

    def on_connect(client: Client) -> None:
        came.put(client)
        entered.set()
        go_on.wait(TIMEOUT)

    server = run(on_connect=on_connect, on_text=lambda _, text: text * 2, max_connections=3)
    with RawClient(server.port).opened() as first:
        assert entered.wait(TIMEOUT)
        for _ in range(4):
            # Behind the callback that runs, as many as have room, again and again.
            with let_in(server) as one, let_in(server) as other:
                assert status(server) == 503
                for client in (one, other):
                    if sent == "message":
                        client.send(1, b"x")
                    elif sent == "close":
                        client.send(8, (1000).to_bytes(2))
                        assert client.close_code() == 1000
        go_on.set()
        first.send(1, b"ab")
        assert first.receive() == (1, b"abab")
        eventually(lambda: len(server.clients) == 1, "the end of the others")
    eventually(lambda: not server.clients, "the end of the first")
    stats = server.stats()
    assert came.qsize() == stats.clients_opened == stats.clients_closed
    # The last client's head is charged until the dispatcher has let go of it.
    eventually(lambda: server.stats().memory_used == 0, "the end of all charges")


def test_max_message_size_is_told_with_1009_before_the_payload(run: Listen) -> None:
    server = run(max_message_size=1000)
    with RawClient(server.port).opened() as client:
        client.send(2, bytes(1000))
        assert client.receive() == (2, bytes(1000))
        # Its header alone.
        client.socket.sendall(frame(2, bytes(1001))[:8])
        opcode, payload = client.receive()
    assert (opcode, payload[:2]) == (8, (1009).to_bytes(2, "big"))
    assert b"max_message_size" in payload or b"1000" in payload


def test_memory_limit_is_told_with_1013(run: Listen) -> None:
    server = run(memory_limit=100_000)
    with RawClient(server.port).opened() as client, RawClient(server.port).opened() as other:
        client.send(2, bytes(500_000), fin=False)
        assert client.close_code() == 1013
        other.send(1, b"still here")
        assert other.receive() == (1, b"still here")


def test_open_timeout_is_told_with_408(run: Listen) -> None:
    server = run(open_timeout=0.1)
    begun = time.monotonic()
    with socket.create_connection(server.address, TIMEOUT) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        assert slow.makefile("rb").readline().split()[1] == b"408"
    assert 0.05 < time.monotonic() - begun < 2 * FACTOR


def test_idle_timeout_is_told_with_1001(run: Listen) -> None:
    server = run(idle_timeout=0.1)
    with RawClient(server.port).opened() as client:
        assert client.close_code() == 1001


def test_keepalive_pings_are_sent_and_wanted_back(run: Listen) -> None:
    server = run(ping_interval=0.05, ping_timeout=0.2)
    with RawClient(server.port).opened() as client:
        for _ in range(3):
            opcode, payload = client.receive()
            assert opcode == 9
            client.send(10, payload)
        eventually(lambda: server.stats().pongs_received >= 3, "the third pong")
        # And now no pong.
        frames = [client.receive()]
        while frames[-1][0] == 9:
            frames.append(client.receive())
    assert frames[-1][0] == 8
    assert int.from_bytes(frames[-1][1][:2], "big") == 1011


@pytest.mark.parametrize(("name", "expected"), [("mine/2", "mine/2"), ("", None)])
def test_server_header_is_sent_as_server(run: Listen, name: str, expected: str | None) -> None:
    with RawClient(run(server_header=name).port) as client:
        client.opened()
        assert client.headers.get("server") == expected


def test_stats_count_what_happens(server: EchoServer) -> None:
    before = server.stats()
    assert before.connections_accepted == before.clients_opened == before.messages_sent == 0
    with RawClient(server.port).opened() as client:
        client.send(1, b"text")
        client.send(2, b"binary")
        client.send(9)
        assert [client.receive()[0] for _ in range(3)] == [1, 2, 10]
        client.send(10)
        client.send(3)
        opcode, close = client.receive()
        assert (opcode, close[:2]) == (8, b"\x03\xea")
    eventually(lambda: server.stats().clients_closed == 1, "the end of the client")
    stats = server.stats()
    assert (stats.clients_opened, stats.text_messages_received, stats.binary_messages_received) == (1, 1, 1)
    assert (stats.text_messages_sent, stats.binary_messages_sent) == (1, 1)
    assert (stats.text_bytes_received, stats.text_bytes_sent) == (len("text"), len("text"))
    assert (stats.binary_bytes_received, stats.binary_bytes_sent) == (len("binary"), len("binary"))
    assert (stats.messages_sent, stats.pings_received, stats.pongs_received, stats.violations) == (2, 1, 1, 1)
    # Each frame of the client has 6 bytes of header.
    assert stats.bytes_received == 5 * 6 + len("text" + "binary")
    # Each of the server's has 2; the 101 is none.
    assert stats.bytes_sent == 4 * 2 + len("text" + "binary") + len(close)
    assert stats.callback_errors == stats.memory_used == stats.handshakes_refused == 0


def test_refused_requests_are_counted(run: Listen) -> None:
    server = run(origins=["https://example.org"])
    assert status(server) == 403
    eventually(lambda: server.stats().handshakes_refused == 1, "the count")
    assert server.stats().connections_accepted == 1
    assert server.stats().clients_opened == 0


def test_stats_stay_readable_after_the_end(server: EchoServer) -> None:
    with connect(server.url) as client:
        client.send("x")
        client.recv()
    server.stop()
    assert server.stats().messages_sent == 1
