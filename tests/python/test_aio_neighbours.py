"""The server beside anyio, trio and forks, and calls that block the loop of its clients."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import pytest
import trio

from aio_support import connect, exchange, factory, run_on, soon
from echoserver import Client, EchoServer
from support import TIMEOUT, RawClient
from support import connect as connect_sync

if TYPE_CHECKING:
    from aio_support import Run

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def test_anyio_on_asyncio() -> None:
    async def on_text(_client: Client, text: str) -> str:
        with anyio.move_on_after(0.001):
            await anyio.sleep(1000)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        return text.upper()

    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", on_text=on_text)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve_async)
            with anyio.fail_after(TIMEOUT):
                while not server.is_serving:
                    await anyio.sleep(0.001)
                async with connect(server.url) as client:
                    assert await exchange(client, "a", "b") == ["A", "B"]
            group.cancel_scope.cancel()
        assert not server.is_serving
        with anyio.move_on_after(0.01) as scope:
            async with EchoServer(0, host="127.0.0.1"):
                await anyio.sleep(1000)
        assert scope.cancelled_caught

    for name in ("asyncio", "uvloop"):
        options = {"loop_factory": factory(name)} if name == "uvloop" else {}
        anyio.run(main, backend="asyncio", backend_options=options)


def test_trio_through_start() -> None:
    """As the guide shows it."""

    async def main() -> None:
        token = trio.lowlevel.current_trio_token()
        sending, receiving = trio.open_memory_channel[str](100)

        def on_text(_client: Client, text: str) -> None:
            token.run_sync_soon(sending.send_nowait, text)

        def talk() -> None:
            with connect_sync(server.url) as client:
                client.send("x")
                assert client.recv(TIMEOUT) == "x"

        with trio.fail_after(TIMEOUT), EchoServer(0, host="127.0.0.1", on_text=on_text) as server:
            await trio.to_thread.run_sync(talk)
            assert await receiving.receive() == "x"
            await trio.to_thread.run_sync(server.stop)
        other = EchoServer(0, host="127.0.0.1")
        with pytest.raises(RuntimeError, match=r"under trio, use start\(\)"):
            await other.serve_async()
        other.stop()

    trio.run(main)


def test_a_forked_child_gets_an_error_and_harms_nobody(make_loop: MakeLoop) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("NO FORK on this system")

    async def main() -> None:
        async with (
            EchoServer(0, host="127.0.0.1", on_text=lambda *_: None) as server,
            connect(server.url) as client,
        ):
            assert await exchange(client, "a") == ["a"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                try:
                    server.stop()
                except RuntimeError:
                    os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            assert await exchange(client, "b") == ["b"]

    run_on(make_loop, main)


@pytest.mark.parametrize("how", ["with", "stop()"])
def test_a_stop_that_holds_up_the_loop_of_its_clients_drops_them_with_a_warning(on_loop: Run, how: str) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", close_timeout=1000.0).start()
        # Nobody holds up the first one.
        with connect_sync(server.url) as polite:
            clients = [await connect(server.url) for _ in range(3)]
            assert await exchange(clients[0], "x") == ["x"]
            with pytest.warns(RuntimeWarning, match="3 dropped: use `async with`") as warned:
                server.stop() if how == "stop()" else server.__exit__(None, None, None)
            assert list(polite) == []
            assert polite.close_code == 1001
        assert warned[0].filename == __file__
        assert not server.is_serving
        for client in clients:
            await soon(client.wait_closed())

    on_loop(main)


def test_a_stop_that_holds_up_nobody_warns_of_nothing(on_loop: Run) -> None:
    async def main() -> None:
        EchoServer(0, host="127.0.0.1").start().stop()
        # Whoever says how long means it.
        server = EchoServer(0, host="127.0.0.1").start()
        client = await connect(server.url)
        server.stop(0.1)
        await soon(client.wait_closed())

    on_loop(main)


def test_a_stop_that_holds_up_trio_says_so() -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", close_timeout=1000.0).start()
        warned = pytest.warns(RuntimeWarning, match=r"1 dropped: await trio\.to_thread\.run_sync\(server\.stop\)")
        with RawClient(server.port).opened(), warned:
            server.stop()

    trio.run(main)
