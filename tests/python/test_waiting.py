"""That waiting until something is so ends when it is: each thing that a predicate may look at says that it changed.

The waits here have no time limit, and so no last look: one that nobody tells of the change never ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

import pytest

from echoserver import Client, EchoServer
from echoserver._core import CALLBACKS
from echoserver.stats import Stats
from echoserver.testing import Delay, EchoTestServer, Hang, Response
from support import TIMEOUT, RawClient, eventually, frame, in_thread, join

Asked = Callable[[], object]


class Change(NamedTuple):
    """What a predicate looks at, and what changes it: the last thing that happens."""

    is_so: Asked
    cause: Asked


def waits(server: EchoServer, is_so: Asked, cause: Asked, *, is_async: bool = False) -> None:
    """Waits in a thread, and causes what is waited for when the predicate has said no."""
    asked = threading.Event()

    def predicate() -> object:
        found = is_so()
        asked.set()
        return found

    def wait() -> None:
        if is_async:
            asyncio.run(server.wait_until_async(predicate, None))
        else:
            server.wait_until(predicate, None)

    assert not is_so()
    thread = in_thread(wait)
    assert asked.wait(TIMEOUT)
    assert thread.is_alive()
    cause()
    join(thread)


class Scene:
    """A server with one client, which it has accepted."""

    def __init__(self, **options: Any) -> None:
        """And whose client has done nothing else."""
        self.server = EchoTestServer(check_errors=False, **options).start()
        self.raw = RawClient(self.server.port).opened()
        self.client = self.server.accept()
        self.others: list[RawClient] = []

    def connect(self, *lines: str) -> None:
        """Another client connects and asks, for whatever answer."""
        self.others.append(RawClient(self.server.port, *lines))

    def open(self) -> None:
        """Sends nothing but TCP's own."""
        self.others.append(plain(self.server.port))

    def end(self) -> None:
        """Ends all."""
        self.server.stop()
        for raw in (self.raw, *self.others):
            raw.close()


def plain(port: int, data: bytes = b"") -> RawClient:
    """A client of TCP alone."""
    raw = object.__new__(RawClient)
    raw.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    raw.file = raw.socket.makefile("rb")
    raw.socket.sendall(data)
    return raw


PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

CHANGES: dict[str, Callable[[Scene], Change]] = {
    "requests": lambda one: Change(lambda: len(one.server.requests) > 1, one.connect),
    "a status": lambda one: Change(
        lambda: 426 in [request.status for request in one.server.requests],
        lambda: one.connect("Sec-WebSocket-Version: 8"),
    ),
    "accepted": lambda one: Change(lambda: len(one.server.accepted) > 1, one.connect),
    "clients": lambda one: Change(lambda: len(one.server.clients) > 1, one.connect),
    "client_count": lambda one: Change(lambda: one.server.client_count > 1, one.connect),
    "no clients": lambda one: Change(lambda: not one.server.clients, one.raw.close),
    "received": lambda one: Change(lambda: one.server.received, lambda: one.raw.send(1, b"x")),
    "received of a client": lambda one: Change(lambda: one.client.received, lambda: one.raw.send(1, b"x")),
    "close_code": lambda one: Change(lambda: one.client.close_code, one.raw.close),
    "close_reason": lambda one: Change(
        lambda: one.client.close_reason, lambda: one.raw.send(8, (4000).to_bytes(2) + b"why")
    ),
    "is_open, for its close": lambda one: Change(lambda: not one.client.is_open, lambda: one.raw.send(8)),
    "is_open, for ours": lambda one: Change(lambda: not one.client.is_open, one.client.close),
    "is_open, for an abort": lambda one: Change(lambda: not one.client.is_open, one.client.abort),
    "is_serving": lambda one: Change(lambda: not one.server.is_serving, lambda: one.server.stop(wait=False)),
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("what", CHANGES)
def test_what_clients_do_is_told(what: str, is_async: bool) -> None:
    scene = Scene()
    try:
        waits(scene.server, *CHANGES[what](scene), is_async=is_async)
    finally:
        scene.end()


def pings(one: Scene) -> None:
    one.client.ping(b"p")
    assert one.raw.receive() == (9, b"p")


def test_a_round_trip_is_told() -> None:
    scene = Scene()
    try:
        pings(scene)
        waits(scene.server, lambda: scene.client.rtt, lambda: scene.raw.send(10, b"p"))
    finally:
        scene.end()


def without_descriptors(one: Scene) -> None:
    """A connection can't be accepted meanwhile."""
    import resource

    client = socket.socket()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        client.connect(one.server.address)
        eventually(lambda: one.server.stats().accept_errors, "a failure")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        client.close()


def raises(*_: object) -> None:
    raise ValueError


def meets_an_error(one: Scene) -> None:
    one.server.on_connect = raises
    one.connect()


# What changes each counter, for one more of it.
COUNTED: dict[str, Callable[[Scene], object]] = {
    "connections_accepted": Scene.open,
    "accept_errors": without_descriptors,
    "handshakes_refused": lambda one: one.connect("Sec-WebSocket-Version: 8"),
    "http_requests": lambda one: one.others.append(plain(one.server.port, PLAIN)),
    "tls_failures": lambda one: one.others.append(plain(one.server.port, PLAIN)),
    "clients_opened": Scene.connect,
    "clients_closed": lambda one: one.raw.close(),
    "text_messages_received": lambda one: one.raw.send(1, b"x"),
    "binary_messages_received": lambda one: one.raw.send(2, b"x"),
    "messages_sent": lambda one: one.client.send("x"),
    "text_messages_sent": lambda one: one.client.send("x"),
    "binary_messages_sent": lambda one: one.client.send(b"x"),
    "text_bytes_received": lambda one: one.raw.send(1, b"x"),
    "binary_bytes_received": lambda one: one.raw.send(2, b"x"),
    "text_bytes_sent": lambda one: one.client.send("x"),
    "binary_bytes_sent": lambda one: one.client.send(b"x"),
    "bytes_received": lambda one: one.raw.socket.sendall(frame(1, b"half")[:8]),
    "bytes_sent": lambda one: one.client.ping(b"x"),
    "pings_received": lambda one: one.raw.send(9),
    "pongs_received": lambda one: one.raw.send(10),
    "violations": lambda one: one.raw.send(3),
    "callback_errors": meets_an_error,
    "memory_used": lambda one: one.raw.socket.sendall(frame(2, bytes(1 << 20))[: 1 << 19]),
}


def test_the_table_has_all_counters() -> None:
    assert list(COUNTED) == [field.name for field in fields(Stats)]


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_counted_is_told(name: str) -> None:
    if name == "accept_errors" and sys.platform == "win32":
        pytest.skip("descriptors have no limit")
    scene = Scene() if name != "tls_failures" else WithTls()
    try:
        before = getattr(scene.server.stats(), name)
        waits(
            scene.server,
            lambda: getattr(scene.server.stats(), name) > before,
            lambda: COUNTED[name](scene),
        )
    finally:
        scene.end()


class WithTls(Scene):
    """With TLS, and nobody connected."""

    def __init__(self) -> None:
        """Its client is one of TCP alone."""
        self.server = EchoTestServer(tls="self-signed").start()
        self.raw = plain(self.server.port)
        self.others = []


def test_memory_that_is_given_back_is_told() -> None:
    scene = Scene()
    try:
        most = scene.server.stats().memory_used + (1 << 18)
        scene.raw.socket.sendall(frame(2, bytes(1 << 20))[: 1 << 19])
        scene.server.wait_until(lambda: scene.server.stats().memory_used > most)
        waits(scene.server, lambda: scene.server.stats().memory_used < most, scene.raw.close)
    finally:
        scene.end()


class Gate:
    """A callback that waits until it is let go, and then leaves a trace."""

    def __init__(self, *, is_async: bool, fails: bool = False) -> None:
        """An `async def` goes on until `leave`: what it has done before shows."""
        self.entered, self.go = threading.Event(), threading.Event()
        self.traces: list[str] = []
        self._fails = fails
        self._loop: asyncio.AbstractEventLoop | None = None
        self.callback: Callable[..., Any] = self._steps if is_async else self._runs

    def _leave_trace(self) -> None:
        self.entered.set()
        assert self.go.wait(TIMEOUT)
        self.traces.append("here")
        if self._fails:
            raise ValueError("of the callback")

    def _runs(self, *_: object) -> None:
        self._leave_trace()

    async def _steps(self, *_: object) -> None:
        self._loop, self._left = asyncio.get_running_loop(), asyncio.Event()
        await asyncio.sleep(0)
        self._leave_trace()
        await self._left.wait()

    def leave(self) -> None:
        """Has it end."""
        self.go.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._left.set)


def arrives(server: EchoTestServer, name: str) -> RawClient:
    """Has this callback called: its client."""
    raw = RawClient(server.port)
    if name == "on_handshake":
        return raw
    raw.opened()
    if name in ("on_text", "on_error"):
        raw.send(1, b"x")
    elif name == "on_binary":
        raw.send(2, b"x")
    elif name == "on_disconnect":
        raw.close()
    elif name == "on_closed":
        raw.close()
        server.stop(wait=False)
    else:
        assert name == "on_connect", f"what brings {name} about?"
    return raw


@contextmanager
def called(gate: Gate, name: str, **options: Any) -> Iterator[EchoTestServer]:
    """A server in whose callback of that name the gate is."""
    options[name] = gate.callback
    server = EchoTestServer(**options).start()
    raw = arrives(server, name)
    try:
        assert gate.entered.wait(TIMEOUT)
        yield server
    finally:
        gate.leave()
        server.stop()
        raw.close()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", CALLBACKS)
def test_what_a_callback_has_done_is_told(name: str, is_async: bool) -> None:
    gate = Gate(is_async=is_async)
    failing: dict[str, Any] = {"on_text": raises} if name == "on_error" else {}
    with called(gate, name, **failing) as server:
        waits(server, lambda: gate.traces, gate.go.set)


@pytest.mark.parametrize("name", ["on_handshake", "on_connect", "on_text", "on_disconnect", "on_closed"])
def test_what_a_callback_has_raised_is_told(name: str) -> None:
    gate = Gate(is_async=False, fails=True)
    with called(gate, name, check_errors=False) as server:
        waits(server, lambda: server.errors, gate.go.set)


def test_what_is_logged_of_clients_is_told(handle: Callable[[Any], None]) -> None:
    lines: list[str] = []
    handle(lambda record: lines.append(record.getMessage()))
    logger = logging.getLogger("echoserver")
    before = logger.level
    logger.setLevel(logging.INFO)
    scene = Scene()
    try:
        waits(scene.server, lambda: lines, lambda: scene.connect("Sec-WebSocket-Version: 8"))
    finally:
        scene.end()
        logger.setLevel(before)


@pytest.mark.parametrize("entry", [Hang(), Delay(3600), Response(503)])
def test_an_entry_of_handshakes_that_is_taken_is_told(entry: Any) -> None:
    with EchoTestServer() as server:
        server.handshakes.append(entry)
        others: list[RawClient] = []
        waits(server, lambda: not server.handshakes, lambda: others.append(RawClient(server.port)))
        others[0].close()


def test_the_end_of_the_last_callback_is_the_end_of_waiting() -> None:
    """Not that of the connections, after which callbacks still run."""
    gate = Gate(is_async=False)
    server = EchoTestServer(on_closed=gate.callback).start()
    server.stop(wait=False)
    assert gate.entered.wait(TIMEOUT)
    waits(server, lambda: gate.traces, gate.go.set)
    server.wait_closed()
    with pytest.raises(RuntimeError, match="nothing will come, since the server has ended"):
        server.wait_until(lambda: False, None)


def test_a_client_that_a_callback_closes_is_told() -> None:
    closed = threading.Event()

    def on_connect(client: Client) -> None:
        client.close()
        closed.set()

    with EchoTestServer(on_connect=on_connect) as server:
        others: list[RawClient] = []
        waits(
            server,
            lambda: any(not client.is_open for client in server.clients),
            lambda: others.append(RawClient(server.port)),
        )
        assert closed.is_set()
        others[0].close()
