"""Cancellation: of the task that serves, by its program, by a task group, by a timeout."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from aio_support import connect, exchange, soon, started
from echoserver import EchoServer
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


def test_cancelled_twice_it_drops_what_is_left(on_loop: Run, listen: Listen) -> None:
    async def main() -> None:
        server = listen(close_timeout=1000.0)
        serving = await started(server)
        # It will not answer the close frame.
        with RawClient(server.port).opened() as client:
            serving.cancel()
            assert await asyncio.to_thread(client.close_code) == 1001
            assert not serving.done()
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(serving)
            assert await asyncio.to_thread(client.is_dropped)

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
