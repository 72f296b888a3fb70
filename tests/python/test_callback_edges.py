"""What callbacks may do wrong, or do to their server, without harm to anybody else."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import NO_REPLY, Client, EchoServer
from support import FACTOR, TIMEOUT, RawClient, connect, frame, in_thread, join

if TYPE_CHECKING:
    from conftest import Listen

CALLBACKS = ["on_connect", "on_text", "on_binary", "on_disconnect", "on_closed"]


@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("name", ["on_text", "on_binary"])
def test_a_failing_callback_is_reported_and_the_connection_lives_on(
    run: Listen, reported: queue.Queue[BaseException | None], how: str, name: str
) -> None:
    def fail(_client: Client, message: str | bytes) -> Any:
        if len(message) > 1:
            return None
        if how == "raise":
            raise ZeroDivisionError
        return 5

    server = run(**{name: fail})
    messages: list[str] | list[bytes] = ["1", "long"] if name == "on_text" else [b"1", b"long"]
    with connect(server.url) as client:
        for message in messages:
            client.send(message)
        assert client.recv(TIMEOUT) == messages[1]
        error = reported.get(timeout=TIMEOUT)
    if how == "raise":
        assert isinstance(error, ZeroDivisionError)
    else:
        assert isinstance(error, TypeError)
        assert f'{name} ("{__file__}", line ' in str(error)
        assert ") returned int" in str(error)
    assert server.stats().callback_errors == 1


def test_failures_of_the_other_callbacks_are_reported_too(
    run: Listen, reported: queue.Queue[BaseException | None]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    server = run(on_connect=fail, on_disconnect=fail, on_closed=fail)
    with connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"
    server.stop()
    assert [type(reported.get(timeout=TIMEOUT)) for _ in range(3)] == [ZeroDivisionError] * 3
    assert server.stats().callback_errors == 3


@pytest.mark.parametrize("surrogate", ["\ud800", "a\udfff"])
def test_a_reply_that_is_no_unicode_is_an_error_of_the_callback(
    run: Listen, reported: queue.Queue[BaseException | None], surrogate: str
) -> None:
    server = run(on_text=lambda _, text: surrogate if text == "bad" else None)
    with connect(server.url) as client:
        client.send("bad")
        client.send("good")
        assert client.recv(TIMEOUT) == "good"
    assert isinstance(reported.get(timeout=TIMEOUT), UnicodeEncodeError)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["serve", "wait_closed", "stop", "with"])
def test_what_ends_a_program_comes_out_of_the_server(listen: Listen, error: BaseException, where: str) -> None:
    def on_text(*_: object) -> None:
        raise error

    server = listen(on_text=on_text, on_disconnect=lambda _: NO_REPLY)
    codes: queue.Queue[int | None] = queue.Queue()

    def talk() -> None:
        with connect(server.url) as client:
            client.send("end")
            for _ in client:
                pass
            codes.put(client.close_code)

    def live() -> None:
        if where == "serve":
            in_thread(talk)
            server.serve()
        elif where == "with":
            with server:
                talk()
        else:
            server.start()
            talk()
            getattr(server, where)()

    with pytest.raises(type(error)) as caught:
        live()
    assert caught.value is error
    assert codes.get(timeout=TIMEOUT) == 1001
    assert not server.is_serving
    # It came out once.
    server.stop()
    server.wait_closed()


def test_a_callback_may_stop_the_server(run: Listen) -> None:
    returned = threading.Event()

    def on_text(_client: Client, text: str) -> str:
        server.stop()
        server.stop(0.5)
        returned.set()
        return text * 2

    server = run(on_text=on_text)
    with connect(server.url) as client:
        client.send("x")
        assert list(client) == ["xx"]
        assert client.close_code == 1001
    assert returned.is_set()
    server.wait_closed(TIMEOUT)


@pytest.mark.parametrize("name", CALLBACKS)
def test_every_callback_may_call_stop(listen: Listen, name: str) -> None:
    server: EchoServer = listen(**{name: lambda *_: server.stop()})
    server.start()
    with connect(server.url) as client:
        if name in ("on_text", "on_binary"):
            client.send("x" if name == "on_text" else b"x")
        if name == "on_disconnect":
            client.close()
        if name == "on_closed":
            server.stop()
        server.wait_closed(TIMEOUT)


def test_waiting_for_the_server_in_a_callback_is_an_error(
    run: Listen, reported: queue.Queue[BaseException | None]
) -> None:
    server: EchoServer = run(on_text=lambda *_: server.wait_closed())
    with connect(server.url) as client:
        client.send("x")
        error = reported.get(timeout=TIMEOUT)
    assert isinstance(error, RuntimeError)
    assert "wait for itself" in str(error)


@pytest.mark.needs_worker
def test_a_callback_that_still_runs_at_the_deadline_is_named(run: Listen) -> None:
    gate, entered = threading.Event(), threading.Event()

    def on_binary(*_: object) -> None:
        entered.set()
        gate.wait(TIMEOUT)

    server = run(on_binary=on_binary)
    with RawClient(server.port).opened() as client, RawClient(server.port).opened() as other:
        client.send(2, b"x")
        assert entered.wait(TIMEOUT)
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"on_binary still runs after 0\.1 s"):
            server.stop(0.1)
        assert time.monotonic() - begun < 2 * FACTOR
        # Sockets are closed all the same.
        for one in (client, other):
            assert one.close_code() == 1001
            assert one.is_dropped()
    gate.set()
    server.stop()


@pytest.mark.needs_worker
def test_a_callback_that_waits_stops_nobody_else(run: Listen) -> None:
    gate, entered = threading.Event(), threading.Event()

    def on_text(*_: object) -> None:
        entered.set()
        gate.wait(TIMEOUT)

    server = run(on_text=on_text)
    with RawClient(server.port).opened() as waiting:
        waiting.send(1, b"first")
        assert entered.wait(TIMEOUT)
        # Its own pings, before and behind the message; handshakes and native echoes of others.
        waiting.send(9, b"ping")
        assert waiting.receive() == (10, b"ping")
        for _ in range(20):
            with connect(server.url) as other:
                other.send(b"binary")
                assert other.recv(TIMEOUT) == b"binary"
        gate.set()
        assert waiting.receive() == (1, b"first")


def test_a_client_is_not_read_while_its_messages_wait_for_a_callback(run: Listen) -> None:
    gate = threading.Event()
    server = run(on_binary=lambda *_: gate.wait(TIMEOUT) and None, workers=1)
    message = frame(2, bytes(65_536))
    with RawClient(server.port).opened() as client:
        sent = client.fill(message, 256 * 2**20)
        assert sent < 64 * 2**20
        assert server.stats().memory_used < 8 * 2**20
        gate.set()
        rest = message[sent % len(message) :] if sent % len(message) else b""
        finisher = in_thread(client.socket.sendall, rest)
        for _ in range((sent + len(rest)) // len(message)):
            opcode, payload = client.receive()
            assert (opcode, len(payload)) == (2, 65_536)
        join(finisher)


@pytest.mark.needs_worker
def test_a_callback_may_be_a_client_of_its_own_server(run: Listen) -> None:
    def on_text(_client: Client, text: str) -> str:
        with connect(server.url) as inner:
            inner.send(text.encode())
            return f"{text}, {inner.recv(TIMEOUT)!r}"

    server = run(on_text=on_text)
    with connect(server.url) as client:
        client.send("hello")
        assert client.recv(TIMEOUT) == "hello, b'hello'"


@pytest.mark.needs_worker
def test_a_callback_that_waits_for_a_callback_ends_in_its_own_timeout(run: Listen) -> None:
    def on_text(_client: Client, text: str) -> str | None:
        if text == "inner":
            return None
        with connect(server.url, close_timeout=0.1) as inner:
            inner.send("inner")
            try:
                inner.recv(0.1)
            except TimeoutError:
                return f"{text}: timeout"
        return "it cannot be"

    server = run(on_text=on_text)
    with connect(server.url) as client:
        client.send("outer")
        assert client.recv(TIMEOUT) == "outer: timeout"


def test_a_callback_may_run_another_server(run: Listen) -> None:
    def on_text(_client: Client, text: str) -> str:
        with (
            EchoServer(0, host="127.0.0.1", on_text=lambda _, inner: inner * 2) as second,
            connect(second.url) as inner,
        ):
            inner.send(text)
            return str(inner.recv(TIMEOUT))

    server = run(on_text=on_text)
    with connect(server.url) as client:
        client.send("ab")
        assert client.recv(TIMEOUT) == "abab"


def test_a_callback_may_drop_the_last_reference_to_its_server() -> None:
    servers: list[EchoServer] = []
    server = EchoServer(0, host="127.0.0.1", on_text=lambda *_: servers.clear())
    servers.append(server)
    url, reference = server.start().url, weakref.ref(server)
    del server
    with connect(url) as client:
        for message in ("one", "two"):
            client.send(message)
            assert client.recv(TIMEOUT) == message
    # It keeps itself.
    alive = reference()
    assert alive is not None
    alive.stop()
