"""Client: whose it is, where it connected to, and how to wait for its end."""

from __future__ import annotations

import asyncio
import gc
import queue
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from aio_support import soon
from echoserver import Client, EchoServer
from support import FACTOR, TIMEOUT, RawClient, Watched, connect, finished, first_line, python

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen


@pytest.mark.parametrize("size", [1000, 20_000])
def test_what_was_sent_before_an_abort_arrives_compressed_or_not(listen: Listen, size: int) -> None:
    # More than the worker compresses in one turn.
    much = [f"{number} {'much ' * (size // 5)}" for number in range(100_000 // size)]

    def on_text(client: Client, _text: str) -> None:
        for text in much:
            client.send(text)
        client.abort()

    server = listen(on_text=on_text, compression="deflate").start()
    with connect(server.url, max_queue=None, compression="deflate") as client:
        assert client.protocol.extensions
        client.send("x")
        got = []
        with suppress(ConnectionClosed):
            while True:
                got.append(client.recv(TIMEOUT))
    assert got == much


def test_the_frames_of_a_message_are_not_those_of_the_next(listen: Listen) -> None:
    seen: queue.Queue[list[int]] = queue.Queue()
    server = listen(on_binary=lambda client, _: seen.put(client._frames()))
    server._core.note_frames()
    with server, RawClient(server.port).opened() as client:
        # A text is echoed without a callback.
        client.send(1, b"abc", fin=False)
        client.send(0, b"defg")
        client.send(2, b"whole")
        assert seen.get(timeout=TIMEOUT) == []


def test_a_client_has_its_server_but_does_not_keep_it() -> None:
    came: queue.Queue[Client] = queue.Queue()

    class Mine(EchoServer):
        def on_connect(self, client: Client) -> None:
            assert client.server is self
            came.put(client)

    server = Mine(0, host="127.0.0.1").start()
    with RawClient(server.port).opened():
        client = came.get(timeout=TIMEOUT)
        assert client.server is server
        server.stop(0)
    assert client.server is server
    del server
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Mine]
    with pytest.raises(ReferenceError, match="ended"):
        _ = client.server
    # The rest of it stays readable.
    assert client.close_code in {1001, 1006}


@pytest.mark.parametrize(("host", "target"), [("127.0.0.1", "127.0.0.1"), (None, "127.0.0.2"), (None, "::1")])
def test_local_address_is_where_the_client_connected_to(run: Listen, host: str | None, target: str) -> None:
    if target == "::1" and not socket.has_ipv6:
        pytest.skip("NO IPv6 HERE")
    watched = Watched(run, host=host)
    with RawClient(watched.port, host=target).opened():
        client = watched.next()
        assert client.local_address == (target, watched.port)
        assert client.peer[0] == ("127.0.0.1" if target == "127.0.0.2" else target)


def close(raw: RawClient, payload: bytes) -> None:
    raw.send(8, payload)
    assert raw.receive()[0] == 8


ENDS: dict[str, tuple[Any, int]] = {
    "with a code": (lambda raw, _: close(raw, b"\x0f\xa0bye"), 4000),
    "without one": (lambda raw, _: close(raw, b""), 1005),
    "vanished": (lambda raw, _: raw.close(), 1006),
    "aborted": (lambda _, client: client.abort(), 1006),
    "a violation": (lambda raw, _: raw.send(3), 1002),
}


@pytest.mark.parametrize("how", ENDS)
def test_wait_closed_gives_the_code(watched: Watched, how: str) -> None:
    end, code = ENDS[how]
    with RawClient(watched.port).opened() as raw, ThreadPoolExecutor() as pool:
        client = watched.next()
        waiting = [pool.submit(client.wait_closed, TIMEOUT) for _ in range(2)]
        with pytest.raises(TimeoutError, match=f"client {client.id} is still connected after 0.01 s"):
            client.wait_closed(0.01)
        end(raw, client)
        assert [wait.result(TIMEOUT) for wait in waiting] == [code, code]
    assert client.wait_closed() == client.wait_closed(0) == client.close_code == code


def test_who_does_not_answer_a_close_is_told_from_who_was_not_asked_to_go(watched: Watched) -> None:
    with RawClient(watched.port).opened() as raw:
        client = watched.next()
        client.close(1001)
        assert raw.close_code() == 1001
        with pytest.raises(TimeoutError, match=f"client {client.id} has not ended the closing handshake after 0.01 s"):
            client.wait_closed(0.01)
        raw.send(8, b"\x03\xe9")
        assert client.wait_closed(TIMEOUT) == 1001


def test_what_is_flushed_has_not_ended(watched: Watched) -> None:
    with RawClient(watched.port).opened() as raw, ThreadPoolExecutor() as pool:
        client = watched.next()
        waiting = pool.submit(client.wait_closed)
        # Each empties the send queue, which wakes those who wait for the client.
        for number in range(100):
            client.send(str(number))
            assert raw.receive() == (1, str(number).encode())
        assert not waiting.done()
        client.close(4001)
        assert raw.close_code() == 4001
        raw.send(8, b"\x0f\xa1")
        assert waiting.result(TIMEOUT) == 4001


def test_the_thread_of_the_callbacks_can_not_wait_but_ask(run: Listen) -> None:
    said: queue.Queue[object] = queue.Queue()

    def attempt(client: Client, _: object = None) -> None:
        try:
            said.put(client.wait_closed(TIMEOUT))
        except RuntimeError as error:
            said.put(str(error))

    server = run(on_text=attempt, on_disconnect=attempt)
    with connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"
        assert "callbacks would wait for itself" in str(said.get(timeout=TIMEOUT))
    assert said.get(timeout=TIMEOUT) == 1000


def test_on_an_event_loop_wait_closed_names_the_one_that_does_not_stop_it(on_loop: Run) -> None:
    said: list[str] = []

    async def main() -> None:
        came: asyncio.Queue[Client] = asyncio.Queue()

        async def on_text(client: Client, _: str) -> str:
            try:
                await client.wait_closed_async()
            except RuntimeError as error:
                said.append(str(error))
            return "done"

        async with EchoServer(0, host="127.0.0.1", on_connect=came.put_nowait, on_text=on_text) as server:
            raw = await asyncio.to_thread(lambda: RawClient(server.port).opened())
            client = await soon(came.get())
            with pytest.raises(RuntimeError, match=r"await client\.wait_closed_async"):
                client.wait_closed()
            # A thread may, and a task of its own.
            waiting = [asyncio.ensure_future(client.wait_closed_async()) for _ in range(2)]
            waiting.append(asyncio.ensure_future(asyncio.to_thread(client.wait_closed)))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.wait_closed_async(), 0.01)
            raw.send(1, b"x")
            assert await asyncio.to_thread(raw.receive) == (1, b"done")
            assert not any(wait.done() for wait in waiting)
            raw.close()
            assert await soon(asyncio.gather(*waiting)) == [1006] * 3
            assert await client.wait_closed_async() == client.wait_closed() == 1006

    on_loop(main)
    assert len(said) == 1
    assert "would wait for itself" in said[0]


def test_a_loop_that_does_not_serve_may_wait(on_loop: Run, watched: Watched) -> None:
    async def main() -> None:
        raw = RawClient(watched.port).opened()
        client = watched.next()
        with pytest.raises(RuntimeError, match=r"await client\.wait_closed_async"):
            client.wait_closed()
        with pytest.raises(TimeoutError, match=r"^client 1 is still connected after 0\.01 s$"):
            await client.wait_closed_async(0.01)
        waiting = asyncio.ensure_future(client.wait_closed_async(None))
        await asyncio.sleep(0)
        assert not waiting.done()
        raw.close()
        assert await soon(waiting) == client.wait_closed() == 1006

    on_loop(main)


def test_the_end_of_the_server_is_that_of_its_clients(watched: Watched) -> None:
    with RawClient(watched.port).opened(), ThreadPoolExecutor() as pool:
        client = watched.next()
        waiting = pool.submit(client.wait_closed)
        watched.server.stop(0)
        assert waiting.result(TIMEOUT) == client.close_code is not None


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_the_wait_and_other_threads_run_meanwhile() -> None:
    process = python(
        "import threading\n"
        "from echoserver import EchoServer\n"
        "came, there = [], threading.Event()\n"
        "def on_connect(client):\n"
        "    came.append(client)\n"
        "    there.set()\n"
        "server = EchoServer(0, host='127.0.0.1', on_connect=on_connect, on_text=lambda _, text: text * 2).start()\n"
        "print(server.port, flush=True)\n"
        "there.wait()\n"
        "try:\n"
        "    print('waits', flush=True)\n"
        "    came[0].wait_closed()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "server.stop(0)\n"
    )
    with RawClient(int(first_line(process))).opened() as raw:
        assert first_line(process) == "waits"
        raw.send(1, b"x")
        assert raw.receive() == (1, b"xx")
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert first_line(process) == "interrupted"
        assert time.monotonic() - begun < FACTOR
        assert finished(process) == (0, "", "")


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
def test_a_wrong_timeout_is_an_error(watched: Watched, timeout: Any) -> None:
    with RawClient(watched.port).opened():
        client = watched.next()
        with pytest.raises((TypeError, ValueError), match="timeout"):
            client.wait_closed(timeout)
