"""A call that is refused changes nothing: not the server that runs, and not one that can still be started."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import EchoServer
from support import TIMEOUT, connect, eventually, in_thread, join

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen

WAYS = ["serve", "start", "__enter__", "serve_async", "__aenter__"]


def plain(_client: object, message: str) -> str:
    return message.upper()


async def coroutine(_client: object, message: str) -> str:
    await asyncio.sleep(0)
    return message.upper()


@contextlib.contextmanager
def served(server: EchoServer, way: str) -> Iterator[None]:
    """Serves in one of the ways, until it is stopped."""
    if way in ("start", "__enter__"):
        getattr(server, way)()
        yield
        return
    has_begun, has_ended = threading.Event(), threading.Event()

    async def main() -> None:
        if way == "serve_async":
            asyncio.get_running_loop().call_soon(has_begun.set)
            await server.serve_async()
        else:
            async with server:
                has_begun.set()
                while not has_ended.is_set():
                    await asyncio.sleep(0.001)

    if way == "serve":
        thread = in_thread(server.serve)
    else:
        thread = in_thread(asyncio.run, main())
        assert has_begun.wait(TIMEOUT)
    yield
    has_ended.set()
    join(thread)


def begin(server: EchoServer, way: str) -> None:
    """Asks the server once more."""
    call = getattr(server, way)
    if way not in ("serve_async", "__aenter__"):
        call()
        return

    async def main() -> None:
        await call()

    asyncio.run(main())


@pytest.mark.needs_worker
@pytest.mark.parametrize("callback", [None, plain, coroutine])
@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_runs_goes_on_when_another_start_is_refused(
    listen: Listen, way: str, callback: Callable[..., Any] | None
) -> None:
    server = listen(on_text=callback)
    answer = "x" if callback is None else "X"
    with served(server, way):
        with connect(server.url) as client:
            for again in WAYS:
                client.send("x")
                assert client.recv(TIMEOUT) == answer
                with pytest.raises(RuntimeError, match="started before"):
                    begin(server, again)
                assert server.is_serving
                assert "serving, clients=1" in repr(server)
            client.send("x")
            assert client.recv(TIMEOUT) == answer
            ending = in_thread(server.stop, TIMEOUT)
            client.close()
        join(ending)
    server.wait_closed(TIMEOUT)


@pytest.mark.parametrize("callback", [None, plain, coroutine])
def test_serve_on_a_thread_with_a_running_loop_leaves_the_server_as_it_was(
    on_loop: Run, listen: Listen, callback: Callable[..., Any] | None
) -> None:
    async def main() -> None:
        server = listen(on_text=callback)
        with pytest.raises(RuntimeError, match=r"await serve_async\(\)"):
            server.serve()
        assert not server.is_serving
        assert "not started" in repr(server)
        with pytest.raises(RuntimeError, match="not started"):
            await asyncio.to_thread(server.wait_closed, 1)
        async with server:
            assert server.is_serving

    on_loop(main)


@pytest.mark.needs_worker
@pytest.mark.parametrize("way", ["serve_async", "__aenter__", "__aiter__"])
def test_without_a_loop_the_server_is_left_as_it_was(listen: Listen, way: str) -> None:
    server = listen()
    call = getattr(server, way)
    with pytest.raises(RuntimeError, match="running asyncio event loop"):
        # An iterator needs the loop at once, a coroutine when it is begun.
        call().send(None)
    assert "not started" in repr(server)
    with server, connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"


def test_stop_has_its_limit_when_the_loop_of_the_callbacks_does_not_end(listen: Listen) -> None:
    go_on = threading.Event()

    async def on_text(_client: object, _message: str) -> str:
        # The loop waits at its end for what it has given to threads.
        asyncio.get_running_loop().run_in_executor(None, go_on.wait)
        return "begun"

    server = listen(on_text=on_text).start()
    with connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "begun"
    try:
        with pytest.raises(TimeoutError, match="still runs"):
            server.stop(0.1)
    finally:
        go_on.set()
    server.stop()


def test_a_stop_joins_a_thread_that_was_started_a_moment_ago(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = []

    class Slow(threading.Thread):
        def start(self) -> None:
            super().start()
            if self.name == f"echoserver-{server.port}":
                # Whoever has started it has not gone on yet.
                join(in_thread(server.stop))

        def join(self, timeout: float | None = None) -> None:
            joined.append(self.name)
            super().join(timeout)

    server = listen()
    monkeypatch.setattr("echoserver.threads.threading.Thread", Slow)
    server.start()
    assert joined.count(f"echoserver-{server.port}") == 1


def test_without_a_thread_to_be_had_whoever_stops_the_server_meanwhile_is_told(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping: list[threading.Thread] = []

    class NoThread(threading.Thread):
        def start(self) -> None:
            stopping.append(in_thread(server.stop))
            eventually(lambda: not server.is_serving)
            raise RuntimeError("can't start new thread")

    server = listen()
    monkeypatch.setattr("echoserver.threads.make", lambda target, name: NoThread(target=target, name=name))
    with pytest.raises(RuntimeError, match="can't start new thread"):
        server.start()
    join(stopping[0])
    assert "stopped" in repr(server)
