"""How an event loop's turns share out the work: one client has one place in it, and a callback may run the loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, run_on, soon, until
from echoserver import Client, EchoServer
from support import RawClient, frame

if TYPE_CHECKING:
    from aio_support import Run


def work() -> None:
    """Takes the loop for longer than a turn."""
    time.sleep(0.002)


def test_a_message_that_waits_between_batches_is_delivered_once(on_loop: Run) -> None:
    calls: list[str] = []

    async def main() -> None:
        go_on = asyncio.Event()

        async def on_text(_client: Client, message: str) -> None:
            calls.append(message)
            if message == "1 waits":
                await go_on.wait()
            elif message.endswith("works"):
                work()
            elif message.endswith("sleeps"):
                await asyncio.sleep(0.01)

        messages = ["1 waits", "2 works", "3 works", "4 sleeps", "5", "6", "7 works", "8 sleeps"]
        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server:
            with RawClient(server.port) as raw:
                await asyncio.to_thread(raw.opened)
                raw.socket.sendall(b"".join(frame(1, one.encode()) for one in messages[:5]))
                await until(lambda: calls)
                raw.socket.sendall(b"".join(frame(1, one.encode()) for one in messages[5:]))
                await until(lambda: server.stats().text_messages_received == len(messages))
                go_on.set()
                received = [await asyncio.to_thread(raw.receive) for _ in messages]
                assert received == [(1, one.encode()) for one in messages]
                assert calls == messages
                raw.send(8, b"\x03\xe8")
                assert await asyncio.to_thread(raw.receive) == (8, b"\x03\xe8")

    on_loop(main)


@pytest.mark.parametrize("is_async", [False, True])
def test_one_client_with_much_to_do_leaves_turns_to_others(on_loop: Run, is_async: bool) -> None:
    async def main() -> None:
        calls: Counter[int] = Counter()
        turns = 0

        def plain(client: Client, _message: str) -> None:
            calls[client.id] += 1
            work()

        async def coroutine(client: Client, message: str) -> None:
            plain(client, message)

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        callback: Callable[..., Any] = coroutine if is_async else plain
        async with EchoServer(0, host="127.0.0.1", workers=1, on_text=callback) as server:
            async with connect(server.url) as busy, connect(server.url) as idle:
                counting = asyncio.create_task(other())
                for _ in range(20):
                    await busy.send("x")
                await until(lambda: calls[1] > 2)
                assert await exchange(idle, "y") == ["y"]
                assert [await busy.recv() for _ in range(20)] == ["x"] * 20
                assert turns >= 20
                counting.cancel()
            assert calls == {1: 20, 2: 1}

    on_loop(main)


def run_nested(condition: Callable[[], object]) -> None:
    """Runs the loop inside of what it runs, as `nest_asyncio` makes it possible, until `condition()` is true."""
    loop: Any = asyncio.get_running_loop()
    task = asyncio.current_task()
    count = len(loop._ready)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    try:
        deadline = loop.time() + 10
        while not condition():
            assert loop.time() < deadline
            # Not to wait for what a callback further out has to do first.
            loop.call_later(0.001, lambda: None)
            loop._run_once()
    finally:
        # The loop further out has counted them.
        while len(loop._ready) < count:
            loop.call_soon(lambda: None)
        if task is not None:
            asyncio.tasks._enter_task(loop, task)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_callback_may_run_the_loop(is_async: bool) -> None:
    log: list[str] = []

    async def main() -> None:
        def nest(client: Client, message: str) -> str:
            log.append(f"{client.id} {message}")
            if message == "nest":
                run_nested(lambda: "slow has ended" in log)
            return f"reply to {message}"

        async def nest_async(client: Client, message: str) -> str:
            await asyncio.sleep(0)
            return nest(client, message)

        async def on_binary(client: Client, message: bytes) -> bytes:
            log.append(f"{client.id} {message!r}")
            if message == b"slow":
                await until(lambda: any("nest" in line for line in log))
                await asyncio.sleep(0.01)
                log.append("slow has ended")
            return message

        on_text = nest_async if is_async else nest
        async with EchoServer(0, host="127.0.0.1", workers=1, on_text=on_text, on_binary=on_binary) as server:
            async with connect(server.url) as slow, connect(server.url) as nesting:
                await slow.send(b"slow")
                await slow.send(b"after slow")
                await until(lambda: log)
                for message in ("before", "nest", "after"):
                    await nesting.send(message)
                replies = [await soon(nesting.recv()) for _ in range(3)]
                assert replies == ["reply to before", "reply to nest", "reply to after"]
                assert [await soon(slow.recv()) for _ in range(2)] == [b"slow", b"after slow"]
                assert await exchange(nesting, "again") == ["reply to again"]
            assert Counter(log) == Counter(
                ["1 b'slow'", "1 b'after slow'", "2 before", "2 nest", "2 after", "2 again", "slow has ended"]
            )

    run_on(asyncio.new_event_loop, main)
