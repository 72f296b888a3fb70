"""`workers=0`: one thread serves the clients and runs the callbacks, in turns.

Most of the other tests that make servers run so, too, with ECHOSERVER_WITHOUT_WORKERS set: `make inline`.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from echoserver import EchoServer
from echoserver.testing import EchoTestServer, ManualClock
from support import TIMEOUT, RawClient, connect, finished, in_thread, join, python, thread_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from echoserver import Client

NO_LOOP = r"^workers=0: .*needs an event loop.*workers=1"
# Later Pythons warn of forks beside threads, such as the client's.
FORKS = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
FORK = """
import os, sys, threading
from echoserver import EchoServer
from websockets.sync.client import connect

def on_text(client, text):
    if text != "fork":
        return text.upper()
    child = os.fork()
    if child == 0:
        os.write(1, b"child of a callback\\n")
        return "lost"
    os.waitpid(child, 0)
    return "parent"

def talk():
    with connect(server.url) as client:
        for text in ("fork", "after"):
            client.send(text)
            os.write(1, client.recv(30).encode() + b"\\n")
    server.stop()

server = EchoServer(0, host="127.0.0.1", workers=0, on_text=on_text)
pid = os.getpid()
threading.Thread(target=talk).start()
try:
    server.serve()
    os.write(1, b"served\\n")
except RuntimeError as error:
    assert os.getpid() != pid
    os.write(1, f"{error}\\n".encode())
    # The child may have a server of its own.
    own = EchoServer(0, host="127.0.0.1", workers=0, on_text=on_text)
    threading.Thread(target=lambda: (connect(own.url).__enter__().close(), own.stop())).start()
    own.serve()
    os.write(1, b"the child has served\\n")
"""


def inline(**options: Any) -> EchoServer:
    return EchoServer(0, host="127.0.0.1", workers=0, **options)


def serve_with(server: EchoServer, act: Callable[[], object]) -> None:
    """Serves in this thread while `act` runs in another, whose end stops the server."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)
        finally:
            server.stop(wait=False)

    thread = in_thread(run)
    server.serve()
    join(thread)
    assert failures == []


def test_one_thread_serves_and_runs_all_callbacks() -> None:
    seen: dict[str, int] = {}
    names: list[str] = []

    def note(name: str, result: object) -> Callable[..., Any]:
        def callback(*_: object) -> object:
            seen[name] = threading.get_ident()
            names.extend(thread_names() if sys.platform == "linux" else [])
            return result

        return callback

    answers = {"on_handshake": None, "on_connect": None, "on_text": "t", "on_binary": b"b", "on_disconnect": None}
    server = inline(**{name: note(name, answer) for name, answer in answers.items()}, on_closed=note("on_closed", None))

    def talk() -> None:
        with connect(server.url) as client:
            client.send("x")
            assert client.recv(TIMEOUT) == "t"
            client.send(b"x")
            assert client.recv(TIMEOUT) == b"b"

    serve_with(server, talk)
    assert seen == dict.fromkeys([*answers, "on_closed"], threading.get_ident())
    assert not any(name.startswith("echoserver") for name in names)


@pytest.mark.parametrize("way", ["start", "with"])
def test_in_the_background_it_is_one_thread_too(way: str) -> None:
    ran: queue.Queue[tuple[str, list[str]]] = queue.Queue()

    def on_text(_client: Client, text: str) -> str:
        ran.put((threading.current_thread().name, thread_names() if sys.platform == "linux" else []))
        return text * 2

    server = inline(on_text=on_text)
    if way == "start":
        server.start()
    with server if way == "with" else connect(server.url), connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "xx"
    server.stop()
    name, names = ran.get(timeout=TIMEOUT)
    assert name == f"echoserver-{server.port}"
    assert not any(one.startswith("echoserver-w") for one in names)


def test_many_clients_get_each_its_own_answers_in_order() -> None:
    server = inline(on_text=lambda client, text: f"{client.id} {text}")

    def talk() -> None:
        clients = [RawClient(server.port).opened() for _ in range(40)]
        for number in range(30):
            for client in clients:
                client.send(1, f"{number}".encode())
        for place, client in enumerate(clients, 1):
            for number in range(30):
                assert client.receive() == (1, f"{place} {number}".encode())
            client.close()

    serve_with(server, talk)
    assert server.stats().text_messages_received == 40 * 30


@pytest.fixture
def _default_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_default_interrupt")
def test_ctrl_c_ends_it_in_order() -> None:
    server = inline(on_text=lambda _client, text: text.upper())
    codes: queue.Queue[int | None] = queue.Queue()

    def interrupt() -> None:
        with connect(server.url) as client:
            client.send("x")
            client.recv(TIMEOUT)
            # Nothing is to do: it sleeps.
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                client.recv(TIMEOUT)
            codes.put(client.close_code)

    thread = in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        server.serve()
    join(thread)
    assert codes.get(timeout=TIMEOUT) == 1001
    assert not server.is_serving


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_signal_handlers_run_while_nobody_talks_and_while_a_callback_waits() -> None:
    handled: queue.Queue[int] = queue.Queue()
    waits = threading.Event()

    def on_text(client: Client, _text: str) -> None:
        waits.set()
        with pytest.raises(TimeoutError, match="from the handler"):
            # Nobody sends anything.
            server.recv_for_ever(client)
        handled.put(0)

    class Server(EchoTestServer):
        def recv_for_ever(self, client: Client) -> None:
            client.recv(TIMEOUT)
            client.recv(TIMEOUT)

    server = Server(workers=0, on_text=on_text)

    def handler(number: int, _frame: object) -> None:
        handled.put(number)
        if waits.is_set():
            raise TimeoutError("from the handler")

    def talk() -> None:
        with connect(server.url) as client:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert handled.get(timeout=TIMEOUT) == signal.SIGUSR1
            client.send("x")
            assert waits.wait(TIMEOUT)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert handled.get(timeout=TIMEOUT) == signal.SIGUSR1
            assert handled.get(timeout=TIMEOUT) == 0

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        serve_with(server, talk)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_stop_in_a_callback_only_asks() -> None:
    def on_text(_client: Client, text: str) -> str:
        server.stop()
        assert not server.is_serving
        return text * 2

    server = inline(on_text=on_text)
    received: list[object] = []

    def talk() -> None:
        with connect(server.url) as client:
            client.send("x")
            received.append(client.recv(TIMEOUT))
            with pytest.raises(ConnectionClosed):
                client.recv(TIMEOUT)
            received.append(client.close_code)

    serve_with(server, talk)
    assert received == ["xx", 1001]


def test_a_clock_that_is_advanced_moves_it() -> None:
    clock = ManualClock()
    gone: queue.Queue[object] = queue.Queue()
    server = inline(clock=clock, idle_timeout=10, on_disconnect=lambda client: gone.put(client.close_reason))
    with server, connect(server.url) as client:
        client.send("x")
        client.recv(TIMEOUT)
        clock.advance(11)
        assert "idle_timeout" in str(gone.get(timeout=TIMEOUT))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_in_a_callback_leaves_the_server_to_the_parent() -> None:
    _, out, err = finished(python(FORK, env=FORKS))
    assert err == ""
    lines = out.splitlines()
    assert "forked" in lines.pop(1)
    assert lines == ["child of a callback", "the child has served", "parent", "AFTER", "served"]


async def coroutine(*_: object) -> None:
    """Needs an event loop."""


def test_an_event_loop_is_refused_with_the_reason() -> None:
    server = inline()

    async def main() -> None:
        with pytest.raises(ValueError, match=NO_LOOP):
            await server.serve_async()
        with pytest.raises(ValueError, match=NO_LOOP):
            await server.__aenter__()
        with pytest.raises(ValueError, match=NO_LOOP):
            server.__aiter__()

    asyncio.run(main())
    with pytest.raises(ValueError, match=NO_LOOP):
        server.start_qt()
    with pytest.raises(ValueError, match=NO_LOOP):
        server.on_text = coroutine
    with pytest.raises(ValueError, match=NO_LOOP):
        inline(on_text=coroutine)
    # None of that has changed it.
    with server, connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_in_a_signal_handler_leaves_the_server_to_the_parent() -> None:
    code = """
import os, signal, threading
from echoserver import EchoServer
from websockets.sync.client import connect

def handle(*_):
    global child
    if (child := os.fork()) != 0:
        os.waitpid(child, 0)
        threading.Thread(target=talk).start()

def talk():
    with connect(server.url) as client:
        client.send("x")
        os.write(1, client.recv(30).encode() + b"\\n")
    server.stop()

signal.signal(signal.SIGUSR1, handle)
server = EchoServer(0, host="127.0.0.1", workers=0, on_text=lambda client, text: text.upper())
threading.Timer(0, os.kill, (os.getpid(), signal.SIGUSR1)).start()
try:
    server.serve()
    os.write(1, b"served\\n")
except RuntimeError as error:
    os.write(1, f"child: {'forked' in str(error)}\\n".encode())
    os._exit(0)
"""
    assert finished(python(code, env=FORKS))[1:] == ("child: True\nX\nserved\n", "")
