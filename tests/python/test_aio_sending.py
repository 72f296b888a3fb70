"""Sending from an event loop, and waiting until it is sent."""

from __future__ import annotations

import asyncio
import queue
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, soon, upper
from echoserver import Client, EchoServer
from support import RawClient, frame, in_thread, join

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen


def test_flush_async_waits_for_the_send_queue(on_loop: Run) -> None:
    async def main() -> None:
        came: asyncio.Queue[Client] = asyncio.Queue()
        async with EchoServer(0, host="127.0.0.1", on_connect=came.put_nowait) as server:
            reader = RawClient(server.port, receive_buffer=4096)
            client = await soon(came.get())
            await soon(client.flush_async())
            size = 2**20
            for _ in range(8):
                client.send(bytes(size))
            waiting = asyncio.ensure_future(client.flush_async())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.flush_async(), 0.05)
            assert not waiting.done()
            reader.opened()
            for _ in range(8):
                assert await asyncio.to_thread(reader.receive) == (2, bytes(size))
            await soon(waiting)
            # A client that goes ends it, too.
            for _ in range(8):
                client.send(bytes(size))
            waiting = asyncio.ensure_future(client.flush_async())
            reader.close()
            await soon(waiting)

    on_loop(main)


def test_flush_async_is_for_every_loop(on_loop: Run, run: Listen) -> None:
    came: queue.Queue[Client] = queue.Queue()
    server = run(on_connect=came.put)

    async def main() -> None:
        with RawClient(server.port, receive_buffer=4096) as reader:
            client = came.get(timeout=10)
            client.send(bytes(8 * 2**20))
            waiting = asyncio.ensure_future(client.flush_async())
            await asyncio.sleep(0)
            assert not waiting.done()
            reader.opened()
            assert len((await asyncio.to_thread(reader.receive))[1]) == 8 * 2**20
            await soon(waiting)

    on_loop(main)


def test_sends_from_elsewhere_on_the_loop_go_out_at_once(on_loop: Run) -> None:
    async def main() -> None:
        came: asyncio.Queue[Client] = asyncio.Queue()
        async with EchoServer(0, host="127.0.0.1", on_connect=came.put_nowait) as server:
            with RawClient(server.port).opened() as reader:
                client = await soon(came.get())
                client.send("now")
                # The loop does not run meanwhile.
                assert reader.receive() == (1, b"now")
                assert server.broadcast(b"all") == 1
                assert reader.receive() == (2, b"all")
                thread = in_thread(client.send, "from a thread")
                assert reader.receive() == (1, b"from a thread")
                join(thread)

    on_loop(main)


def test_a_large_reply_and_many_messages_come_through(on_loop: Run) -> None:
    async def on_binary(_client: Client, message: bytes) -> Any:
        if len(message) % 3 == 0:
            await asyncio.sleep(0)
        return message * 2

    async def main() -> None:
        async with (
            EchoServer(0, host="127.0.0.1", on_binary=on_binary) as server,
            connect(server.url) as client,
        ):
            sizes = [*range(400), 70_000, 2**20, 2**20 + 1]
            sending = asyncio.create_task(exchange(client, *(bytes(size) for size in sizes)))
            assert [len(message) for message in await sending] == [2 * size for size in sizes]

    on_loop(main)


def test_send_async_waits_for_room(on_loop: Run) -> None:
    async def main() -> None:
        came: asyncio.Queue[Client] = asyncio.Queue()
        server = EchoServer(0, host="127.0.0.1", on_connect=came.put_nowait, max_send_queue=2**20)
        async with server:
            with RawClient(server.port, receive_buffer=4096) as raw:
                client = await soon(came.get())
                sent = 0

                async def send() -> None:
                    nonlocal sent
                    for _ in range(64):
                        assert await client.send_async(bytes(2**19)) == 2**19
                        sent += 1

                sending = asyncio.create_task(send())
                await asyncio.sleep(0.05)
                assert 0 < sent < 64
                await asyncio.to_thread(raw.opened)
                for _ in range(64):
                    assert len((await asyncio.to_thread(raw.receive))[1]) == 2**19
                await soon(sending)

    on_loop(main)


@pytest.mark.parametrize(("last", "code"), [(frame(8, b"\x03\xe8"), 1000), (b"\xff", 1002)])
def test_what_is_sent_in_the_loop_beside_a_close_goes_out_before_it(on_loop: Run, last: bytes, code: int) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        clients = aiter(server)
        async with server, asyncio.TaskGroup() as group:
            with RawClient(server.port) as raw:
                client = await soon(anext(clients))
                raw.opened()
                raw.socket.sendall(frame(1, b"a") + frame(1, b"b") + last)
                group.create_task(upper(client))
                for answer in (b"A", b"B"):
                    assert await asyncio.to_thread(raw.receive) == (1, answer)
                assert await asyncio.to_thread(raw.close_code) == code

    on_loop(main)
