"""That whoever waits for what clients do is told of it, in any thread and on any loop, or told why it does not come."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
import websockets

from echoserver import Client, ClientClosed, EchoServer
from echoserver.testing import EchoTestServer
from support import TIMEOUT, RawClient, connect, in_thread, join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Listen

RECORD = 2**20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_whoever_is_told_of_an_end_finds_the_client_gone(recorded: EchoServer) -> None:
    for turn in range(100):
        with connect(recorded.url) as ws:
            client = recorded.accept()
            thread = in_thread(ws.close)
            if turn % 2:
                recorded.wait_until(lambda: recorded.client_count == 0)
            else:
                client.wait_closed()
                assert recorded.client_count == 0
            join(thread)


def test_whoever_is_told_of_a_message_finds_its_answer_counted() -> None:
    with EchoTestServer(on_text=lambda _client, _message: "answer") as server, connect(server.url) as ws:
        client = server.accept()

        def is_counted(answers: int) -> bool:
            return server.stats().messages_sent == answers

        for turn in range(1, 101):
            thread = in_thread(ws.send, "question")
            if turn % 2:
                server.wait_until(partial(is_counted, turn))
            assert client.recv() == "question"
            assert is_counted(turn)
            join(thread)


def test_a_wait_ends_although_more_goes_on_happening(recorded: EchoServer) -> None:
    """The look itself is what happens."""
    with pytest.raises(TimeoutError):
        recorded.wait_until(recorded.clear, timeout=0.05)
    with pytest.raises(TimeoutError):
        asyncio.run(recorded.wait_until_async(recorded.clear, timeout=0.05))


@pytest.mark.parametrize("what", ["clear", "abort"])
def test_what_a_predicate_does_itself_does_not_have_it_asked_again(what: str) -> None:
    with EchoTestServer() as server, RawClient(server.port).opened():
        client = server.accept()
        # It stays: what would end it is not read.
        client.pause()
        acts = {"clear": server.clear, "abort": client.abort}
        asked = 0

        def is_asked_often() -> bool:
            nonlocal asked
            acts[what]()
            asked += 1
            return asked == 100

        with pytest.raises(TimeoutError):
            server.wait_until(is_asked_often, 0.2)
        client.abort()


def test_a_timeout_says_what_did_come(recorded: EchoServer) -> None:
    with connect(recorded.url) as ws:
        client = recorded.accept()
        with pytest.raises(TimeoutError, match=r"^after 0.01 s: no message from client 1 .*; it has sent none$"):
            client.recv(0.01)
        ws.send("one")
        assert recorded.wait_received(1) == ["one"]
        with pytest.raises(TimeoutError, match=r"^after 0 s: 1 of 3 messages: 1: 'one'$"):
            recorded.wait_received(3, timeout=0)
        with pytest.raises(TimeoutError, match=r"^after 0 s: no pong from client 1"):
            client.wait_pong(0)
        with pytest.raises(TimeoutError, match=r"is not true; received 1: 'one'$"):
            recorded.wait_until(lambda: len(recorded.received) > 1, timeout=0)


def test_waiting_goes_on_when_it_comes(recorded: EchoServer, pool: ThreadPoolExecutor) -> None:
    waiting: list[Future[Any]] = [
        pool.submit(recorded.accept, timeout=TIMEOUT),
        pool.submit(recorded.wait_received, 2, TIMEOUT),
        pool.submit(recorded.wait_until, lambda: recorded.received[1:], TIMEOUT),
    ]
    with connect(recorded.url) as ws:
        ws.send("a")
        ws.send("b")
        client, both, rest = [one.result(TIMEOUT) for one in waiting]
        assert (client.id, both, rest) == (1, ["a", "b"], ["b"])
        more = pool.submit(client.recv, TIMEOUT)
        assert more.result(TIMEOUT) == "a"


def test_wait_pong(recorded: EchoServer, pool: ThreadPoolExecutor) -> None:
    with connect(recorded.url) as ws:
        client = recorded.accept()
        waiting = pool.submit(client.wait_pong, TIMEOUT)
        client.ping("are you there")
        reading = pool.submit(ws.recv)
        assert waiting.result(TIMEOUT) == b"are you there"
        client.send("done")
        assert reading.result(TIMEOUT) == "done"
    recorded.wait_until(lambda: client.close_code)
    with pytest.raises(ClientClosed):
        client.wait_pong(None)


def test_a_stop_ends_every_wait(run: Listen, pool: ThreadPoolExecutor) -> None:
    server = run(record=RECORD, close_timeout=0.1)
    with RawClient(server.port).opened():
        client = server.accept()
        waiting: list[Future[Any]] = [
            pool.submit(server.accept, timeout=None),
            pool.submit(server.wait_received, 1, None),
            pool.submit(server.wait_until, lambda: False, None),
        ]
        reading = pool.submit(client.recv, None)
        server.stop()
        for wait in waiting:
            with pytest.raises(RuntimeError, match="since the server has"):
                wait.result(TIMEOUT)
        with pytest.raises(ClientClosed):
            reading.result(TIMEOUT)


def test_the_end_of_the_loop_of_callbacks_ends_a_wait_on_another_loop() -> None:
    """The server's own loop ends after the server has closed, and it waits for all who are to be told."""
    is_closing, go_on = threading.Event(), threading.Event()
    left: list[asyncio.Task[None]] = []

    async def outlives() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_closing.set()
            assert go_on.wait(TIMEOUT)

    async def on_connect(_client: Client) -> None:
        left.append(asyncio.create_task(outlives()))
        await asyncio.sleep(0)

    async def main() -> None:
        has_looked = asyncio.Event()
        waiting = asyncio.create_task(server.wait_until_async(has_looked.set, None))
        server.stop(wait=False)
        await asyncio.to_thread(is_closing.wait, TIMEOUT)
        has_looked.clear()
        server.clear()
        await has_looked.wait()
        # Now it waits for nothing but the end.
        go_on.set()
        with pytest.raises(RuntimeError, match="nothing will come, since the server has ended"):
            await waiting

    server = EchoTestServer(on_connect=on_connect, close_timeout=0.1).start()
    with RawClient(server.port).opened():
        server.wait_until(lambda: left, TIMEOUT)
        asyncio.run(asyncio.wait_for(main(), TIMEOUT))
    server.stop()


def test_a_wait_that_would_stop_the_loop_names_the_way_out(recorded: EchoServer) -> None:
    async def main() -> None:
        async with websockets.connect(recorded.url, proxy=None) as ws:
            client = await recorded.accept_async()
            for call, name in (
                (client.recv, "recv"),
                (client.wait_pong, "wait_pong"),
                (recorded.accept, "accept"),
                (lambda: recorded.wait_received(1), "wait_received"),
                (lambda: recorded.wait_until(lambda: False), "wait_until"),
            ):
                with pytest.raises(RuntimeError, match=rf"^{name}\(\) would stop .*: await {name}_async\(\) instead"):
                    call()
            await ws.send("there")
            assert await ws.recv() == "there"
            # Nothing to wait for.
            assert client.recv() == "there"

    asyncio.run(main())


def test_the_async_forms(recorded: EchoServer) -> None:
    async def main() -> None:
        accepting = asyncio.create_task(recorded.accept_async("/x"))
        receiving = asyncio.create_task(recorded.wait_received_async(2))
        until = asyncio.create_task(recorded.wait_until_async(lambda: recorded.received))
        async with websockets.connect(recorded.url_for("x"), proxy=None) as ws:
            client = await accepting
            reading = asyncio.create_task(client.recv_async())
            await ws.send("a")
            assert await reading == "a"
            assert await until == ["a"]
            await ws.send("b")
            assert await receiving == ["a", "b"]
            client.ping(b"?")
            assert await client.wait_pong_async() == b"?"
            with pytest.raises(TimeoutError, match=r"^after 0.01 s: no client"):
                await recorded.accept_async(timeout=0.01)
            cancelled = asyncio.create_task(client.recv_async(None))
            assert await client.recv_async() == "b"
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await ws.send("not lost")
            assert await client.recv_async() == "not lost"
        with pytest.raises(ClientClosed):
            await client.recv_async(None)

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))


def test_a_predicate_has_to_be_callable(recorded: EchoServer) -> None:
    predicate: Any = True
    with pytest.raises(TypeError, match="predicate=True: must be callable, without arguments"):
        recorded.wait_until(predicate)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *((EchoServer, name) for name in ("accept", "wait_received", "wait_until")),
        *((Client, name) for name in ("recv", "wait_pong", "wait_closed")),
    ],
)
def test_waits_for_what_a_client_does_have_the_same_limit_in_both_forms(owner: type, name: str) -> None:
    for form in (name, f"{name}_async"):
        assert signature(getattr(owner, form)).parameters["timeout"].default == 5.0
