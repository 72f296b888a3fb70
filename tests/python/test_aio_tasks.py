"""An `async def` callback runs as in any task: contexts, time limits, groups, cancellation, futures."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, pause, run_on, soon, started, until
from echoserver import Client, EchoServer

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen

Reported = queue.Queue[BaseException | None]


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


@pytest.mark.parametrize("kind", ["async", "async that waits", "plain"])
@pytest.mark.parametrize("way", ["serve_async", "async with", "start", "serve"])
def test_each_call_runs_in_a_copy_of_the_context_of_the_start(
    on_loop: Run, listen: Listen, kind: str, way: str
) -> None:
    def plain(_client: Client, text: str) -> str:
        seen = variable.get()
        variable.set(f"set by {text}")
        return f"{seen}, {variable.get()}"

    async def coroutine(client: Client, text: str) -> str:
        if kind == "async that waits":
            await pause()
        seen = plain(client, text)
        await pause()
        assert variable.get() == f"set by {text}"
        # What is started here inherits this call's.
        task = asyncio.create_task(asyncio.sleep(0, variable.get()))
        await task
        return seen

    async def other(*_: object) -> None: ...

    async def main() -> None:
        variable.set("of the start")
        server = listen(on_text=plain if kind == "plain" else coroutine, on_binary=other)
        serving: asyncio.Task[None] | None = None
        if way == "serve_async":
            serving = await started(server)
        elif way == "async with":
            await server.__aenter__()
        elif way == "start":
            server.start()
        else:
            serving = asyncio.create_task(asyncio.to_thread(server.serve))
            await until(lambda: server.is_serving)
        variable.set("of later")
        async with connect(server.url) as client, connect(server.url) as second:
            for one in (client, second, client):
                for text in ("a", "b"):
                    assert await exchange(one, text) == [f"of the start, set by {text}"]
        assert variable.get() == "of later"
        server.stop()
        if serving:
            await soon(serving)
        else:
            await soon(server.wait_closed_async())

    on_loop(main)


def test_timeouts_groups_and_the_current_task_are_those_of_any_task(on_loop: Run) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def on_text(_client: Client, text: str) -> str:
        task = asyncio.current_task()
        tasks.append(task)
        if text == "before":
            async with asyncio.timeout(0):
                await asyncio.sleep(1000)
        elif text == "timeout":
            async with asyncio.timeout(0.001):
                await asyncio.sleep(1000)
        elif text == "nested":
            async with asyncio.timeout(1000):
                await on_text(_client, "timeout")
        elif text == "wait_for":
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        elif text == "group":

            async def fail() -> None:
                await asyncio.sleep(0)
                raise ZeroDivisionError

            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(asyncio.sleep(1000))
        assert asyncio.current_task() is task
        return text

    async def guarded(client: Client, text: str) -> str:
        try:
            return await on_text(client, text)
        except (TimeoutError, ExceptionGroup) as error:
            if text != "group":
                # A group leaves its mark before Python 3.13.
                task = asyncio.current_task()
                assert task
                assert task.cancelling() == 0
            await pause()
            return f"{text}: {type(error).__name__}"

    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", on_text=guarded) as server, connect(server.url) as client:
            for _ in range(2):
                for text in ("before", "timeout", "nested", "wait_for"):
                    assert await exchange(client, text) == [f"{text}: TimeoutError"]
            # One task for the client, however many messages.
            assert len(set(tasks)) == 1
            for _ in range(2):
                assert await exchange(client, "group", "plain") == ["group: ExceptionGroup", "plain"]
        assert isinstance(tasks[0], asyncio.Task)
        await pause()
        assert tasks[0].done()

    on_loop(main)


@pytest.mark.parametrize("when", ["now", "later", "while it waits", "it is caught"])
def test_cancelling_a_callback_ends_that_callback_and_no_other(on_loop: Run, reported: Reported, when: str) -> None:
    async def main() -> None:
        waiting: list[asyncio.Task[Any]] = []

        async def on_text(_client: Client, text: str) -> str:
            if text != "cancel":
                await asyncio.sleep(0)
                return text
            task = asyncio.current_task()
            assert task
            if when == "later":
                await pause()
            if when == "while it waits":
                waiting.append(task)
            else:
                task.cancel()
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                if when != "it is caught":
                    raise
                return "caught"
            return "never"

        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
            for text in ("cancel", "a", "cancel", "b"):
                await client.send(text)
            for text in ("a", "b"):
                if when == "while it waits":
                    await until(lambda: waiting)
                    waiting.pop().cancel()
                if when == "it is caught":
                    assert await soon(client.recv()) == "caught"
                assert await soon(client.recv()) == text
        # A cancellation that was asked for is no error.
        assert server.stats().callback_errors == 0
        assert reported.empty()

    on_loop(main)


@pytest.mark.parametrize("when", ["now", "later"])
def test_a_cancellation_keeps_its_message(on_loop: Run, when: str) -> None:
    """Also one that is asked for before the callback waits: anyio knows its own by the message."""

    async def on_text(_client: Client, _text: str) -> str:
        task = asyncio.current_task()
        assert task
        if when == "later":
            await pause()
        task.cancel("because")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError as error:
            task.uncancel()
            return repr(error.args)
        return "never"

    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
            assert await exchange(client, "a", "b") == ["('because',)"] * 2

    on_loop(main)


def test_a_cancellation_that_nobody_asked_for_is_an_error_of_the_callback(on_loop: Run, reported: Reported) -> None:
    async def on_text(_client: Client, text: str) -> str:
        if text == "cancelled":
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.cancel)
            await future
        return text

    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
            await client.send("cancelled")
            assert await exchange(client, "next") == ["next"]
        assert isinstance(reported.get_nowait(), asyncio.CancelledError)
        assert server.stats().callback_errors == 1

    on_loop(main)


def test_cancelling_the_task_while_it_has_nothing_to_do_does_no_harm(on_loop: Run) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def on_text(_client: Client, text: str) -> str:
        task = asyncio.current_task()
        assert task
        tasks.append(task)
        if text == "wait":
            await pause()
        return text

    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
            for text in ("now", "wait"):
                assert await exchange(client, text) == [text]
                tasks[-1].cancel()
                assert await exchange(client, "again", "wait") == ["again", "wait"]
            assert len(set(tasks)) == 3

    on_loop(main)


def test_many_callbacks_may_wait_for_the_same_future(on_loop: Run) -> None:
    async def main() -> None:
        shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting: list[int] = []

        async def on_text(client: Client, _text: str) -> str:
            waiting.append(client.id)
            return await shared

        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server:
            clients = [await connect(server.url) for _ in range(10)]
            for client in clients:
                await client.send("x")
            await until(lambda: len(waiting) == 10)
            shared.set_result("ready")
            assert [await soon(client.recv()) for client in clients] == ["ready"] * 10
            for client in clients:
                await client.close()

    on_loop(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_change_nothing() -> None:
    # On asyncio's own loop: uvloop 0.23 can't use the factory.
    async def on_text(_client: Client, text: str) -> str:
        await asyncio.sleep(0)
        return text.upper()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  # Not in 3.11.
        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
            assert await exchange(client, "a", "b") == ["A", "B"]

    run_on(asyncio.new_event_loop, main)
