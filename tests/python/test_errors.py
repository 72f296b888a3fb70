"""What becomes of what callbacks raise: `on_error`, the log, or the event loop's handler."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect as connect_async
from aio_support import exchange, soon, started
from echoserver import Client, EchoServer
from support import TIMEOUT, Handler, connect, eventually, finished, python, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_support import Run
    from conftest import Listen

Reported = queue.Queue[BaseException | None]
Errors = queue.Queue[tuple[Client | None, BaseException]]


def fail(*_: object) -> None:
    raise ZeroDivisionError


async def fail_later(*_: object) -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


def division_by_zero() -> ZeroDivisionError:
    """As this interpreter words it: 3.14 has other words."""
    try:
        raise AssertionError(1 // 0)
    except ZeroDivisionError as error:
        return error


def test_without_any_set_up_the_traceback_is_on_stderr() -> None:
    code = (
        "from echoserver import EchoServer\n"
        "from websockets.sync.client import connect\n"
        "def on_text(client, message):\n"
        "    return 1 // len(message)\n"
        "with EchoServer(0, host='127.0.0.1', on_text=on_text) as server, connect(server.url, proxy=None) as client:\n"
        "    client.send('')\n"
        "    client.send('x')\n"
        "    client.send(b'end')\n"
        "    print(client.recv())\n"
    )
    status, out, err = finished(python(code))
    assert (status, out) == (0, "b'end'\n")
    first, second = err.split("error in ")[1:]
    assert first.startswith('on_text ("<string>", line 3), client 1\nTraceback (most recent call last):\n')
    # The user's own, and nothing of ours.
    assert first.count("File ") == 1
    assert first.rstrip().endswith(f"ZeroDivisionError: {division_by_zero()}")
    assert 'TypeError: on_text ("<string>", line 3) returned int' in second


@pytest.mark.parametrize("name", ["on_connect", "on_text", "on_binary", "on_disconnect"])
def test_on_error_gets_client_and_exception_and_nothing_is_logged(run: Listen, name: str) -> None:
    errors: Errors = queue.Queue()
    threads: set[str] = set()

    def on_error(client: Client | None, error: BaseException) -> None:
        threads.add(threading.current_thread().name)
        errors.put((client, error))

    clients: list[Client] = []

    def failing(client: Client, *_: object) -> None:
        clients.append(client)
        raise ZeroDivisionError

    server = run(**{name: failing}, on_error=on_error)
    with connect(server.url) as client:
        client.send("x" if name == "on_text" else b"x")
    told, error = errors.get(timeout=TIMEOUT)
    assert [told] == clients
    assert isinstance(error, ZeroDivisionError)
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_frame.f_code is failing.__code__
    server.stop()
    assert errors.empty()
    assert server.stats().callback_errors == 1
    assert threads == {f"echoserver-{server.port}"}


def test_without_a_client_it_is_none(run: Listen) -> None:
    errors: Errors = queue.Queue()
    server = run(on_handshake=fail, on_closed=fail, on_error=lambda *error: errors.put(error))
    assert refused(server)[0] == 500
    server.stop()
    assert [(client, type(error)) for client, error in errors.queue] == [(None, ZeroDivisionError)] * 2


def test_on_error_may_answer_the_client(run: Listen) -> None:
    def on_error(client: Client | None, error: BaseException) -> None:
        assert client is not None
        client.send(f"failed: {error!r}")

    server = run(on_text=lambda _, text: 1 // len(text) if text != "end" else None, on_error=on_error)
    with connect(server.url) as client:
        for message in ("", "end"):
            client.send(message)
        expected = f"failed: {division_by_zero()!r}"
        assert [client.recv(TIMEOUT) for _ in range(2)] == [expected, "end"]


def test_what_on_error_raises_is_logged_once_with_what_it_was_for(run: Listen, reported: Reported) -> None:
    def on_error(*_: object) -> None:
        raise KeyError

    server = run(on_text=fail, on_error=on_error)
    with connect(server.url) as client:
        client.send("x")
        error = reported.get(timeout=TIMEOUT)
    assert isinstance(error, KeyError)
    assert isinstance(error.__context__, ZeroDivisionError)
    server.stop()
    assert reported.empty()
    assert server.stats().callback_errors == 2


def test_what_on_error_passes_on_is_logged(run: Listen, reported: Reported) -> None:
    def on_error(_client: Client | None, error: BaseException) -> None:
        raise error

    server = run(on_text=fail, on_error=on_error)
    with connect(server.url) as client:
        client.send("x")
        assert isinstance(reported.get(timeout=TIMEOUT), ZeroDivisionError)


def test_system_exit_in_on_error_ends_the_server(run: Listen) -> None:
    def on_error(*_: object) -> None:
        raise SystemExit(3)

    server = run(on_text=fail, on_error=on_error)
    with connect(server.url) as client:
        client.send("x")
        with pytest.raises(SystemExit):
            server.wait_closed(TIMEOUT)


def test_a_method_of_a_subclass_is_one_too() -> None:
    errors: Errors = queue.Queue()

    class Failing(EchoServer):
        def on_text(self, _client: Client, _message: str) -> str:
            raise ZeroDivisionError

        def on_error(self, client: Client | None, error: BaseException) -> None:
            errors.put((client, error))

    with Failing(0, host="127.0.0.1") as server, connect(server.url) as client:
        client.send("x")
        assert isinstance(errors.get(timeout=TIMEOUT)[1], ZeroDivisionError)


def test_a_handler_may_call_the_server(
    run: Listen, reported: Reported, handle: Callable[[Callable[[logging.LogRecord], object]], None]
) -> None:
    def emit(record: logging.LogRecord) -> None:
        for client in server.clients:
            client.send(record.getMessage())
        server.broadcast("also")

    handle(emit)
    server = run(on_text=fail)
    with connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == f'error in on_text ("{__file__}", line {fail.__code__.co_firstlineno}), client 1'
        assert client.recv(TIMEOUT) == "also"
    assert isinstance(reported.get_nowait(), ZeroDivisionError)


def test_a_handler_that_raises_is_told_otherwise_and_harms_nobody(
    run: Listen,
    reported: Reported,
    handle: Callable[[Callable[[logging.LogRecord], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def emit(_record: logging.LogRecord) -> None:
        raise OSError("full")

    raised: queue.Queue[BaseException | None] = queue.Queue()
    monkeypatch.setattr("sys.unraisablehook", lambda report: raised.put(report.exc_value))
    handle(emit)
    server = run(on_text=lambda _, text: None if text == "end" else fail())
    with connect(server.url) as client:
        client.send("x")
        client.send("end")
        assert client.recv(TIMEOUT) == "end"
    assert isinstance(raised.get_nowait(), OSError)
    assert isinstance(reported.get_nowait(), ZeroDivisionError)
    assert server.stats().callback_errors == 1


def test_a_loop_s_own_handler_is_told_what_failed_and_for_whom(on_loop: Run) -> None:
    contexts: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
        async with EchoServer(0, host="127.0.0.1", on_text=fail_later) as server, connect_async(server.url) as client:
            await client.send("x")
            assert await exchange(client, b"end") == [b"end"]
            (known,) = server.clients
        (context,) = contexts
        assert context["message"].startswith("echoserver: error in on_text (")
        assert isinstance(context["exception"], ZeroDivisionError)
        assert (context["client"], context["callback"]) == (known, fail_later)

    on_loop(main)


@pytest.mark.parametrize("callback", [fail, fail_later])
def test_on_error_on_a_loop(on_loop: Run, callback: Callable[..., Any]) -> None:
    errors: list[tuple[Client | None, BaseException]] = []

    async def main() -> None:
        gate = asyncio.Event()

        async def on_error(client: Client | None, error: BaseException) -> None:
            assert asyncio.current_task() is not None
            await gate.wait()
            errors.append((client, error))

        server = EchoServer(0, host="127.0.0.1", on_text=callback, on_closed=callback, on_error=on_error)
        serving = await started(server)
        async with connect_async(server.url) as client:
            # Neither client nor server wait for it.
            assert await soon(exchange(client, b"1")) == [b"1"]
            await client.send("x")
            await client.send("y")
            assert await soon(exchange(client, b"2")) == [b"2"]
        assert errors == []
        server.stop()
        gate.set()
        await soon(serving)
        # That of on_closed as well: its end is the server's.
        assert [type(error) for _, error in errors] == [ZeroDivisionError] * 3
        assert [client is None for client, _ in errors] == [False, False, True]
        assert server.stats().callback_errors == 3

    on_loop(main)


def test_what_a_coroutine_on_error_raises_is_logged(on_loop: Run, reported: Reported) -> None:
    async def on_error(*_: object) -> None:
        await asyncio.sleep(0)
        raise KeyError

    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1", on_text=fail_later, on_error=on_error)
        async with server, connect_async(server.url) as client:
            await client.send("x")
            assert await exchange(client, b"end") == [b"end"]
        assert isinstance(reported.get_nowait(), KeyError)
        assert reported.empty()
        assert server.stats().callback_errors == 2

    on_loop(main)


def test_a_coroutine_on_error_that_never_ends_is_cancelled_at_the_deadline(on_loop: Run) -> None:
    cancelled: list[bool] = []

    async def main() -> None:
        async def on_error(*_: object) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        server = EchoServer(0, host="127.0.0.1", on_text=fail, on_closed=fail, on_error=on_error, close_timeout=0.1)
        async with server, connect_async(server.url) as client:
            await client.send("x")
            assert await exchange(client, b"end") == [b"end"]
        assert cancelled == [True] * 2

    on_loop(main)


def test_async_callbacks_of_a_loop_of_the_server_s_own_are_logged_as_others(run: Listen, reported: Reported) -> None:
    records: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("echoserver"), Handler(records.append)
    logger.addHandler(handler)
    server = run(on_text=fail_later)
    with connect(server.url) as client:
        client.send("x")
        assert isinstance(reported.get(timeout=TIMEOUT), ZeroDivisionError)
    eventually(lambda: records)
    logger.removeHandler(handler)
    assert records[0].levelno == logging.ERROR


def test_an_error_imports_nothing_and_needs_no_descriptor() -> None:
    code = (
        "import os, resource, sys\n"
        "from echoserver import EchoServer\n"
        "from websockets.sync.client import connect\n"
        "def on_text(client, message):\n"
        "    before.update(sys.modules)\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 256))\n"
        "    raise ValueError('planned')\n"
        "before = set()\n"
        "with EchoServer(0, host='127.0.0.1', on_text=on_text) as server, connect(server.url, proxy=None) as client:\n"
        "    client.send('x')\n"
        "    client.send(b'end')\n"
        "    print(client.recv(), set(sys.modules) - before)\n"
    )
    status, out, err = finished(python(code))
    assert (status, out) == (0, "b'end' set()\n")
    assert "ValueError: planned" in err
    assert "Logging error" not in err


def test_an_error_in_the_last_callback_at_exit_is_told() -> None:
    code = (
        "from echoserver import EchoServer\n"
        "def on_closed():\n"
        "    raise ValueError('planned')\n"
        "server = EchoServer(0, host='127.0.0.1', on_closed=on_closed).start()\n"
    )
    status, out, err = finished(python(code))
    assert (status, out) == (0, "")
    assert err.count("ValueError: planned") == 1
