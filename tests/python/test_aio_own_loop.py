"""What counts as an `async def` callback, and the loop that `serve()` and `start()` run for it."""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, create_autospec

import pytest

from aio_support import connect, exchange, pause
from echoserver import Client, EchoServer
from support import TIMEOUT, RawClient, finished, first_line, join, python
from support import connect as connect_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aio_support import Run
    from conftest import Listen

Reported = queue.Queue[BaseException | None]


@pytest.mark.parametrize("kind", ["AsyncMock", "autospec"])
def test_a_mock_of_an_async_callback_counts(run: Listen, kind: str) -> None:
    async def on_text(_client: Client, text: str) -> str:
        return text

    mock = AsyncMock(return_value="mocked") if kind == "AsyncMock" else create_autospec(on_text, return_value="mocked")
    server = run(on_text=mock)
    with connect_sync(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "mocked"
    ((client, text),) = (call.args for call in mock.await_args_list)
    assert (client.id, text) == (1, "x")


def test_what_counts_as_async(on_loop: Run) -> None:
    async def function(_client: Client, text: str) -> str:
        await pause()
        return text.upper()

    class Called:
        async def __call__(self, client: Client, text: str) -> str:
            return await function(client, text)

        async def method(self, client: Client, text: str) -> str:
            return await function(client, text)

    async def curried(_first: int, client: Client, text: str) -> str:
        return await function(client, text)

    def plain(client: Client, text: str) -> Any:
        return function(client, text)

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> Any:
        return function(*arguments)

    callbacks: list[Callable[..., Any]] = [
        function,
        Called(),
        Called().method,
        functools.partial(curried, 1),
        functools.partial(Called()),
        wrapped,
    ]

    class Later:
        def __await__(self) -> Generator[Any, None, str]:
            yield from pause().__await__()
            return "X"

    # What only a loop can await.
    on_loops: list[Callable[..., Any]] = [
        plain,
        lambda client, text: asyncio.create_task(function(client, text)),
        lambda *_: Later(),
    ]

    def sync(callback: Callable[..., Any]) -> None:
        with (
            EchoServer(0, host="127.0.0.1", on_text=callback) as server,
            connect_sync(server.url) as client,
        ):
            client.send("x")
            assert client.recv(TIMEOUT) == "X"

    async def main() -> None:
        for callback in [*callbacks, *on_loops]:
            async with EchoServer(0, host="127.0.0.1", on_text=callback) as server, connect(server.url) as client:
                assert await exchange(client, "x") == ["X"]
        for callback in callbacks:
            await asyncio.to_thread(sync, callback)

    on_loop(main)


def test_without_a_loop_a_coroutine_of_a_plain_function_is_an_error(run: Listen, reported: Reported) -> None:
    async def function(*_: object) -> None: ...

    server = run(on_text=lambda *_: function(), on_connect=lambda *_: function())
    with connect_sync(server.url) as client:
        client.send("x")
        client.send(b"y")
        assert client.recv(TIMEOUT) == b"y"
    for name in ("on_connect", "on_text"):
        error = reported.get(timeout=TIMEOUT)
        assert isinstance(error, TypeError)
        assert f'{name} ("{__file__}", line ' in str(error)
        assert ") returned coroutine" in str(error)


def test_serve_and_start_run_a_loop_of_their_own(listen: Listen) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    names: set[str] = set()
    threads: list[threading.Thread] = []

    async def note(*_: object) -> None:
        loops.append(asyncio.get_running_loop())
        names.add(threading.current_thread().name)
        await pause()

    for way in ("start", "with", "serve"):
        server = listen(on_connect=note, on_text=note, on_disconnect=note, on_closed=note)
        if way == "with":
            server.__enter__()
        elif way == "start":
            server.start()
        else:
            threads.append(threading.Thread(target=server.serve, name="my own"))
            threads[0].start()
        with connect_sync(server.url) as client:
            client.send("x")
            assert client.recv(TIMEOUT) == "x"
        server.stop()
        server.wait_closed(TIMEOUT)
        assert names == {"my own" if way == "serve" else f"echoserver-{server.port}"}
        assert len(set(loops)) == 1
        assert len(loops) == 4
        assert loops[0].is_closed()
        assert not [one for one in threading.enumerate() if one.name.startswith("echoserver")]
        names.clear()
        loops.clear()
    join(threads[0])


def test_serve_with_coroutines_in_a_running_loop_is_a_clear_error(on_loop: Run, listen: Listen) -> None:
    async def on_text(*_: object) -> None: ...

    async def main() -> None:
        server = listen(on_text=on_text)
        with pytest.raises(RuntimeError, match=r"await serve_async\(\)"):
            server.serve()

    on_loop(main)


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_ends_serve_with_coroutines_in_order(signals: int) -> None:
    process = python(
        "import asyncio, sys\n"
        "from echoserver import EchoServer\n"
        "async def on_text(client, message):\n"
        "    await asyncio.sleep(0)\n"
        "    return message.upper()\n"
        "async def on_closed():\n"
        "    await asyncio.sleep(0)\n"
        "    print('closed', flush=True)\n"
        f"server = EchoServer(0, host='127.0.0.1', on_text=on_text, on_closed=on_closed, close_timeout={TIMEOUT})\n"
        "print(server.port, flush=True)\n"
        "try:\n"
        "    server.serve()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', server.is_serving, flush=True)\n"
    )
    with RawClient(int(first_line(process))).opened() as client:
        client.send(1, b"x")
        assert client.receive() == (1, b"X")
        process.send_signal(2)
        assert client.close_code() == 1001
        if signals == 1:
            client.send(8, b"\x03\xe9")
        else:
            process.send_signal(2)
        assert client.is_dropped()
    status, out, err = finished(process)
    assert (status, out, err) == (0, "closed\ninterrupted False\n", "")
