"""`async def` callbacks: awaited, per client in order, across clients at the same time, each in its own context."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import queue
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect, exchange, run_on, soon, started, until
from echoserver import NO_REPLY, Client, EchoServer
from support import TIMEOUT, RawClient, finished, first_line, frame, join, python
from support import connect as connect_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aio_support import Run
    from conftest import Listen

CALLBACKS = ["on_connect", "on_text", "on_binary", "on_disconnect", "on_closed"]
Reported = queue.Queue[BaseException | None]


async def pause() -> None:
    """Some turns of the loop."""
    for _ in range(3):
        await asyncio.sleep(0)


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
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await until(lambda: server.stats().clients_closed)
            assert events == []
            gate.set()
            await until(lambda: len(events) == 2)
        assert events == ["text", "disconnect 1006"]

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
