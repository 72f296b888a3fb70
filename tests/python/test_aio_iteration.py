"""`async for client in server` and `async for message in client`."""

from __future__ import annotations

import asyncio
import gc
import queue
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, soon, until, upper
from echoserver import Client, ClientClosed, EchoServer
from support import TIMEOUT, RawClient, frame
from support import connect as connect_sync

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen


def test_clients_and_their_messages(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        # Before the start: not a single message is echoed.
        clients = aiter(server)
        seen: list[int] = []

        async def accept(group: asyncio.TaskGroup) -> None:
            async for client in clients:
                seen.append(client.id)
                group.create_task(upper(client))

        async with server, asyncio.TaskGroup() as group:
            group.create_task(accept(group))
            sockets = [await connect(server.url) for _ in range(5)]
            for socket in sockets:
                for message in ("a", b"b", ""):
                    await socket.send(message)
            for socket in sockets:
                assert [await soon(socket.recv()) for _ in range(3)] == ["A", b"B", ""]
            for socket in sockets[:2]:
                await socket.close()
            assert await exchange(sockets[2], *["x"] * 2000) == ["X"] * 2000
            # Both iterators end with the server, and so does the group.
            server.stop()
        for socket in sockets:
            await socket.close()
        assert sorted(seen) == [1, 2, 3, 4, 5]
        assert [client async for client in server] == []

    on_loop(main)


def test_clients_that_are_there_already_come_first(on_loop: Run) -> None:
    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1") as server:
            early = [await connect(server.url) for _ in range(2)]
            for client in early:
                assert await exchange(client, "echo") == ["echo"]
            clients = aiter(server)
            late = await connect(server.url)
            assert [(await soon(anext(clients))).id for _ in range(3)] == [1, 2, 3]
            # From now on nothing is echoed, to nobody.
            first = server.clients[0]
            await early[0].send("to the iterator")
            assert await soon(anext(aiter(first))) == "to the iterator"
            for client in (early[0], late):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.recv(), 0.05)
            for client in [*early, late]:
                await client.close()
            assert [message async for message in first] == []

    on_loop(main)


def test_messages_that_came_before_the_end_are_not_lost(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        clients = aiter(server)
        async with server:
            async with connect(server.url) as socket:
                await socket.send("a")
                await socket.send(b"b")
                client = await soon(anext(clients))
                messages = aiter(client)
                assert await soon(anext(messages)) == "a"
                closing = asyncio.create_task(socket.close())
                assert await soon(anext(messages)) == b"b"
                with pytest.raises(StopAsyncIteration):
                    await soon(anext(messages))
                await closing
            # A client that resets its connection; its messages can be had afterwards.
            with RawClient(server.port) as raw:
                await asyncio.to_thread(raw.opened)
                client = await soon(anext(clients))
                raw.socket.sendall(frame(1, b"1") + frame(1, b"2"))
                await until(lambda: server.stats().text_messages_received == 3)
            client.abort()
            await until(lambda: client.close_code is not None)
            last = client
            assert [message async for message in client] == ["1", "2"]
            with pytest.raises(ClientClosed):
                await client.send_async("too late")
        # Nor after the end of the server.
        assert [message async for message in last] == []

    on_loop(main)


def test_callbacks_of_clients_go_together_with_iteration(on_loop: Run) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def on_connect(client: Client) -> None:
            await asyncio.sleep(0)
            client.greeting = "hello"
            # In here nothing was echoed yet.
            messages = aiter(client)

            async def talk() -> None:
                async for message in messages:
                    client.send(f"{client.greeting} {message!r}")

            tasks.append(asyncio.create_task(talk()))

        async with (
            EchoServer(0, host="127.0.0.1", on_connect=on_connect) as server,
            connect(server.url) as client,
        ):
            assert await exchange(client, "a", b"b") == ["hello 'a'", "hello b'b'"]
        await soon(asyncio.gather(*tasks))

    on_loop(main)


def test_a_client_whose_messages_nobody_asks_for_is_not_read(on_loop: Run) -> None:
    message = frame(2, bytes(65_536))

    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", workers=1)
        clients = aiter(server)
        async with server:
            with RawClient(server.port) as raw:
                await asyncio.to_thread(raw.opened)
                client = await soon(anext(clients))
                sent = await asyncio.to_thread(raw.fill, message, 256 * 2**20)
                assert sent < 64 * 2**20
                assert server.stats().memory_used < 8 * 2**20
                count = sent // len(message)
                messages = aiter(client)
                for _ in range(count):
                    assert await soon(anext(messages)) == bytes(65_536)

    on_loop(main)


def test_an_iteration_may_end_early_and_begin_again(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        clients = aiter(server)
        async with server, connect(server.url) as socket:
            client = await soon(anext(clients))
            for n in range(6):
                await socket.send(str(n))
            got: list[Any] = []
            for _ in range(3):
                async for message in client:
                    got.append(message)
                    if len(got) % 2 == 0:
                        break
            assert got == ["0", "1", "2", "3", "4", "5"]
            # A cancelled wait takes no message with it, and two may wait.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(client)), 0.01)
            two = [asyncio.ensure_future(anext(aiter(client))) for _ in range(2)]
            await socket.send("x")
            await socket.send("y")
            assert sorted(await soon(asyncio.gather(*two))) == ["x", "y"]

    on_loop(main)


def test_message_callbacks_and_iteration_exclude_each_other(on_loop: Run, reported: Any) -> None:
    async def main() -> None:
        for name in ("on_text", "on_binary"):
            options: dict[str, Any] = {name: lambda *_: None}
            async with EchoServer(0, host="127.0.0.1", **options) as server, connect(server.url) as client:
                await exchange(client, "x")
                for what in (server, server.clients[0]):
                    with pytest.raises(RuntimeError, match="use either these callbacks or `async for`"):
                        aiter(what)
        assert reported.empty()

    on_loop(main)


def test_iteration_needs_the_loop_that_serves(on_loop: Run, run: Listen) -> None:
    server = run(on_connect=lambda _: None)

    async def main() -> None:
        with pytest.raises(RuntimeError, match="event loop that serves"):
            aiter(server)
        async with connect(server.url) as client:
            await exchange(client, "x")
            with pytest.raises(RuntimeError, match="event loop that serves"):
                aiter(server.clients[0])
            # Still an echo.
            assert await exchange(client, "x") == ["x"]

    on_loop(main)
    with pytest.raises(RuntimeError, match="running asyncio event loop"):
        aiter(server)
    with connect_sync(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"


def test_an_iterator_of_a_server_that_is_not_served_on_its_loop_does_not_wait_for_ever(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        clients = aiter(server)
        with pytest.raises(RuntimeError, match="on the event loop that serves them"):
            server.start()
        # As if it had not been asked.
        async with server, connect(server.url) as client:
            taken = await soon(anext(clients))
            assert taken.id == 1
            await client.close()
        assert [client async for client in clients] == []

        for stop in ("anywhere", "awaited"):
            server = EchoServer(0, host="127.0.0.1")
            waiting = asyncio.create_task(anext(aiter(server), None))
            await asyncio.sleep(0)
            if stop == "awaited":
                await server.stop_async()
            else:
                await asyncio.to_thread(server.stop)
            assert await soon(waiting) is None

    on_loop(main)


def test_a_task_that_only_the_iterator_refers_to_is_not_collected(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        came: list[int] = []

        async def accept() -> None:
            async for client in server:
                came.append(client.id)

        async with server:
            asyncio.create_task(accept())  # noqa: RUF006  # Just this.
            await asyncio.sleep(0)
            gc.collect()
            async with connect(server.url):
                await until(lambda: came == [1])

    on_loop(main)


def test_the_end_of_the_server_ends_a_waiting_iterator(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        clients = aiter(server)
        async with server, connect(server.url) as socket:
            client = await soon(anext(clients))
            waiting = [asyncio.ensure_future(anext(one, "end")) for one in (clients, aiter(client))]
            await asyncio.sleep(0)
            server.stop()
            assert await soon(asyncio.gather(*waiting)) == ["end", "end"]
            await soon(socket.wait_closed())
            assert socket.close_code == 1001

    on_loop(main)


def test_a_client_that_is_gone_has_no_messages(on_loop: Run) -> None:
    async def main() -> None:
        gone: asyncio.Queue[Client] = asyncio.Queue()
        server = EchoServer(0, host="127.0.0.1", on_disconnect=gone.put_nowait)
        async with server:
            async with connect(server.url) as socket:
                assert await exchange(socket, "echo") == ["echo"]
            client = await soon(gone.get())
            # In turns after on_disconnect has returned.
            for _ in range(3):
                await asyncio.sleep(0)
                assert await soon(listed(client)) == []
            # Nobody's messages wait for an iterator.
            async with connect(server.url) as socket:
                assert await exchange(socket, "echo") == ["echo"]
        assert await soon(listed(client)) == []

    on_loop(main)


async def listed(client: Client) -> list[str | bytes]:
    """What it has sent that nobody has taken."""
    return [message async for message in client]


def test_a_callback_that_iterates_over_its_own_client_does_not_wait_for_itself(
    on_loop: Run, reported: queue.Queue[BaseException | None]
) -> None:
    left: asyncio.Queue[list[str | bytes]] = asyncio.Queue()

    async def on_connect(client: Client) -> None:
        await asyncio.sleep(0)
        await listed(client)

    async def on_disconnect(client: Client) -> None:
        await asyncio.sleep(0)
        left.put_nowait(await listed(client))

    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", on_connect=on_connect, on_disconnect=on_disconnect)
        async with server:
            clients = aiter(server)
            async with connect(server.url) as socket:
                error = await asyncio.to_thread(reported.get, True, TIMEOUT)
                assert isinstance(error, RuntimeError)
                assert "would wait for itself" in str(error)
                client = await soon(anext(clients))
                await socket.send("left")
                await until(lambda: server.stats().text_messages_received == 1)
                # An end in order waits for the answer.
                client.abort()
            # All that it has sent is there, and nothing follows.
            assert await soon(left.get()) == ["left"]

    on_loop(main)


def test_a_callback_may_iterate_over_another_client(on_loop: Run) -> None:
    came: list[Client] = []
    heard: list[str | bytes] = []

    async def on_connect(client: Client) -> None:
        came.append(client)
        if len(came) == 2:
            heard.append(await anext(aiter(came[0])))

    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", on_connect=on_connect) as server:
            aiter(server)
            async with connect(server.url) as first, connect(server.url):
                await until(lambda: len(came) == 2)
                await first.send("x")
                await until(lambda: heard == ["x"])

    on_loop(main)
