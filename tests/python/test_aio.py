"""The asyncio door: a server on a running event loop, its life and its end, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from aio_support import connect, exchange, no_thread_stays, soon, started, until
from echoserver import Client, EchoServer
from footprint import resident
from support import FACTOR, RawClient, finished, python, thread_names

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen


def test_serve_async_serves_until_it_is_stopped(on_loop: Run, listen: Listen) -> None:
    async def main() -> None:
        server = listen(on_text=lambda _, text: text.upper())
        serving = await started(server)
        async with connect(server.url) as client:
            assert await exchange(client, "a", b"b") == ["A", b"b"]
            assert server.is_serving
            # On the thread of the loop it only asks.
            server.stop()
            assert not serving.done()
            await soon(client.wait_closed())
            assert client.close_code == 1001
        await soon(serving)
        assert not server.is_serving

    on_loop(main)


def test_another_thread_stops_it(on_loop: Run, listen: Listen) -> None:
    async def main() -> None:
        server = listen(on_text=lambda *_: None)
        serving = await started(server)
        async with connect(server.url) as client:
            assert await exchange(client, "a") == ["a"]
            await soon(asyncio.to_thread(server.stop))
            await soon(client.wait_closed())
            assert client.close_code == 1001
        await soon(serving)

    on_loop(main)


def test_async_with_serves_during_its_block(on_loop: Run) -> None:
    async def main() -> None:
        threads = set[threading.Thread]()
        server = EchoServer(0, host="127.0.0.1", on_text=lambda *_: threads.add(threading.current_thread()))
        async with server as same:
            assert same is server
            async with connect(server.url) as client:
                assert await exchange(client, "a", b"b") == ["a", b"b"]
        assert client.close_code == 1000
        assert not server.is_serving
        assert threads == {threading.current_thread()}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    on_loop(main)


def test_an_exception_comes_out_of_the_block_after_the_server_has_stopped(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")

        clients = []

        async def fail() -> None:
            async with server:
                clients.append(await connect(server.url))
                await exchange(clients[0], "x")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        (client,) = clients
        assert not server.is_serving
        await soon(client.wait_closed())
        assert client.close_code == 1001

    on_loop(main)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not told")
def test_waits_that_were_cancelled_leave_nothing(on_loop: Run, run: Listen) -> None:
    async def main() -> None:
        server = run()
        before = 0
        for number in range(10_000):
            if number % 500 == 0:
                # The thread that lets go of them comes behind; one that ends by itself ends after those before it.
                other = run()
                ended = asyncio.ensure_future(other.wait_closed_async())
                await asyncio.sleep(0)
                await asyncio.to_thread(other.stop)
                await soon(ended)
            if number == 2000:
                before = resident()
            waiting = asyncio.ensure_future(server.wait_closed_async())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        # Half a kilobyte each, if they do.
        assert resident() - before < 2 << 20

    on_loop(main)


def test_a_server_runs_once(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        async with server:
            for again in (server.serve_async(), server.__aenter__()):
                with pytest.raises(RuntimeError, match="started before"):
                    await again
            with pytest.raises(RuntimeError, match="started before"):
                server.start()
            assert server.is_serving
        with pytest.raises(RuntimeError, match="stopped"):
            await server.serve_async()

    on_loop(main)


def test_no_loop_is_a_clear_error() -> None:
    server = EchoServer(0, host="127.0.0.1")
    with pytest.raises(RuntimeError, match=r"serve_async\(\) needs a running asyncio event loop.*start\(\)"):
        server.serve_async().send(None)
    # It was not harmed.
    with server:
        assert server.is_serving


def test_the_loop_is_never_blocked_by_stop(on_loop: Run, listen: Listen) -> None:
    async def main() -> None:
        server = listen(close_timeout=2.0)
        serving = await started(server)
        with RawClient(server.port).opened() as client:
            begun = time.monotonic()
            server.stop()
            assert await asyncio.to_thread(client.close_code) == 1001
            # The client does not answer; meanwhile the loop runs.
            assert time.monotonic() - begun < 1.5 * FACTOR
            assert not serving.done()
        await soon(serving)

    on_loop(main)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_program_comes_out_of_serve_async(on_loop: Run, listen: Listen, error: BaseException) -> None:
    async def on_text(*_: object) -> None:
        await asyncio.sleep(0)
        raise error

    async def main() -> None:
        server = listen(on_text=on_text)

        async def talk() -> None:
            async with connect(server.url) as client:
                await client.send("end")
                await client.wait_closed()
                assert client.close_code == 1001

        talking = asyncio.create_task(talk())
        with pytest.raises(type(error)) as caught:
            await server.serve_async()
        assert caught.value is error
        await soon(talking)

    on_loop(main)


RUN = """
import asyncio, sys
from echoserver import EchoServer

async def on_text(client, message):
    await asyncio.sleep(1000)

async def main():
    {body}

with asyncio.Runner(loop_factory={loop}) as runner:
    runner.run(main())
print("ended")
"""
STILL_RUNNING = [
    "asyncio.create_task(server.serve_async())",
    "await server.__aenter__()",
    "server.start()",
    "await server.__aenter__(); websocket = await connect(server.url).__aenter__(); await websocket.send('x')",
    "t = asyncio.create_task(server.serve_async()); await asyncio.sleep(0); t.cancel()",
]


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
@pytest.mark.parametrize("body", STILL_RUNNING)
def test_asyncio_run_ends_cleanly_with_a_server_still_running(loop: str, body: str) -> None:
    if loop.startswith("uvloop"):
        pytest.importorskip("uvloop", reason="UVLOOP IS NOT INSTALLED: the asyncio door was not tested on it")
    body = f"""
    from websockets.asyncio.client import connect
    asyncio.get_running_loop().slow_callback_duration = 100
    server = EchoServer(0, host="127.0.0.1", on_text=on_text, close_timeout=1)
    {body}
    await asyncio.sleep(0.05)
"""
    code = RUN.format(body=body, loop=loop)
    if loop.startswith("uvloop"):
        code = "import uvloop\n" + code
    status, out, err = finished(python(code, env={"PYTHONASYNCIODEBUG": "1"}))
    assert (status, out, err) == (0, "ended\n", "")


def test_no_thread_and_no_descriptor_stays(on_loop: Run, run: Listen) -> None:
    def ours() -> list[str]:
        return [name for name in thread_names() if name.startswith(("echoserver", "tokio"))]

    names: list[str] = []

    async def main() -> None:
        other = run()
        async with EchoServer(0, host="127.0.0.1", workers=1) as server:
            # A future that crosses from another thread.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.wait_closed_async(), 0.01)
            names.extend(ours())
            async with connect(server.url) as client:
                await exchange(client, "x")
        await until(lambda: "echoserver-w0" not in thread_names() or other.is_serving)
        await asyncio.to_thread(other.stop)
        # Joined with the last server, and the process-wide runtime of pyo3-async-runtimes was never started.
        no_thread_stays()

    no_thread_stays()
    on_loop(main)
    assert "echoserver-asyn" in names
    assert not [name for name in names if name.startswith("tokio")]
    no_thread_stays()


def test_many_servers_on_one_loop(on_loop: Run) -> None:
    async def main() -> None:
        async def live(number: int) -> None:
            async def on_text(_client: Client, text: str) -> str:
                await asyncio.sleep(0)
                return f"{number} {text}"

            async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
                assert await exchange(client, "x", "y") == [f"{number} x", f"{number} y"]

        await asyncio.gather(*(live(number) for number in range(10)))

    on_loop(main)


def test_debug_prints_the_lines_of_the_example(on_loop: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def on_text(*_: object) -> None: ...

    async def main() -> None:
        async with (
            EchoServer(0, True, host="127.0.0.1", on_text=on_text) as server,
            connect(server.url) as client,
        ):
            assert await exchange(client, "text", b"binary") == ["text", b"binary"]

    on_loop(main)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["Message received: text", "Binary Message received: b'binary'"]
    assert lines[3].startswith("socketDisconnected: <Client 1")


def test_importing_the_package_does_not_import_asyncio() -> None:
    status, out, err = finished(
        python(
            "import sys\n"
            "import echoserver\n"
            "server = echoserver.EchoServer(0, host='127.0.0.1', on_text=lambda *_: None).start()\n"
            "server.stop()\n"
            "print('asyncio' in sys.modules)"
        )
    )
    assert (status, out, err) == (0, "False\n", "")


def test_the_subclass_is_what_async_with_gives(on_loop: Run) -> None:
    class Shouter(EchoServer):
        async def on_text(self, client: Client, message: str) -> str:
            await asyncio.sleep(0)
            client.send(f"{self.is_serving}")
            return message.upper()

    async def main() -> None:
        async with Shouter(0, host="127.0.0.1") as server, connect(server.url) as client:
            assert isinstance(server, Shouter)
            await client.send("x")
            assert [await client.recv() for _ in range(2)] == ["True", "X"]

    on_loop(main)
