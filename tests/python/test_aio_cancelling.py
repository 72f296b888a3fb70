"""Cancellation: of the task that serves, by its program, by a task group, by a timeout."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aio_support import connect, exchange, soon, started
from echoserver import Client, EchoServer
from support import RawClient

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen


def test_cancelling_the_serving_task_stops_in_order(on_loop: Run, listen: Listen) -> None:
    async def main() -> None:
        closed = []
        server = listen(on_text=lambda *_: None, on_closed=lambda: closed.append(1))
        serving = await started(server)
        async with connect(server.url) as client:
            assert await exchange(client, "a") == ["a"]
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert not server.is_serving
            assert closed == [1]
            await soon(client.wait_closed())
            assert client.close_code == 1001
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address)

    on_loop(main)


@pytest.mark.parametrize("messages", [(None, None), ("", ""), ("one", "another")])
def test_cancelled_twice_it_drops_what_is_left(on_loop: Run, listen: Listen, messages: tuple[Any, Any]) -> None:
    async def main() -> None:
        server = listen(close_timeout=1000.0)
        serving = await started(server)
        # It will not answer the close frame.
        with RawClient(server.port).opened() as client:
            serving.cancel(messages[0])
            assert await asyncio.to_thread(client.close_code) == 1001
            assert not serving.done()
            serving.cancel(messages[1])
            with pytest.raises(asyncio.CancelledError):
                await soon(serving)
            assert await asyncio.to_thread(client.is_dropped)

    on_loop(main)


def test_a_cancellation_that_is_delivered_again_is_the_same_one(on_loop: Run, listen: Listen) -> None:
    async def main() -> None:
        server = listen(close_timeout=1000.0)
        serving = await started(server)
        with RawClient(server.port).opened() as client:
            for _ in range(10):
                serving.cancel("again and again")
                await asyncio.sleep(0)
            assert await asyncio.to_thread(client.close_code) == 1001
            serving.cancel("again and again")
            client.send(8, b"\x03\xe9")
            with pytest.raises(asyncio.CancelledError):
                await soon(serving)

    on_loop(main)


def test_a_task_group_stops_it_with_the_others(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")

        async def fail() -> None:
            async with connect(server.url) as client:
                assert await exchange(client, "x") == ["x"]
                raise ZeroDivisionError

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve_async())
                group.create_task(fail())

        with pytest.raises(ExceptionGroup) as caught:
            await both()
        assert caught.group_contains(ZeroDivisionError, depth=1)
        assert not server.is_serving

    on_loop(main)


def test_a_timeout_stops_it(on_loop: Run) -> None:
    async def main() -> None:
        first, second = EchoServer(0, host="127.0.0.1"), EchoServer(0, host="127.0.0.1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first.serve_async(), 0.01)

        async def serve() -> None:
            async with asyncio.timeout(0.01), second:
                await asyncio.sleep(1000)

        with pytest.raises(TimeoutError):
            await serve()
        assert not first.is_serving
        assert not second.is_serving
        # Nothing of the cancellation is left.
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0

    on_loop(main)


class Held:
    """A server whose `on_text` answers "held" when it is let go on, and 5 clients that wait for that answer."""

    def __init__(self) -> None:
        """It only listens."""
        self.goes_on = asyncio.Event()
        self.begun = 0
        self.server = EchoServer(0, host="127.0.0.1", on_text=self.on_text)

    async def on_text(self, _client: Client, text: str) -> str:
        """Waits if the client asks for that."""
        if text == "held":
            self.begun += 1
            await self.goes_on.wait()
        return text

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """While they wait; what is given has them get their answer, and then 1001."""
        clients = [await connect(self.server.url) for _ in range(5)]
        for client in clients:
            await client.send("held")
        while self.begun < 5:
            await asyncio.sleep(0.001)

        async def get() -> None:
            for client in clients:
                assert [message async for message in client] == ["held"]
                assert client.close_code == 1001

        yield get


def counting(make_loop: Callable[[], Any], turns: list[None]) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes loops that note what they are given to do soon: a loop that spins is given something at every turn."""
    probe: Any = make_loop()
    probe.close()

    class Counting(type(probe)):  # type: ignore[misc]
        def call_soon(self, *arguments: Any, **options: Any) -> Any:
            turns.append(None)
            return super().call_soon(*arguments, **options)

    return Counting


async def serve_async(server: EchoServer) -> None:
    """One of the ways to serve on a loop."""
    await server.serve_async()


async def async_with(server: EchoServer) -> None:
    """The other."""
    async with server:
        await asyncio.sleep(1000)


Serve = Callable[[EchoServer], Coroutine[Any, Any, None]]
SERVE = [serve_async, async_with]
# How long the stop waits for the callbacks. anyio would cancel some ten thousand times meanwhile.
STOPPING = 0.25


@pytest.mark.parametrize("serve", SERVE)
def test_cancelled_it_stops_in_order_with_coroutines_in_flight(on_loop: Run, serve: Serve) -> None:
    async def main() -> None:
        held = Held()
        serving = asyncio.create_task(serve(held.server))
        async with held.clients() as get:
            serving.cancel()
            asyncio.get_running_loop().call_later(STOPPING, held.goes_on.set)
            await soon(get())
        with pytest.raises(asyncio.CancelledError):
            await soon(serving)

    on_loop(main)


@pytest.mark.parametrize("serve", SERVE)
@pytest.mark.parametrize("scope", ["the group's", "its own"])
def test_cancelled_by_anyio_it_stops_in_order_and_without_spinning(
    make_loop: Callable[[], Any], serve: Serve, scope: str
) -> None:
    turns: list[None] = []
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        held, own = Held(), anyio.CancelScope()

        async def serve_in_scope() -> None:
            with own:
                await serve(held.server)

        before = 0
        async with anyio.create_task_group() as group:
            group.start_soon(serve_in_scope)
            with anyio.CancelScope(shield=True):
                async with held.clients() as get:
                    before = len(turns)
                    (own if scope == "its own" else group.cancel_scope).cancel()
                    loop.call_later(STOPPING, held.goes_on.set)
                    await soon(get())
        assert not held.server.is_serving
        # Some dozens; a loop that spins has thousands.
        assert len(turns) - before < 1000

    anyio.run(main, backend="asyncio", backend_options={"loop_factory": counting(make_loop, turns)})
    gc.collect()
    assert complaints == []
