"""What a callback orders leaves when it is ordered, behind the replies before it; no reply waits for another call."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import NO_REPLY, Client
from support import TIMEOUT, RawClient, connect, eventually, frame, in_thread, join, thread_names

if TYPE_CHECKING:
    from conftest import Listen

Callback = Callable[[Client, str], Any]


def as_coroutine(callback: Callback) -> Callable[[Client, str], Coroutine[Any, Any, Any]]:
    """The same as an `async def`, with a wait before it."""

    async def coroutine(client: Client, message: str) -> Any:
        await asyncio.sleep(0)
        return callback(client, message)

    return coroutine


@pytest.fixture(params=["plain", "async"])
def kind(request: pytest.FixtureRequest) -> Callable[[Callback], Callback]:
    """Makes the callback one that blocks its thread, or one that blocks an event loop."""
    return as_coroutine if request.param == "async" else lambda callback: callback


@pytest.mark.needs_worker
def test_what_a_callback_sends_arrives_while_it_works(run: Listen, kind: Callable[[Callback], Callback]) -> None:
    go_on = threading.Event()

    def on_text(client: Client, _message: str) -> str:
        client.send("working")
        client.ping(b"alive")
        assert go_on.wait(TIMEOUT)
        return "done"

    with RawClient(run(on_text=kind(on_text)).port) as raw:
        raw.opened()
        raw.send(1, b"begin")
        assert raw.receive() == (1, b"working")
        assert raw.receive() == (9, b"alive")
        go_on.set()
        assert raw.receive() == (1, b"done")


@pytest.mark.needs_worker
def test_replies_of_a_batch_arrive_while_the_next_callback_blocks(
    run: Listen, kind: Callable[[Callback], Callback]
) -> None:
    go_on = threading.Event()

    def on_text(_client: Client, message: str) -> None:
        if message == "blocks":
            assert go_on.wait(TIMEOUT)

    server = run(on_text=kind(on_text))
    with RawClient(server.port) as raw, connect(server.url) as other:
        raw.opened()
        # The first batch, and one that waits behind callbacks that take longer than a moment.
        for count in (3, 7):
            messages = [f"{number}".encode() for number in range(count)]
            raw.socket.sendall(b"".join(frame(1, one) for one in [*messages, b"blocks", b"after"]))
            for one in messages:
                assert raw.receive() == (1, one)
            go_on.set()
            assert [raw.receive(), raw.receive()] == [(1, b"blocks"), (1, b"after")]
            go_on.clear()
        other.send("another client's")
        assert other.recv(TIMEOUT) == "another client's"
        go_on.clear()
        other.send("blocks")
        go_on.set()
        assert other.recv(TIMEOUT) == "blocks"


@pytest.mark.needs_worker
def test_replies_of_one_client_do_not_wait_for_the_callback_of_another(run: Listen) -> None:
    go_on, answering = threading.Event(), threading.Event()

    def on_text(_client: Client, message: str) -> None:
        if message == "last":
            answering.set()
            # So that the other client's message is next.
            eventually(lambda: server.stats().text_messages_received % 3 == 0)
        elif message == "blocks":
            assert go_on.wait(TIMEOUT)

    server = run(on_text=on_text, workers=1)
    with RawClient(server.port) as first, RawClient(server.port) as second:
        first.opened()
        second.opened()
        for _ in range(20):
            first.socket.sendall(frame(1, b"first") + frame(1, b"last"))
            assert answering.wait(TIMEOUT)
            second.send(1, b"blocks")
            assert [first.receive(), first.receive()] == [(1, b"first"), (1, b"last")]
            go_on.set()
            assert second.receive() == (1, b"blocks")
            go_on.clear()
            answering.clear()


@pytest.mark.needs_worker
@pytest.mark.skipif(sys.platform != "linux", reason="which threads there are")
def test_replies_do_not_wait_for_a_worker_that_has_ended(run: Listen) -> None:
    entered, go_on, answered = threading.Event(), threading.Event(), threading.Event()

    def on_text(_client: Client, message: str) -> None:
        if message == "blocks":
            entered.set()
            assert go_on.wait(TIMEOUT)
        elif message == "waits":
            assert answered.wait(TIMEOUT)

    server = run(on_text=on_text, workers=2)
    with RawClient(server.port) as first, RawClient(server.port) as second:
        first.opened()
        second.opened()
        first.socket.sendall(frame(1, b"blocks") + frame(1, b"of one") + frame(1, b"that is gone"))
        assert entered.wait(TIMEOUT)
        second.socket.sendall(frame(1, b"first") + frame(1, b"waits") + frame(1, b"last"))
        eventually(lambda: server.stats().text_messages_received == 6)
        first.reset_at_close()
        first.close()
        eventually(lambda: server.client_count == 1)
        server.stop(TIMEOUT, wait=False)
        eventually(lambda: len([name for name in thread_names() if name.startswith("echoserver-w")]) == 1)
        go_on.set()
        assert second.receive() == (1, b"first")
        answered.set()
        assert [second.receive(), second.receive()] == [(1, b"waits"), (1, b"last")]
        assert second.close_code() == 1001


@pytest.mark.parametrize("order", ["send", "ping", "close"])
def test_what_another_thread_orders_follows_the_replies_and_orders_before_it(
    run: Listen, kind: Callable[[Callback], Callback], order: str
) -> None:
    def on_text(client: Client, message: str) -> Any:
        if message != "2":
            return message
        client.send("first")
        arguments: dict[str, list[Any]] = {"send": ["second"], "ping": [b"second"], "close": [4000]}
        join(in_thread(getattr(client, order), *arguments[order]))
        if order != "close":
            client.send("third")
        return NO_REPLY

    with RawClient(run(on_text=kind(on_text)).port) as raw:
        raw.opened()
        raw.socket.sendall(b"".join(frame(1, one) for one in (b"0", b"1", b"2", b"3")))
        expected = [(1, b"0"), (1, b"1"), (1, b"first")]
        if order == "close":
            expected.append((8, b"\x0f\xa0"))
        else:
            expected += [(1 if order == "send" else 9, b"second"), (1, b"third"), (1, b"3")]
        assert [raw.receive() for _ in expected] == expected


@pytest.mark.needs_worker
def test_another_thread_can_flush_what_a_callback_has_sent(run: Listen, kind: Callable[[Callback], Callback]) -> None:
    flushed = threading.Event()

    def on_text(client: Client, _message: str) -> Any:
        client.send("x" * 100_000)

        def flush() -> None:
            client.flush(TIMEOUT)
            flushed.set()

        join(in_thread(flush))
        return NO_REPLY

    with connect(run(on_text=kind(on_text)).url) as client:
        client.send("go")
        assert client.recv(TIMEOUT) == "x" * 100_000
    assert flushed.is_set()


@pytest.mark.needs_worker
def test_an_abort_is_seen_while_the_callback_works(run: Listen, kind: Callable[[Callback], Callback]) -> None:
    go_on = threading.Event()

    def on_text(client: Client, _message: str) -> None:
        client.abort()
        assert go_on.wait(TIMEOUT)

    with RawClient(run(on_text=kind(on_text)).port) as raw:
        raw.opened()
        raw.send(1, b"go")
        assert raw.is_dropped()
        go_on.set()
