"""What the asyncio tests share: both loops, and the rule that no loop has anything to complain of."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect

from echoserver import Client, EchoServer
from support import TIMEOUT, eventually, thread_names

T = TypeVar("T")
Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]
LOOPS = ["asyncio", "uvloop"]


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes loops of that kind; skips the test, loudly, without uvloop."""
    if name == "uvloop":
        if find_spec("uvloop") is None:
            pytest.skip("UVLOOP IS NOT INSTALLED: the asyncio door was not tested on it")
        return __import__("uvloop").new_event_loop  # type: ignore[no-any-return]
    return asyncio.new_event_loop


def run_on(make: Callable[[], asyncio.AbstractEventLoop], main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `asyncio.run(main())` does, with a time limit, on a loop that may not complain."""
    complaints: list[dict[str, Any]] = []

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context["message"].startswith("echoserver: error in on_"):
            # A callback's, which the fixture `reported` knows.
            loop.default_exception_handler(context)
        else:
            complaints.append(context)

    async def limited() -> T:
        asyncio.get_running_loop().set_exception_handler(complain)
        async with asyncio.timeout(TIMEOUT):
            return await main()

    with asyncio.Runner(loop_factory=make) as runner:
        result = runner.run(limited())
    gc.collect()
    assert complaints == []
    return result


def connect(url: str, **options: Any) -> websockets_connect:
    """A client of the `websockets` package on this loop, without compression and limits."""
    settings: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None}
    return websockets_connect(url, **settings | options)


async def exchange(client: ClientConnection, *messages: str | bytes) -> list[str | bytes]:
    """Sends messages, and receives as many."""
    for message in messages:
        await client.send(message)
    return [await client.recv() for _ in messages]


async def pause() -> None:
    """Some turns of the loop."""
    for _ in range(3):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Returns when `condition()` is true, for what nobody announces."""
    while not condition():
        await asyncio.sleep(0.002)


async def started(server: EchoServer) -> asyncio.Task[None]:
    """A task that serves."""
    serving = asyncio.create_task(server.serve_async())
    await until(lambda: server.is_serving)
    return serving


async def soon(awaitable: Awaitable[T]) -> T:
    """The result of what must not take long."""
    return await asyncio.wait_for(awaitable, TIMEOUT)


def no_thread_stays() -> None:
    """None of ours is left; the system forgets a thread that was joined a moment later."""
    eventually(lambda: not [name for name in thread_names() if name.startswith(("echoserver", "tokio"))])


async def upper(client: Client) -> None:
    """Answers each message."""
    async for message in client:
        await client.send_async(message.upper())
