"""Event loops of every kind and fate: closed too early, in another thread, two of them, stopped, and of others."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, no_thread_stays, pause, until
from echoserver import Client, EchoServer
from support import FACTOR, TIMEOUT, RawClient, finished, in_thread, join, python
from support import connect as connect_sync

if TYPE_CHECKING:
    from conftest import Listen

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


class Loop:
    """A loop in a thread of its own, as a notebook has one."""

    def __init__(self, make_loop: MakeLoop) -> None:
        self.loop = make_loop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.thread = in_thread(self.loop.run_forever)

    def cell(self, coroutine: Any) -> Any:
        """Runs a cell of the notebook."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    def stop(self) -> None:
        """Stops the loop, and cancels nothing."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        join(self.thread)

    def close(self) -> None:
        """Ends it."""
        self.stop()
        self.loop.close()
        gc.collect()
        assert self.complaints == []


@pytest.mark.parametrize("state", ["native", "idle task", "coroutine waits"])
def test_a_loop_that_is_closed_under_the_server_stops_it_with_a_warning(make_loop: MakeLoop, state: str) -> None:
    complaints: list[dict[str, Any]] = []

    async def on_text(_client: Client, text: str) -> str:
        await asyncio.sleep(1000 if text == "wait" else 0)
        return text

    loop = make_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    server = EchoServer(0, host="127.0.0.1", on_text=None if state == "native" else on_text)
    # Not a word to the loop of what runs on it.
    loop.run_until_complete(server.__aenter__())
    with RawClient(server.port).opened() as client:
        if state != "native":
            client.send(1, b"wait" if state == "coroutine waits" else b"x")
            loop.run_until_complete(asyncio.sleep(0.1))
            assert server.stats().text_messages_received == 1
        with pytest.warns(ResourceWarning, match="its event loop was closed while it served"):
            loop.close()
        assert not server.is_serving
        client.send(8, b"\x03\xe8")
        codes = [payload for opcode, payload in _frames(client) if opcode == 8]
        assert codes
        assert codes[0][:2] == b"\x03\xe9"
    server.stop()
    server.wait_closed(TIMEOUT)
    no_thread_stays()
    del loop, server
    gc.collect()
    # asyncio tells of tasks that were dropped; of ours there is the keeper, which is the program's to cancel.
    assert [one["message"] for one in complaints if "echoserver client" in repr(one.get("task"))] == []


@pytest.mark.parametrize("state", ["native", "idle task", "coroutine waits"])
def test_a_loop_that_nobody_has_any_more_stops_its_server_with_a_warning(state: str) -> None:
    """Only asyncio's: one of uvloop's that is not closed lives as long as the program, whoever is served on it."""

    async def on_text(_client: Client, text: str) -> str:
        await (asyncio.Event().wait() if text == "wait" else asyncio.sleep(0))
        return text

    def begin() -> tuple[RawClient, weakref.ref[EchoServer], weakref.ref[asyncio.AbstractEventLoop]]:
        loop = asyncio.new_event_loop()
        # It tells of tasks that were dropped.
        loop.set_exception_handler(lambda *_: None)
        server = EchoServer(0, host="127.0.0.1", on_text=None if state == "native" else on_text)
        loop.run_until_complete(server.__aenter__())
        client = RawClient(server.port).opened()
        client.send(1, b"wait" if state == "coroutine waits" else b"x")
        loop.run_until_complete(until(lambda: server.stats().text_messages_received == 1))
        loop.run_until_complete(pause())
        return client, weakref.ref(server), weakref.ref(loop)

    client, server, loop = begin()
    with client:
        with (
            pytest.warns(ResourceWarning, match="unclosed event loop"),
            pytest.warns(ResourceWarning, match="its event loop was closed while it served"),
        ):
            gc.collect()
        # The warnings had it.
        gc.collect()
        assert server() is None
        assert loop() is None
        assert [payload[:2] for opcode, payload in _frames(client) if opcode == 8] == [b"\x03\xe9"]
    no_thread_stays()


def _frames(client: RawClient) -> Any:
    try:
        while True:
            yield client.receive()
    except (EOFError, ConnectionResetError):
        return


def test_a_program_that_closes_its_loop_under_the_server_ends() -> None:
    code = (
        "import asyncio, warnings\n"
        "from echoserver import EchoServer\n"
        "warnings.simplefilter('always')\n"
        "loop = asyncio.new_event_loop()\n"
        "server = EchoServer(0, host='127.0.0.1', on_text=lambda *_: None)\n"
        "loop.run_until_complete(server.__aenter__())\n"
        "{}\n"
        "print(server.is_serving, flush=True)\n"
    )
    status, out, err = finished(python(code.format("loop.close()"), env={"PYTHONWARNINGS": "default"}))
    assert (status, out) == (0, "False\n")
    assert "its event loop was closed while it served" in err
    # Neither closed nor run any more.
    begun = time.monotonic()
    status, out, err = finished(python(code.format("pass"), env={"PYTHONWARNINGS": "ignore"}))
    assert (status, out) == (0, "True\n")
    assert time.monotonic() - begun < 5 * FACTOR


def test_a_closed_loop_can_not_serve(make_loop: MakeLoop, listen: Listen) -> None:
    loop = make_loop()
    loop.close()
    server = listen()
    serving = server.serve_async()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_until_complete(serving)
    serving.close()
    # It was not harmed.
    with server, connect_sync(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"


def test_a_loop_in_another_thread(make_loop: MakeLoop, listen: Listen) -> None:
    threads: set[threading.Thread] = set()

    async def on_text(_client: Client, text: str) -> str:
        threads.add(threading.current_thread())
        await asyncio.sleep(0)
        return text.upper()

    loop = Loop(make_loop)
    server = listen(on_text=on_text, on_binary=lambda *_: threads.add(threading.current_thread()))
    serving = asyncio.run_coroutine_threadsafe(server.serve_async(), loop.loop)
    deadline = time.monotonic() + TIMEOUT
    while not server.is_serving:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    with connect_sync(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "X"
        client.send(b"y")
        assert client.recv(TIMEOUT) == b"y"
    server.stop()
    serving.result(TIMEOUT)
    assert threads == {loop.thread}
    loop.close()


def test_a_loop_may_move_to_another_thread(make_loop: MakeLoop) -> None:
    loop = make_loop()
    server = EchoServer(0, host="127.0.0.1", on_text=lambda *_: server.stop())
    loop.run_until_complete(server.__aenter__())
    # From the thread that ran the loop, stop() only asks; now another thread runs it, and may do the same.
    thread = in_thread(loop.run_until_complete, server.wait_closed_async())
    with connect_sync(server.url) as client:
        client.send("x")
        assert list(client) == ["x"]
    join(thread)
    server.wait_closed(TIMEOUT)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_two_loops_can_not_serve_the_same_server_but_wait_for_it(make_loop: MakeLoop) -> None:
    first, second = Loop(make_loop), Loop(make_loop)
    server = EchoServer(0, host="127.0.0.1", on_text=lambda *_: None)
    first.cell(server.__aenter__())
    with pytest.raises(RuntimeError, match="started before"):
        second.cell(server.serve_async())
    waiting = asyncio.run_coroutine_threadsafe(server.wait_closed_async(), second.loop)
    with connect_sync(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"
    assert not waiting.done()
    first.cell(server.__aexit__(None, None, None))
    waiting.result(TIMEOUT)
    first.close()
    second.close()


def test_two_servers_on_two_loops(make_loop: MakeLoop) -> None:
    loops = [Loop(make_loop), Loop(make_loop)]

    def numbered(number: int) -> EchoServer:
        return EchoServer(0, host="127.0.0.1", on_text=lambda _, text: f"{number} {text}")

    servers = [numbered(number) for number in range(2)]
    for loop, server in zip(loops, servers, strict=True):
        loop.cell(server.__aenter__())
    for n, server in enumerate(servers):
        with connect_sync(server.url) as client:
            client.send("x")
            assert client.recv(TIMEOUT) == f"{n} x"
    for loop, server in zip(loops, servers, strict=True):
        loop.cell(server.__aexit__(None, None, None))
        loop.close()


def test_a_loop_that_stops_without_cancelling_is_a_clear_error(make_loop: MakeLoop) -> None:
    loop = Loop(make_loop)
    server = EchoServer(0, host="127.0.0.1", on_text=lambda *_: None)
    loop.cell(server.__aenter__())
    loop.stop()
    with RawClient(server.port).opened() as client:
        # Nobody answers, but the server itself does.
        client.send(1, b"x")
        client.send(2, b"binary")
        client.send(9, b"ping")
        assert client.receive() == (10, b"ping")
        with pytest.raises(TimeoutError, match=r"event loop of the callbacks did not run for 0\.2 s"):
            server.stop(0.2)
        assert client.close_code() == 1001
    # The loop goes on, and so does what waited.
    loop.thread = in_thread(loop.loop.run_forever)
    loop.cell(server.wait_closed_async())
    server.stop()
    loop.close()


def test_a_future_that_crosses_to_a_loop_that_was_closed_is_forgotten(
    make_loop: MakeLoop, run: Listen, capfd: pytest.CaptureFixture[str]
) -> None:
    server = run()
    loop = make_loop()
    loop.run_until_complete(asyncio.sleep(0))

    async def begin() -> Any:
        return server._core.closed()

    future = loop.run_until_complete(begin())
    loop.close()
    server.stop()
    assert not future.done()
    assert capfd.readouterr().err == ""
    no_thread_stays()


COLLECTED = """
import asyncio, gc, threading, warnings
from echoserver import EchoServer
warnings.simplefilter("ignore")
gc.disable()
collected = []
class Loop(asyncio.SelectorEventLoop):
    # Asked by the thread that completes a future of this loop: there the collector may run at any time.
    def is_closed(self):
        if threading.current_thread() is not threading.main_thread():
            collected.append(gc.collect())
        return super().is_closed()

def abandon():
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    server = EchoServer(0, host="127.0.0.1", on_text=lambda *_: None)
    loop.run_until_complete(server.__aenter__())
    loop.itself = loop

async def main():
    waiting = asyncio.ensure_future(server.wait_closed_async())
    # It has to wait before the end comes, or there is nothing to complete.
    await asyncio.sleep(0)
    thread = threading.Thread(target=abandon)
    thread.start()
    thread.join()
    server.stop(wait=False)
    await waiting

loop = Loop()
server = EchoServer(0, host="127.0.0.1").start()
loop.run_until_complete(main())
loop.close()
print(len(collected), collected[0] > 0, server.is_serving)
"""


def test_the_collector_may_end_the_last_server_in_the_thread_that_completes_futures() -> None:
    assert finished(python(COLLECTED)) == (0, "1 True False\n", "")


def test_a_notebook_runs_cell_after_cell(make_loop: MakeLoop) -> None:
    loop = Loop(make_loop)
    got: list[str] = []

    async def on_text(_client: Client, text: str) -> None:
        await asyncio.sleep(0)
        got.append(text)

    async def start() -> EchoServer:
        return await EchoServer(0, host="127.0.0.1", on_text=on_text).__aenter__()

    async def talk(server: EchoServer) -> list[str | bytes]:
        async with connect(server.url) as client:
            return await exchange(client, "a", "b")

    async def stop(server: EchoServer) -> None:
        # A cell of a notebook may as well only ask, and look later.
        server.stop()
        await server.wait_closed_async()

    for _ in range(2):
        server = loop.cell(start())
        assert loop.cell(talk(server)) == ["a", "b"]
        assert server.is_serving
        loop.cell(stop(server))
        assert not server.is_serving
    assert got == ["a", "b"] * 2
    loop.close()
