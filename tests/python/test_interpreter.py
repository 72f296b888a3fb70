"""The edges of the interpreter: its end, the collector, and the lock that all of Python shares."""

from __future__ import annotations

import gc
import itertools
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from echoserver import Client, EchoServer
from support import (
    FACTOR,
    TIMEOUT,
    RawClient,
    connect,
    eventually,
    finished,
    first_line,
    in_thread,
    join,
    python,
)

if TYPE_CHECKING:
    from conftest import Listen

# How often each way to end is tried. A race may need many: ECHOSERVER_ENDS=10 pytest -k every_way_to_end
ENDS = int(os.environ.get("ECHOSERVER_ENDS", "1"))

SETUPS = {
    "native": "server = EchoServer(0, host='127.0.0.1', close_timeout=0.2).start()",
    "callbacks": (
        "server = EchoServer(0, host='127.0.0.1', close_timeout=0.2, on_connect=note, on_text=note, on_binary=note, "
        "on_disconnect=note, on_closed=note).start()"
    ),
    "never run": "server = EchoServer(0, host='127.0.0.1')",
    "serve in a daemon thread": (
        "server = EchoServer(0, host='127.0.0.1', close_timeout=0.2, on_text=note)\n"
        "threading.Thread(target=server.serve, daemon=True).start()"
    ),
    "a cycle": (
        "holder = []\n"
        "server = EchoServer(0, host='127.0.0.1', close_timeout=0.2, on_text=lambda *_: holder and None)\n"
        "server.itself = server\n"
        "holder.append(server)\n"
        "server.start()"
    ),
}
WAYS = {
    "return": ("", 0),
    "exception": ("raise ZeroDivisionError", 1),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "dropped": ("del server; gc.collect()", 0),
    "stopped": ("server.stop()", 0),
    "ctrl-c": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(10)", -2),
    "sigterm": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)", -15),
    "exit in a thread": ("t = threading.Thread(target=sys.exit, args=(5,)); t.start(); t.join()", 0),
}
PRELUDE = """
import gc, os, signal, sys, threading, time
from echoserver import EchoServer
def note(*_): pass
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("setup", SETUPS)
def test_every_way_to_end_ends_with_the_right_status(setup: str, way: str) -> None:
    code, expected = WAYS[way]
    for _ in range(ENDS):
        process = python(
            f"{PRELUDE}{SETUPS[setup]}\nprint(server.port, flush=True)\nsys.stdin.readline()\n{code}",
            env={"PYTHONWARNINGS": "ignore"},
        )
        port = int(first_line(process))
        if setup == "never run":
            status, _, err = finished(process)
        else:
            with RawClient(port).opened() as client:
                client.send(2, b"x")
                assert client.receive() == (2, b"x")
                client.send(1, b"in flight")
                status, _, err = finished(process)
        assert status == expected, err
        assert "Fatal" not in err
        assert "panicked" not in err
        assert ("Traceback" in err) is (way in ("exception", "ctrl-c"))


def hung(body: str, close_timeout: float, at_the_end: str) -> tuple[int, str, str]:
    """How a program ends whose `on_text` hangs: status, stdout and stderr."""
    process = python(
        f"{PRELUDE}"
        "def hang(client, message):\n"
        "    print('hangs', flush=True)\n"
        f"    {body}\n"
        f"server = EchoServer(0, host='127.0.0.1', close_timeout={close_timeout}, on_text=hang).start()\n"
        "print(server.port, flush=True)\n"
        "sys.stdin.readline()\n"
        f"{at_the_end}"
    )
    with RawClient(int(first_line(process))).opened() as client:
        client.send(1, b"x")
        assert first_line(process) == "hangs"
        return finished(process)


@pytest.mark.parametrize("body", ["time.sleep(1000)", "while True: time.sleep(0.0005)", "while True: pass"])
def test_a_callback_that_never_returns_does_not_keep_the_interpreter(body: str) -> None:
    # Something for the thread to run into while the interpreter goes down.
    slow = "class Slow:\n    def __del__(self, sleep=time.sleep): sleep(0.1)\nslow = Slow()\n"
    status, _, err = hung(body, 0.1, slow)
    assert status == 0, err
    assert "on_text still runs" in err


def test_who_has_waited_for_a_callback_in_vain_does_not_wait_again_at_the_end() -> None:
    stop = "try:\n    server.stop(0.1)\nexcept TimeoutError as error:\n    print(error)\n"
    status, out, err = hung("time.sleep(1000)", 1000, stop)
    assert (status, out) == (0, "on_text still runs after 0.1 s\n"), err
    assert "on_text still runs" in err


class Cyclic(EchoServer):
    def on_text(self, _client: Client, message: str) -> str:
        return message * 2


def test_a_stopped_server_in_a_cycle_with_its_callbacks_is_collected() -> None:
    server = Cyclic(0, host="127.0.0.1")
    with server, connect(server.url) as client:
        client.send("ab")
        assert client.recv(TIMEOUT) == "abab"
    reference = weakref.ref(server)
    del server
    eventually(lambda: gc.collect() >= 0 and reference() is None, "the end of the cycle")


def test_a_server_in_a_cycle_that_never_ran_is_collected_and_warns() -> None:
    server = Cyclic(0, host="127.0.0.1")
    reference = weakref.ref(server)
    del server
    with pytest.warns(ResourceWarning, match="never run"):
        gc.collect()
    # The warning referred to it; from CPython 3.15 on a weak reference sees what a finalizer has let live.
    gc.collect()
    assert reference() is None


def test_a_server_in_a_cycle_that_runs_is_not_collected() -> None:
    server = Cyclic(0, host="127.0.0.1").start()
    reference, url = weakref.ref(server), server.url
    del server
    gc.collect()
    with connect(url) as client:
        client.send("ab")
        assert client.recv(TIMEOUT) == "abab"
    alive = reference()
    assert alive is not None
    alive.stop()


def test_closures_that_hold_the_server_are_collected() -> None:
    def make() -> weakref.ref[EchoServer]:
        server: EchoServer = EchoServer(0, host="127.0.0.1", on_text=lambda *_: str(server.port))
        server.start().stop()
        return weakref.ref(server)

    reference = make()
    eventually(lambda: gc.collect() >= 0 and reference() is None, "the end of the cycle")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="constants are immortal")
def test_no_reference_to_a_constant_is_lost() -> None:
    count = itertools.count()

    def on_text(_client: Client, _text: str) -> None:
        next(count)

    constants = [None, True, False, ()]
    with EchoServer(0, host="127.0.0.1", on_text=on_text) as server, RawClient(server.port).opened() as client:
        batch = b"".join(b"\x81\x81\0\0\0\0x" for _ in range(100))
        gc.collect()
        before = [sys.getrefcount(constant) for constant in constants]
        for _ in range(100):
            client.socket.sendall(batch)
            for _ in range(100):
                client.receive()
        gc.collect()
        after = [sys.getrefcount(constant) for constant in constants]
    assert next(count) == 10_000
    for was, now in zip(before, after, strict=True):
        assert abs(now - was) < 200


def ticks_while(thread: threading.Thread) -> int:
    """How far a loop counts in a fifth of a second beside a thread that waits."""
    ticks, deadline = 0, time.monotonic() + 0.2
    while time.monotonic() < deadline:
        ticks += 1
    assert thread.is_alive()
    return ticks


# Were the lock held by who waits, it would be some dozens.
MANY = 1000


@pytest.mark.parametrize("wait", ["serve", "wait_closed"])
def test_other_threads_run_while_one_waits_for_the_server(listen: Listen, wait: str) -> None:
    server = listen()
    if wait != "serve":
        server.start()
    thread = in_thread(getattr(server, wait))
    assert ticks_while(thread) > MANY
    eventually(lambda: server.is_serving, "the start")
    server.stop()
    join(thread)


def test_other_threads_run_while_one_waits_for_the_clients_to_go(run: Listen) -> None:
    server = run(close_timeout=TIMEOUT)
    with RawClient(server.port).opened() as client:
        thread = in_thread(server.stop)
        assert ticks_while(thread) > MANY
        assert client.close_code() == 1001
    join(thread)


def test_other_threads_run_while_one_waits_for_room(server: EchoServer) -> None:
    with RawClient(server.port).opened() as raw:
        (client,) = server.clients
        client.send(bytes(10_000_000))
        thread = in_thread(client.flush)
        assert ticks_while(thread) > MANY
        raw.receive()
        join(thread)


def test_a_busy_interpreter_does_not_stop_the_native_echo() -> None:
    process = python(
        f"{PRELUDE}"
        "server = EchoServer(0, host='127.0.0.1', on_text=note).start()\n"
        "print(server.port, flush=True)\n"
        "sys.setswitchinterval(100)\n"
        "while True: pass\n"
    )
    with RawClient(int(first_line(process))) as client:
        begun = time.monotonic()
        client.opened()
        for number in range(100):
            client.send(2, b"%d" % number)
            assert client.receive() == (2, b"%d" % number)
            client.send(9)
            assert client.receive() == (10, b"")
        assert time.monotonic() - begun < 5 * FACTOR
    process.kill()
    finished(process)


def test_a_subinterpreter_gets_a_clean_import_error() -> None:
    code = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from echoserver import EchoServer
one = interpreters.create()
script = '''
try:
    from echoserver import EchoServer
except ImportError as error:
    print("ImportError", error, flush=True)
else:
    print("imported", flush=True)
'''
result = interpreters.run_string(one, script)
assert result is None, result
interpreters.destroy(one)
with EchoServer(0, host="127.0.0.1") as server:
    print(server.is_serving)
"""
    status, out, err = finished(python(code))
    assert (status, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("ImportError ")
    assert second == "True"


def test_a_signal_wakes_a_program_that_sleeps_beside_a_server() -> None:
    process = python(
        f"{PRELUDE}"
        "try:\n"
        "    with EchoServer(0, host='127.0.0.1', on_text=note) as server:\n"
        "        print(server.port, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(1000)\n"
        "except KeyboardInterrupt:\n"
        "    print(server.is_serving)\n"
    )
    first_line(process)
    assert finished(process) == (0, "False\n", "")
