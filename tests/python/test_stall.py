"""A callback that blocks holds up nobody but those who wait for its answers. stall.py tells how fast the others are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from conftest import Listen
from echoserver import Client
from support import TIMEOUT, connect, eventually


@contextmanager
def blocked(run: Listen, kind: str) -> Iterator[str]:
    """The URL of a server one of whose callbacks blocks as long as this lasts, and answers after it."""
    entered, leave = threading.Event(), threading.Event()

    def block(*_: object) -> None:
        entered.set()
        assert leave.wait(TIMEOUT)

    server = run(**{kind: block})
    with connect(server.url) as client:
        if kind == "on_text":
            client.send("this one waits")
        else:
            client.close()
        assert entered.wait(TIMEOUT)
        try:
            yield server.url
        finally:
            leave.set()
        if kind == "on_text":
            assert client.recv(TIMEOUT) == "this one waits"


@pytest.mark.needs_worker
@pytest.mark.parametrize("kind", ["on_text", "on_disconnect"])
def test_others_get_handshakes_pongs_and_native_echoes(run: Listen, kind: str) -> None:
    with blocked(run, kind) as url, connect(url) as other:
        assert other.ping(b"still there?").wait(TIMEOUT)
        other.send(b"binary has no callback")
        assert other.recv(TIMEOUT) == b"binary has no callback"


@pytest.mark.needs_worker
def test_others_are_closed_in_order(run: Listen) -> None:
    with blocked(run, "on_text") as url:
        with connect(url) as other:
            other.close(4001, "enough")
        assert other.close_code == 4001


@pytest.mark.needs_worker
def test_a_client_whose_answer_is_outstanding_gets_pongs(run: Listen) -> None:
    entered, leave = threading.Event(), threading.Event()

    def on_text(_: Client, message: str) -> str:
        entered.set()
        assert leave.wait(TIMEOUT)
        return message.upper()

    with connect(run(on_text=on_text).url) as client:
        client.send("first")
        client.send(b"second")
        assert entered.wait(TIMEOUT)
        # It overtakes the answers, which keep their order: the binary message waits for the text before it.
        assert client.ping().wait(TIMEOUT)
        leave.set()
        assert [client.recv(TIMEOUT), client.recv(TIMEOUT)] == ["FIRST", b"second"]


def test_a_thread_that_computes_holds_up_nobody(run: Listen) -> None:
    is_over = threading.Event()

    def compute() -> None:
        while not is_over.is_set():
            sum(range(1_000_000))

    server = run(on_text=lambda _client, message: message)
    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with connect(server.url) as client:
            client.send(b"native")
            assert client.recv(TIMEOUT) == b"native"
            client.send("through Python")
            assert client.recv(TIMEOUT) == "through Python"
    finally:
        is_over.set()
        for thread in threads:
            thread.join(TIMEOUT)


@pytest.mark.needs_worker
@pytest.mark.parametrize("end", [Client.abort, Client.close], ids=["abort", "close"])
def test_a_client_can_be_ended_while_its_callback_blocks(run: Listen, end: Callable[[Client], None]) -> None:
    entered, leave, gone = threading.Event(), threading.Event(), threading.Event()

    def on_text(_: Client, _message: str) -> None:
        entered.set()
        assert leave.wait(TIMEOUT)

    server = run(on_text=on_text, on_disconnect=lambda _: gone.set())
    with connect(server.url) as client:
        client.send("its echo is lost")
        assert entered.wait(TIMEOUT)
        (its,) = server.clients
        end(its)
        eventually(lambda: not server.clients, "the client's end")
        assert not gone.is_set()
        leave.set()
        assert gone.wait(TIMEOUT)
