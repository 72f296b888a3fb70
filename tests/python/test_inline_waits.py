"""`workers=0`: what happens to the clients while a callback waits, or blocks."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from echoserver import EchoServer
from echoserver.testing import EchoTestServer
from support import FACTOR, TIMEOUT, RawClient, connect, in_thread, join

if TYPE_CHECKING:
    from echoserver import Client


def inline(**options: Any) -> EchoServer:
    return EchoServer(0, host="127.0.0.1", workers=0, **options)


def test_a_callback_that_flushes_serves_the_others_meanwhile() -> None:
    flushing, flushed = threading.Event(), threading.Event()
    size = 2**25

    def on_text(client: Client, text: str) -> str:
        if text == "other":
            assert flushed.is_set()
            return text
        client.send(b"x" * size)
        flushing.set()
        client.flush(TIMEOUT)
        flushed.set()
        return "after"

    with (
        inline(on_text=on_text) as server,
        RawClient(server.port, receive_buffer=4096).opened() as slow,
        connect(server.url) as other,
    ):
        slow.send(1, b"flush")
        assert flushing.wait(TIMEOUT)
        # Without a callback: a native echo, a ping, and somebody new; messages for callbacks wait.
        other.send("other")
        other.send(b"echo")
        assert other.ping().wait(TIMEOUT)
        with connect(server.url) as new:
            assert new.ping().wait(TIMEOUT)
        assert not flushed.is_set()
        assert slow.receive() == (2, b"x" * size)
        assert slow.receive() == (1, b"after")
        assert [other.recv(TIMEOUT), other.recv(TIMEOUT)] == ["other", b"echo"]


def test_a_callback_can_wait_for_what_its_client_does() -> None:
    got: queue.Queue[object] = queue.Queue()

    def on_text(client: Client, text: str) -> None:
        client.ping(b"?")
        got.put(client.wait_pong(timeout=TIMEOUT))
        server.pause()
        server.resume()
        with server.down(clients="keep"):
            got.put(text)

    with EchoTestServer(workers=0, on_text=on_text) as server, connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"
        assert [got.get(timeout=TIMEOUT) for _ in range(2)] == [b"?", "x"]


def test_a_wait_in_a_callback_ends_with_the_server() -> None:
    waits, codes = threading.Event(), queue.Queue[int | None]()

    def on_text(client: Client, _text: str) -> None:
        client.send(b"x" * 2**25)
        waits.set()
        client.flush(TIMEOUT)
        codes.put(client.close_code)

    server = inline(on_text=on_text).start()
    with RawClient(server.port, receive_buffer=4096).opened() as client:
        client.send(1, b"x")
        assert waits.wait(TIMEOUT)
        server.stop(0.05, wait=False)
        server.wait_closed(TIMEOUT)
        # It was dropped with what waited for it, our close frame or not.
        assert codes.get(timeout=TIMEOUT) in {1001, 1006}


def test_servers_in_callbacks_of_each_other_all_serve() -> None:
    """The inner one waits for a client of the outer one."""
    outer_client: queue.Queue[Client] = queue.Queue()
    size = 2**25

    def on_inner(_client: Client, text: str) -> str:
        one = outer_client.get(timeout=TIMEOUT)
        one.send(b"x" * size)
        one.flush(TIMEOUT)
        inner.stop()
        return text * 2

    def on_outer(client: Client, _text: str) -> str:
        outer_client.put(client)
        thread = in_thread(talk)
        inner.serve()
        join(thread)
        return str(answers.get(timeout=TIMEOUT))

    def talk() -> None:
        with connect(inner.url) as client:
            client.send("ab")
            answers.put(client.recv(TIMEOUT))

    answers: queue.Queue[object] = queue.Queue()
    inner = inline(on_text=on_inner)
    with inline(on_text=on_outer) as outer, RawClient(outer.port, receive_buffer=4096).opened() as client:
        client.send(1, b"x")
        assert client.receive() == (2, b"x" * size)
        assert client.receive() == (1, b"abab")


def test_time_in_a_callback_counts_for_nobodys_timeout() -> None:
    blocks, goes_on = threading.Event(), threading.Event()
    limit = 2 * FACTOR

    def on_text(_client: Client, text: str) -> str:
        blocks.set()
        # Longer than anybody may be idle; nobody sets it.
        goes_on.wait(limit * 1.2)
        return text

    server = inline(on_text=on_text, idle_timeout=limit, ping_interval=None)
    with server, connect(server.url) as one, connect(server.url) as silent:
        one.send("x")
        assert blocks.wait(TIMEOUT)
        assert one.recv(TIMEOUT) == "x"
        silent.send(b"still here")
        assert silent.recv(TIMEOUT) == b"still here"


def test_what_comes_while_a_callback_blocks_is_served_after_it() -> None:
    blocks, goes_on = threading.Event(), threading.Event()

    def on_text(_client: Client, text: str) -> str:
        if text == "block":
            blocks.set()
            goes_on.wait(TIMEOUT)
        return text.upper()

    with inline(on_text=on_text) as server, connect(server.url) as one:
        others = [RawClient(server.port).opened() for _ in range(10)]
        one.send("block")
        assert blocks.wait(TIMEOUT)
        for number, other in enumerate(others):
            other.send(1, f"text {number}".encode())
            other.send(2, bytes([number]))
        # It waits in the backlog.
        late = RawClient(server.port)
        goes_on.set()
        assert one.recv(TIMEOUT) == "BLOCK"
        for number, other in enumerate(others):
            assert other.receive() == (1, f"TEXT {number}".encode())
            assert other.receive() == (2, bytes([number]))
            other.close()
        with late.opened():
            pass
