"""Event loops of every kind and fate: closed too early, in another thread, two of them, stopped, and of others."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

from aio_support import connect, exchange, factory, no_thread_stays, run_on, soon, until
from echoserver import Client, EchoServer
from support import FACTOR, TIMEOUT, RawClient, finished, frame, in_thread, join, python
from support import connect as connect_sync

if TYPE_CHECKING:
    from aio_support import Run
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
                    before = len(calls)
                    # Taken in one read.
                    client.socket.sendall(frame(1, b"x") * size)
                    for _ in range(size):
                        assert await asyncio.to_thread(client.receive) == (1, b"x")
                    sizes.append(len(calls) - before)
            assert removed == []
        assert got == 1011

    run_on(counting(make_loop, calls, removed), main)
    # At the most a few for a thousand messages, which can take several reads or a second millisecond.
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


def test_loops_that_can_not_watch_a_descriptor_have_a_thread() -> None:
    class Bare(asyncio.SelectorEventLoop):
        """As Windows' Proactor loop."""

        add_reader = asyncio.AbstractEventLoop.add_reader

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
        def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
            return asyncio.SelectorEventLoop._add_reader(self, fd, callback, *args)  # type: ignore[attr-defined]

    run_on(WithSelf, main)


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
        for timeout in (None, 0.1):
            server = EchoServer(0, host="127.0.0.1").start()
            if timeout:
                # Whoever says how long means it.
                client = await connect(server.url)
            server.stop(timeout)
        await soon(client.wait_closed())

    on_loop(main)


def test_a_stop_that_holds_up_trio_says_so() -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", close_timeout=1000.0).start()
        warned = pytest.warns(RuntimeWarning, match=r"1 dropped: await trio\.to_thread\.run_sync\(server\.stop\)")
        with RawClient(server.port).opened(), warned:
            server.stop()

    trio.run(main)
