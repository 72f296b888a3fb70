"""`async def` callbacks: awaited, per client in order, across clients at the same time."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, pause, soon, started, until
from echoserver import NO_REPLY, Client, EchoServer
from support import TIMEOUT, RawClient, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_support import Run

CALLBACKS = ["on_connect", "on_text", "on_binary", "on_disconnect", "on_closed"]
Reported = queue.Queue[BaseException | None]


def test_all_callbacks_are_awaited_in_order(on_loop: Run) -> None:
    events: list[object] = []

    def note(name: str) -> Callable[..., Any]:
        async def callback(*args: Any) -> None:
            events.append(f"{name} begins")
            await pause()
            events.append((name, *(arg.id if isinstance(arg, Client) else arg for arg in args)))

        return callback

    async def main() -> None:
        options: dict[str, Any] = {name: note(name) for name in CALLBACKS}
        async with EchoServer(0, host="127.0.0.1", **options) as server, connect(server.url) as client:
            assert await exchange(client, "a", b"b") == ["a", b"b"]
        (name,) = [task.get_name() for task in asyncio.all_tasks()]
        assert name.startswith("Task")

    on_loop(main)
    done = [event for event in events if isinstance(event, tuple)]
    assert done == [
        ("on_connect", 1),
        ("on_text", 1, "a"),
        ("on_binary", 1, b"b"),
        ("on_disconnect", 1),
        ("on_closed",),
    ]
    # None began before the one before it had ended.
    assert events == [one for event in done for one in (f"{event[0]} begins", event)]


def test_on_connect_ends_before_the_first_message_is_delivered_or_echoed(on_loop: Run) -> None:
    async def main() -> None:
        gate, entered = asyncio.Event(), asyncio.Event()

        async def on_connect(_client: Client) -> None:
            entered.set()
            await gate.wait()

        async with EchoServer(0, host="127.0.0.1", on_connect=on_connect) as server, connect(server.url) as client:
            await client.send("x")
            await soon(entered.wait())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 0.05)
            gate.set()
            assert await soon(client.recv()) == "x"

    on_loop(main)


@pytest.mark.parametrize("reply", [None, "other", b"bytes", bytearray(b"array"), "é😀", "x" * 70_000])
def test_what_a_coroutine_returns_is_what_the_client_gets(on_loop: Run, reply: Any) -> None:
    async def main() -> None:
        for wait in (False, True):

            async def on_text(_client: Client, _text: str, wait: bool = wait) -> Any:
                if wait:
                    await pause()
                return reply

            async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
                expected = "message" if reply is None else bytes(reply) if isinstance(reply, bytearray) else reply
                assert await exchange(client, "message") == [expected]

    on_loop(main)


def test_async_and_plain_callbacks_keep_the_order_of_the_messages(on_loop: Run) -> None:
    async def on_text(_client: Client, text: str) -> Any:
        number = int(text)
        if number % 3 == 0:
            await asyncio.sleep(0.001)
        elif number % 3 == 1:
            await asyncio.sleep(0)
        return NO_REPLY if number % 10 == 9 else text * 2

    async def main() -> None:
        for on_binary in (None, lambda _, message: message[::-1]):
            server = EchoServer(0, host="127.0.0.1", on_text=on_text, on_binary=on_binary)
            async with server:
                client = RawClient(server.port)
                async with asyncio.timeout(TIMEOUT):
                    await asyncio.to_thread(client.opened)
                    messages = [frame(1 + n % 2, b"%d" % n) for n in range(600)]
                    await asyncio.to_thread(client.socket.sendall, b"".join(messages))
                    for n in range(600):
                        if n % 10 == 9 and n % 2 == 0:
                            continue
                        text = b"%d" % n
                        binary = text[::-1] if on_binary else text
                        expected = (2, binary) if n % 2 else (1, text * 2)
                        if n % 2 or n % 10 != 9:
                            assert await asyncio.to_thread(client.receive) == expected
                client.close()

    on_loop(main)


def test_clients_are_served_at_the_same_time_and_a_slow_coroutine_delays_only_its_own(on_loop: Run) -> None:
    async def main() -> None:
        gates: dict[int, asyncio.Event] = {}

        async def on_text(client: Client, text: str) -> str:
            gate = gates.setdefault(client.id, asyncio.Event())
            if text == "slow":
                await gate.wait()
            return f"{client.id} {text}"

        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server:
            clients = [await connect(server.url) for _ in range(5)]
            for client in clients[:4]:
                await client.send("slow")
                await client.send("next")
            await until(lambda: len(gates) == 4)
            # Natively, through Python, and of those who wait none.
            assert await exchange(clients[4], *["fast"] * 50) == ["5 fast"] * 50
            for number in (3, 1, 4, 2):
                gates[number].set()
                assert await soon(clients[number - 1].recv()) == f"{number} slow"
                assert await soon(clients[number - 1].recv()) == f"{number} next"
            for client in clients:
                await client.close()

    on_loop(main)


def test_a_client_is_not_read_while_its_messages_wait_for_a_coroutine(on_loop: Run) -> None:
    message = frame(2, bytes(65_536))

    async def main() -> None:
        gate = asyncio.Event()

        async def on_binary(*_: object) -> None:
            await gate.wait()

        def empty(client: RawClient, sent: int) -> None:
            rest = message[sent % len(message) :] if sent % len(message) else b""
            finisher = threading.Thread(target=client.socket.sendall, args=[rest])
            finisher.start()
            for _ in range((sent + len(rest)) // len(message)):
                opcode, payload = client.receive()
                assert (opcode, len(payload)) == (2, 65_536)
            finisher.join(TIMEOUT)

        async with EchoServer(0, host="127.0.0.1", on_binary=on_binary, workers=1) as server:
            with RawClient(server.port) as client:
                await asyncio.to_thread(client.opened)
                sent = await asyncio.to_thread(client.fill, message, 256 * 2**20)
                assert sent < 64 * 2**20
                assert server.stats().memory_used < 8 * 2**20
                gate.set()
                await asyncio.to_thread(empty, client, sent)

    on_loop(main)


@pytest.mark.parametrize("how", ["raise", "return", "raise later", "return later"])
@pytest.mark.parametrize("name", ["on_text", "on_binary"])
def test_a_failing_coroutine_is_reported_and_the_connection_lives_on(
    on_loop: Run, reported: Reported, how: str, name: str
) -> None:
    async def fail(_client: Client, message: str | bytes) -> Any:
        if len(message) > 1:
            return None
        if how.endswith("later"):
            await pause()
        if how.startswith("raise"):
            raise ZeroDivisionError
        return 5

    async def main() -> None:
        options: dict[str, Any] = {name: fail}
        async with EchoServer(0, host="127.0.0.1", **options) as server, connect(server.url) as client:
            long: str | bytes = "long" if name == "on_text" else b"long"
            await client.send(long[:1])
            await client.send(long)
            assert await soon(client.recv()) == long
        error = reported.get_nowait()
        assert isinstance(error, ZeroDivisionError if how.startswith("raise") else TypeError)
        if how.startswith("return"):
            assert f'{name} ("{__file__}", line ' in str(error)
            assert ") returned int" in str(error)
        assert server.stats().callback_errors == 1

    on_loop(main)


def test_failures_of_the_other_coroutines_are_reported_too(on_loop: Run, reported: Reported) -> None:
    async def fail(*_: object) -> None:
        await pause()
        raise ZeroDivisionError

    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", on_connect=fail, on_disconnect=fail, on_closed=fail)
        async with server, connect(server.url) as client:
            assert await exchange(client, "x") == ["x"]
        assert [type(reported.get_nowait()) for _ in range(3)] == [ZeroDivisionError] * 3
        assert server.stats().callback_errors == 3

    on_loop(main)


def test_what_a_coroutine_sends_goes_out_before_its_reply(on_loop: Run) -> None:
    async def on_text(client: Client, text: str) -> str:
        client.send(f"{text}1")
        await pause()
        client.send(f"{text}2")
        await client.send_async(f"{text}3")
        client.flush(TIMEOUT)
        await client.flush_async()
        return f"{text}4"

    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, connect(server.url) as client:
            await client.send("a")
            await client.send("b")
            got = [await soon(client.recv()) for _ in range(8)]
            assert got == [f"{text}{n}" for text in "ab" for n in range(1, 5)]

    on_loop(main)


def test_a_callback_may_stop_its_server(on_loop: Run) -> None:
    async def main() -> None:
        async def on_text(_client: Client, text: str) -> str:
            server.stop()
            await pause()
            server.stop(TIMEOUT)
            return text * 2

        server = EchoServer(0, host="127.0.0.1", on_text=on_text)
        async with server, connect(server.url) as client:
            await client.send("x")
            assert [message async for message in client] == ["xx"]
            assert client.close_code == 1001
            await soon(server.wait_closed_async())

    on_loop(main)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_coroutine_that_still_runs_at_the_deadline_is_cancelled(on_loop: Run, stubborn: bool) -> None:
    cancelled: list[str] = []

    async def on_text(*_: object) -> str:
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append("cancelled")
                if not stubborn:
                    raise

    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", on_text=on_text, close_timeout=0.2)
        serving = await started(server)
        async with connect(server.url) as client:
            await client.send("x")
            await until(lambda: server.stats().text_messages_received)
            server.stop()
            await soon(client.wait_closed())
            assert client.close_code == 1001
        if stubborn:
            with pytest.raises(TimeoutError, match="on_text still runs"):
                await serving
        else:
            await serving
        assert cancelled == ["cancelled"] * (2 if stubborn else 1)

    on_loop(main)


def test_on_disconnect_waits_for_the_coroutine_before_it(on_loop: Run) -> None:
    async def main() -> None:
        events: list[str] = []
        gate = asyncio.Event()

        async def on_text(*_: object) -> None:
            await gate.wait()
            events.append("text")

        async def on_disconnect(client: Client) -> None:
            await pause()
            events.append(f"disconnect {client.close_code}")

        async with EchoServer(0, host="127.0.0.1", on_text=on_text, on_disconnect=on_disconnect) as server:
            with RawClient(server.port) as client:
                await asyncio.to_thread(client.opened)
                client.send(1, b"x")
                await until(lambda: server.stats().text_messages_received)
                # Closing it resets the connection, so that nothing can be answered any more.
                client.reset_at_close()
            await until(lambda: server.stats().clients_closed)
            assert events == []
            gate.set()
            await until(lambda: len(events) == 2)
        assert events == ["text", "disconnect 1006"]

    on_loop(main)
