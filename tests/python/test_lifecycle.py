"""How a server begins and ends, from every thread and in every order."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from echoserver import EchoServer
from support import FACTOR, TIMEOUT, RawClient, connect, eventually, finished, in_thread, join, python

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Listen


def test_with_serves_inside_and_no_longer_after(listen: Listen) -> None:
    server = listen()
    assert not server.is_serving
    with server as same:
        assert same is server
        assert server.is_serving
        with connect(server.url) as client:
            client.send("hello")
            assert client.recv() == "hello"
    assert not server.is_serving
    with pytest.raises(ConnectionRefusedError):
        connect(server.url)


def test_start_returns_the_server_ready(listen: Listen) -> None:
    server = listen()
    assert server.start() is server
    assert server.is_serving
    with connect(server.url) as client:
        client.send(b"x")
        assert client.recv() == b"x"
    server.stop()


def test_serve_blocks_until_stop_from_another_thread(listen: Listen) -> None:
    server = listen()
    thread = in_thread(server.serve)
    with connect(server.url) as client:
        client.send("hello")
        assert client.recv() == "hello"
    assert thread.is_alive()
    server.stop()
    join(thread)


def test_who_connects_before_the_start_is_served_after_it(listen: Listen) -> None:
    server = listen()
    with RawClient(server.port) as client:
        server.start()
        client.opened()
        client.send(1, b"early")
        assert client.receive() == (1, b"early")


@pytest.mark.parametrize("again", ["serve", "start", "__enter__"])
@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_server_runs_once(listen: Listen, again: str, is_stopped: bool) -> None:
    server = listen().start()
    if is_stopped:
        server.stop()
    with pytest.raises(RuntimeError, match="stopped" if is_stopped else "started"):
        getattr(server, again)()
    assert server.is_serving is not is_stopped


def test_a_server_that_was_stopped_before_its_start_does_not_start(listen: Listen) -> None:
    server = listen()
    server.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        server.start()
    with pytest.raises(ConnectionRefusedError):
        connect(server.url)


def test_stop_is_idempotent(server: EchoServer) -> None:
    for timeout in [None, 1, 0, 0.5]:
        server.stop(timeout)
    assert not server.is_serving


def test_many_threads_may_stop_at_once(server: EchoServer) -> None:
    with connect(server.url):
        threads = [in_thread(server.stop) for _ in range(8)]
        for thread in threads:
            join(thread)
    assert not server.is_serving


def test_stop_tells_clients_1001(server: EchoServer) -> None:
    with connect(server.url) as client:
        server.stop()
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(TIMEOUT)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


def test_stop_drops_at_its_deadline_who_does_not_answer(server: EchoServer) -> None:
    with RawClient(server.port).opened() as client:
        begun = time.monotonic()
        server.stop(0.2)
        took = time.monotonic() - begun
        assert 0.15 < took < 2 * FACTOR
        assert client.close_code() == 1001
        with pytest.raises((EOFError, ConnectionResetError)):
            client.receive()


def test_stop_without_a_timeout_takes_close_timeout(run: Listen) -> None:
    server = run(close_timeout=0.2)
    with RawClient(server.port).opened():
        begun = time.monotonic()
        server.stop()
        assert 0.15 < time.monotonic() - begun < 2 * FACTOR


def test_stop_may_only_ask(run: Listen) -> None:
    server = run(close_timeout=1000.0)
    with RawClient(server.port).opened() as client:
        server.stop(wait=False)
        assert not server.is_serving
        assert client.close_code() == 1001
        with pytest.raises(TimeoutError):
            server.wait_closed(0)
        client.send(8, b"\x03\xe9")
        server.wait_closed(TIMEOUT)


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), ("x", TypeError), (float("nan"), ValueError)])
def test_stop_checks_its_timeout(server: EchoServer, timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"timeout={timeout!r}"):
        server.stop(timeout)
    assert server.is_serving


def test_wait_closed_returns_when_the_server_has_stopped(server: EchoServer) -> None:
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        server.wait_closed()

    threads = [in_thread(wait) for _ in range(3)]
    assert waiting.wait(TIMEOUT)
    server.stop()
    for thread in threads:
        join(thread)
    server.wait_closed()
    server.wait_closed(0)


def test_wait_closed_gives_up_at_its_timeout(server: EchoServer) -> None:
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        server.wait_closed(0.05)
    assert server.is_serving


def test_wait_closed_before_the_start_is_an_error(listen: Listen) -> None:
    server = listen()
    with pytest.raises(RuntimeError, match="not started"):
        server.wait_closed()
    server.stop()
    server.wait_closed()


COPIES: list[Callable[[object], object]] = [copy.copy, copy.deepcopy, pickle.dumps]


@pytest.mark.parametrize("make", COPIES)
def test_a_server_is_not_copied(server: EchoServer, make: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="EchoServer can't be copied or pickled"):
        make(server)
    gc.collect()
    assert server.is_serving


def test_leaving_with_by_an_exception_stops_the_server(listen: Listen) -> None:
    server = listen()

    def fail() -> None:
        with server:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not server.is_serving


def test_the_thread_of_start_is_a_named_daemon_and_ends(listen: Listen) -> None:
    before = set(threading.enumerate())
    server = listen().start()
    (thread,) = set(threading.enumerate()) - before
    assert thread.name == f"echoserver-{server.port}"
    assert thread.daemon
    server.stop()
    assert not thread.is_alive()


def test_a_started_server_lives_without_references() -> None:
    server = EchoServer(0, host="127.0.0.1").start()
    url, reference = server.url, weakref.ref(server)
    del server
    gc.collect()
    with connect(url) as client:
        client.send("still here")
        assert client.recv() == "still here"
    alive = reference()
    assert alive is not None
    alive.stop()
    del alive
    # Its thread may be about to let go of it.
    eventually(lambda: gc.collect() >= 0 and reference() is None, "the end of the stopped server")


def test_a_server_that_never_ran_warns_and_closes_its_socket() -> None:
    server = EchoServer(0, host="127.0.0.1")
    url = server.url
    with pytest.warns(ResourceWarning, match=f"EchoServer {url} .*never run"):
        del server
    with pytest.raises(ConnectionRefusedError):
        connect(url)


def test_a_server_that_ran_or_was_stopped_goes_without_a_warning() -> None:
    with EchoServer(0, host="127.0.0.1"):
        pass
    server = EchoServer(0, host="127.0.0.1")
    server.stop()
    del server
    gc.collect()


def test_a_failed_constructor_leaves_nothing_to_warn_of() -> None:
    for wrong in [{"port": 70000}, {"port": 0, "host": "256.0.0.1"}]:
        with pytest.raises((OverflowError, OSError)):
            EchoServer(**wrong)  # type: ignore[arg-type]  # One value for each type.
    gc.collect()


def test_two_servers_run_side_by_side(run: Listen) -> None:
    one, two = run(), run()
    assert one.port != two.port
    with connect(one.url) as first, connect(two.url) as second:
        first.send("1")
        second.send("2")
        assert (first.recv(), second.recv()) == ("1", "2")
        one.stop()
        second.send("3")
        assert second.recv() == "3"


def test_a_port_can_be_taken_again_at_once(listen: Listen) -> None:
    port = 0
    for _ in range(3):
        with listen(port) as server, connect(server.url) as client:
            port = server.port
            client.send("x")
            assert client.recv() == "x"


ENDS = {
    "by the end of the program": "",
    "by an exception": "raise ZeroDivisionError",
    "by sys.exit": "import sys; sys.exit(3)",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_running_server_ends_with_the_interpreter(how: str) -> None:
    process = python(
        "import sys\n"
        "from echoserver import EchoServer\n"
        "server = EchoServer(0, host='127.0.0.1').start()\n"
        "print(server.url, flush=True)\n"
        "sys.stdin.readline()\n" + ENDS[how]
    )
    assert process.stdout
    with connect(process.stdout.readline().strip()) as client:
        client.send("x")
        assert client.recv() == "x"
        status, _, err = finished(process)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(TIMEOUT)
    assert status == {"": 0, "raise ZeroDivisionError": 1}.get(ENDS[how], 3)
    assert ("ZeroDivisionError" in err) is ("Zero" in ENDS[how])
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


def test_a_server_in_serve_on_a_daemon_thread_ends_with_the_interpreter() -> None:
    process = python(
        "import threading\n"
        "from echoserver import EchoServer\n"
        "server = EchoServer(0, host='127.0.0.1')\n"
        "threading.Thread(target=server.serve, daemon=True).start()\n"
        "while not server.is_serving: pass\n"
    )
    assert finished(process) == (0, "", "")


def test_a_server_that_never_ran_is_told_at_the_end_of_the_interpreter() -> None:
    status, out, err = finished(python("import echoserver; server = echoserver.EchoServer(0, host='127.0.0.1')"))
    assert (status, out) == (0, "")
    assert "ResourceWarning" in err
    assert "never run" in err


def test_import_and_construction_touch_nothing_global() -> None:
    code = (
        "import logging, os, signal, threading\n"
        "def state():\n"
        "    signals = [signal.getsignal(n) for n in signal.valid_signals()]\n"
        "    loggers = sorted(logging.root.manager.loggerDict)\n"
        "    return signals, dict(os.environ), logging.root.handlers, threading.active_count(), loggers\n"
        "before = state()\n"
        "from echoserver import EchoServer\n"
        "server = EchoServer(0, host='127.0.0.1')\n"
        "after = state()\n"
        "server.stop()\n"
        "assert before == after, (before, after)\n"
    )
    assert finished(python(code)) == (0, "", "")


def test_the_end_of_a_server_does_not_wait_for_what_waits_for_another() -> None:
    """A future of another server, made while the last one ends, is no business of that."""

    async def wait(other: EchoServer, waits: threading.Event) -> None:
        waiting = asyncio.ensure_future(other.wait_closed_async())
        await asyncio.sleep(0)
        waits.set()
        await waiting

    for _ in range(50):
        first, other = EchoServer(0, host="127.0.0.1").start(), EchoServer(0, host="127.0.0.1")
        stopping = in_thread(first.stop)
        waits = threading.Event()
        waiting = in_thread(asyncio.run, wait(other.start(), waits))
        assert waits.wait(TIMEOUT)
        join(stopping)
        other.stop()
        join(waiting)
