"""Stopping a server, and waiting for its end, on an event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING

import pytest

from aio_support import connect, exchange, no_thread_stays, soon, started
from echoserver import Client, EchoServer
from echoserver.testing import EchoTestServer
from support import TIMEOUT, RawClient

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen


def test_wait_closed_async_waits_on_any_loop(on_loop: Run, run: Listen) -> None:
    async def main() -> None:
        inside = EchoServer(0, host="127.0.0.1")
        for server in (run(), run(on_text=lambda *_: None), inside):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.serve_async() if server is inside else server.wait_closed_async(), 0.01)
            assert server.is_serving == (server is not inside)
            if server is not inside:
                with pytest.raises(TimeoutError, match=r"^the server still runs after 0\.01 s$"):
                    await server.wait_closed_async(0.01)
            waiting = [asyncio.create_task(server.wait_closed_async()) for _ in range(3)]
            await asyncio.to_thread(server.stop)
            await soon(asyncio.gather(*waiting))
            await soon(server.wait_closed_async())

    on_loop(main)


def test_stop_async_stops_however_it_is_served(on_loop: Run, run: Listen, listen: Listen) -> None:
    async def main() -> None:
        own, elsewhere, native = listen(on_text=lambda *_: None), run(on_text=lambda *_: None), run()
        serving = await started(own)
        for server in (own, elsewhere, native):
            async with connect(server.url) as client:
                assert await exchange(client, "x") == ["x"]
                # The client is of this loop, and can answer.
                await soon(server.stop_async())
                assert client.close_code == 1001
            assert not server.is_serving
            await soon(server.stop_async())
            await soon(server.stop_async(0))
        await soon(serving)
        never = listen()
        await soon(never.stop_async())
        with pytest.raises(RuntimeError, match="stopped"):
            never.start()

    on_loop(main)


def test_stop_async_drops_at_its_deadline_who_does_not_answer(on_loop: Run, run: Listen) -> None:
    async def main() -> None:
        server = run(close_timeout=1000.0)
        with RawClient(server.port).opened() as client:
            stopping = asyncio.create_task(server.stop_async())
            assert await asyncio.to_thread(client.close_code) == 1001
            # It is stopped all the same.
            stopping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stopping
            await soon(server.stop_async(0.1))
            assert await asyncio.to_thread(client.is_dropped)

    on_loop(main)


def test_stop_async_in_a_callback_only_asks(on_loop: Run, listen: Listen) -> None:
    async def on_text(_client: Client, text: str) -> str:
        await server.stop_async()
        return text

    server: EchoServer = listen(on_text=on_text)

    async def main() -> None:
        serving = await started(server)
        async with connect(server.url) as client:
            assert await exchange(client, "x") == ["x"]
            await soon(client.wait_closed())
            assert client.close_code == 1001
        await soon(serving)

    on_loop(main)


def test_stop_async_names_the_callback_that_goes_on(on_loop: Run, run: Listen) -> None:
    entered, goes_on = threading.Event(), threading.Event()

    def on_text(*_: object) -> None:
        entered.set()
        assert goes_on.wait(TIMEOUT)

    async def main() -> None:
        server = run(on_text=on_text)
        with RawClient(server.port).opened() as client:
            client.send(1, b"x")
            assert await asyncio.to_thread(entered.wait, TIMEOUT)
            with pytest.raises(TimeoutError, match=r"on_text still runs after 0\.1 s"):
                await server.stop_async(0.1)
        goes_on.set()
        await soon(server.stop_async())

    on_loop(main)


@pytest.mark.parametrize("end", ["started", "started meanwhile", "stopped", "cancelled"])
def test_a_stop_does_not_wait_for_who_waits_for_a_server_that_was_never_started(on_loop: Run, end: str) -> None:
    async def main() -> None:
        first, other = EchoTestServer().start(), EchoTestServer()
        waiting = asyncio.create_task(other.wait_received_async(1, timeout=None))
        # It waits by now.
        await asyncio.sleep(0)
        if end == "started meanwhile":
            other.start()
        await soon(asyncio.to_thread(first.stop))
        if end == "cancelled":
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        elif end == "stopped":
            other.stop()
            with pytest.raises(RuntimeError, match="the server has ended"):
                await soon(waiting)
        else:
            if end == "started":
                other.start()
            async with connect(other.url) as client:
                await client.send("x")
                assert await soon(waiting) == ["x"]
        await asyncio.to_thread(other.stop)

    on_loop(main)
    no_thread_stays()


def test_waiting_where_it_can_never_end_is_an_error(
    on_loop: Run, listen: Listen, reported: queue.Queue[BaseException | None]
) -> None:
    async def on_text(_client: Client, _text: str) -> None:
        await server.wait_closed_async()

    def on_binary(*_: object) -> None:
        server.wait_closed()

    server: EchoServer = listen(on_text=on_text, on_binary=on_binary)

    async def main() -> None:
        with pytest.raises(RuntimeError, match="not started"):
            await server.wait_closed_async()
        async with server, connect(server.url) as client:
            with pytest.raises(RuntimeError, match="wait for itself"):
                server.wait_closed()
            for message in ("x", b"x"):
                await client.send(message)
                assert "wait for itself" in str(await asyncio.to_thread(reported.get, True, 10))

    on_loop(main)
