"""What the server costs its event loop, turns and wake-ups, and what a busy loop costs it."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, run_on, soon, until
from echoserver import Client, EchoServer
from support import TIMEOUT, RawClient, frame, in_thread, join
from support import connect as connect_sync

if TYPE_CHECKING:
    from aio_support import Run

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def counting(make_loop: MakeLoop, calls: list[Any], removed: list[bool]) -> MakeLoop:
    """Makes loops that note what readers are added, called and removed."""
    base: Any = type(probe := make_loop())
    probe.close()

    class Counting(base):  # type: ignore[misc]
        def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
            if type(callback).__name__ != "Reader":
                return super().add_reader(fd, callback, *args)
            assert type(fd) is int
            calls.append("added")

            def counted() -> None:
                calls.append("called")
                callback()

            return super().add_reader(fd, counted)

        def remove_reader(self, fd: Any) -> Any:
            if type(fd) is int and calls:
                # Still open.
                os.fstat(fd)
                removed.append(True)
            return super().remove_reader(fd)

    return Counting


def test_a_batch_costs_one_wake_up(make_loop: MakeLoop) -> None:
    calls: list[Any] = []
    removed: list[bool] = []
    sizes: list[int] = []

    async def main() -> None:
        got = 0

        def on_text(*_: object) -> None:
            nonlocal got
            got += 1

        async with EchoServer(0, host="127.0.0.1", on_text=on_text, workers=1) as server:
            assert calls == ["added"]
            with RawClient(server.port) as client:
                await asyncio.to_thread(client.opened)
                await asyncio.sleep(0.01)
                for size in (1, 10, 1000):
                    turns = []
                    # A turn ends after a millisecond, which a busy machine may take from it.
                    for _ in range(5):
                        before = len(calls)
                        # Taken in one read.
                        client.socket.sendall(frame(1, b"x") * size)
                        for _ in range(size):
                            assert await asyncio.to_thread(client.receive) == (1, b"x")
                        turns.append(len(calls) - before)
                    sizes.append(min(turns))
            assert removed == []
        assert got == 5 * 1011

    run_on(counting(make_loop, calls, removed), main)
    # At the most a few for a thousand messages, which can take several reads.
    assert sizes[:2] == [1, 1]
    assert sizes[2] < 40
    assert removed


def test_a_turn_leaves_the_loop_to_others(on_loop: Run) -> None:
    async def main() -> None:
        turns = 0

        def on_text(*_: object) -> None:
            begun = time.perf_counter()
            while time.perf_counter() - begun < 0.001:
                pass

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server:
            with RawClient(server.port) as client:
                await asyncio.to_thread(client.opened)
                counter = asyncio.create_task(count())

                def talk() -> None:
                    client.socket.sendall(frame(1, b"x") * 200)
                    for _ in range(200):
                        assert client.receive() == (1, b"x")

                before = turns
                await asyncio.to_thread(talk)
                # A turn that is over after a callback of 1 ms takes two of them at most.
                assert turns - before >= 100
                counter.cancel()

    on_loop(main)


def _not_implemented(*_: Any) -> Any:
    raise NotImplementedError


# As Windows' Proactor loop has it, and as that of PySide6.QtAsyncio.
@pytest.mark.parametrize("method", [asyncio.AbstractEventLoop.add_reader, _not_implemented])
def test_loops_that_can_not_watch_a_descriptor_have_a_thread(method: Any) -> None:
    class Bare(asyncio.SelectorEventLoop):
        add_reader = method

    async def on_text(_client: Client, text: str) -> str:
        await asyncio.sleep(0)
        return text.upper()

    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", on_text=on_text, on_binary=lambda *_: None)
        async with server, connect(server.url) as client:
            assert await exchange(client, *["x"] * 50, b"y") == ["X"] * 50 + [b"y"]
            names = [thread.name for thread in threading.enumerate()]
            assert f"echoserver-{server.port}" in names
        await until(lambda: all(thread.name != f"echoserver-{server.port}" for thread in threading.enumerate()))

    # asyncio's own wake-up needs the method that is missing to others.
    class WithSelf(Bare):
        def _add_reader(self, fd: Any, callback: Any, *args: Any, **options: Any) -> Any:
            return asyncio.SelectorEventLoop._add_reader(self, fd, callback, *args, **options)  # type: ignore[attr-defined]

    run_on(WithSelf, main)


def test_a_loop_that_is_busy_stalls_no_native_echo(on_loop: Run) -> None:
    async def main() -> None:
        done: queue.Queue[str] = queue.Queue()
        async with EchoServer(0, host="127.0.0.1", on_text=lambda *_: None) as server:

            def talk() -> None:
                with connect_sync(server.url) as client:
                    for _ in range(20):
                        client.send(b"binary")
                        assert client.recv(TIMEOUT) == b"binary"
                done.put("echoed")

            thread = in_thread(talk)
            # The loop's thread does not run its loop meanwhile.
            assert done.get(timeout=TIMEOUT) == "echoed"
            join(thread)
            await soon(asyncio.sleep(0))

    on_loop(main)
