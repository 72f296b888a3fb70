"""Programs in which gevent or eventlet has made the threads of `threading` green, as Locust does."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from support import RawClient, connect, finished, first_line, python

if TYPE_CHECKING:
    import subprocess

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
    # What holds with green threads holds without them.
    "none": "",
}
PRELUDE = """
import contextvars, logging, os, signal, socket, sys, threading, time
from echoserver import EchoServer
# gevent's hubs: two threads that make the first ones at the same time lock each other out in an import of gevent's.
time.sleep(0)
logging.basicConfig(stream=sys.stdout, format="%(message)s")
"""


@pytest.fixture(params=PATCHES)
def patch(request: pytest.FixtureRequest) -> str:
    """The name of what has patched Python."""
    name: str = request.param
    if name != "none":
        skip_without(name)
    return name


def skip_without(name: str) -> None:
    """Says so."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: NOTHING is tested with it")


def patched(patch: str, code: str) -> subprocess.Popen[str]:
    """A program that is patched before it imports anything; eventlet warns of itself."""
    return python(PATCHES[patch] + PRELUDE + code, env={"PYTHONWARNINGS": "ignore"})


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Has it go on behind `sys.stdin.readline()`, to its end."""
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    return finished(process)


def test_the_native_echo_runs_beside_a_program_that_waits(patch: str) -> None:
    process = patched(
        patch,
        "with EchoServer(0, host='127.0.0.1') as server:\n"
        "    print(server.port, flush=True)\n"
        # Not patched by either: it stops all green threads of this thread.
        "    sys.stdin.readline()\n"
        "print(server.is_serving, server._run._thread.is_alive())\n",
    )
    with connect(f"ws://127.0.0.1:{first_line(process)}/") as client:
        client.send("ab")
        assert client.recv() == "ab"
    assert end(process) == (0, "False False\n", "")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_callbacks_wait_and_log_while_green_threads_run(patch: str, kind: str) -> None:
    wait = "time.sleep(0.01)" if kind == "def" else "await __import__('asyncio').sleep(0.01)"
    process = patched(
        patch,
        "variable = contextvars.ContextVar('variable')\n"
        "variable.set('of the start')\n"
        f"{kind} on_text(client, text):\n"
        "    logging.warning('%s %s', text, variable.get())\n"
        f"    {wait}\n"
        "    return text * 2\n"
        "def run(number):\n"
        "    key = 'dGhlIHNhbXBsZSBub25jZQ=='\n"
        "    with socket.create_connection(server.address) as client:\n"
        "        client.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'\n"
        "            b'Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: ' + key.encode() + b'\\r\\n\\r\\n')\n"
        "        client.sendall(b'\\x81\\x81\\0\\0\\0\\0' + b'%d' % number)\n"
        "        with client.makefile('rb') as file:\n"
        "            while file.readline() != b'\\r\\n': pass\n"
        "            assert file.read(4) == b'\\x81\\x02' + b'%d' % number * 2\n"
        "server = EchoServer(0, host='127.0.0.1', on_text=on_text).start()\n"
        "threads = [threading.Thread(target=run, args=[number]) for number in range(5)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "server.stop()\n",
    )
    status, out, err = finished(process)
    assert (status, err) == (0, "")
    assert sorted(out.splitlines()) == [f"{number} of the start" for number in range(5)]


def test_stop_keeps_its_time_beside_a_client_of_the_thread_that_waits(patch: str) -> None:
    process = patched(
        patch,
        "server = EchoServer(0, host='127.0.0.1', close_timeout=0.2).start()\n"
        "print(server.port, flush=True)\n"
        "sys.stdin.readline()\n"
        "assert len(server.clients) == 1\n"
        "server.stop()\n"
        "server.wait_closed()\n",
    )
    with RawClient(int(first_line(process))).opened() as client:
        assert end(process) == (0, "", "")
        assert client.close_code() == 1001


def test_waits_for_a_client_that_is_a_green_thread_of_the_same_thread(patch: str) -> None:
    process = patched(
        patch,
        "from echoserver.testing import EchoTestServer\n"
        "def run(server):\n"
        "    time.sleep(0.01)\n"
        "    key = 'dGhlIHNhbXBsZSBub25jZQ=='\n"
        "    with socket.create_connection(server.address) as client:\n"
        "        client.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'\n"
        "            b'Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: ' + key.encode() + b'\\r\\n\\r\\n')\n"
        "        with client.makefile('rb') as file:\n"
        "            while file.readline() != b'\\r\\n': pass\n"
        "            time.sleep(0.01)\n"
        "            client.sendall(b'\\x81\\x81\\0\\0\\0\\0x')\n"
        "            assert file.read(3) == b'\\x81\\x01x'\n"
        "            time.sleep(0.01)\n"
        "            client.sendall(b'\\x8a\\x81\\0\\0\\0\\0p')\n"
        "            assert len(file.read(sent)) == sent\n"
        "            time.sleep(0.01)\n"
        "server = EchoTestServer().start()\n"
        "sent = 2 ** 22\n"
        "thread = threading.Thread(target=run, args=[server])\n"
        "thread.start()\n"
        "client = server.accept()\n"
        "print(client.recv(), client.wait_pong(), server.wait_received(1))\n"
        "print(server.wait_until(lambda: client.received))\n"
        "client.send_raw(bytes(sent))\n"
        "client.flush(10)\n"
        "print(client.wait_closed(10))\n"
        "thread.join()\n"
        "thread = threading.Thread(target=lambda: time.sleep(0.01) or server.stop())\n"
        "thread.start()\n"
        "server.wait_closed()\n"
        "thread.join()\n",
    )
    assert finished(process) == (0, "x b'p' ['x']\n['x']\n1006\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_signal_handler_may_stop_a_server_while_others_sleep(patch: str) -> None:
    """gevent's hub may run it, which can't leave its thread to anybody."""
    process = patched(
        patch,
        "server = EchoServer(0, host='127.0.0.1', close_timeout=0.1).start()\n"
        "signal.signal(signal.SIGTERM, lambda *_: server.stop() or ended.release())\n"
        # Not `time.sleep`: where a signal comes just before it waits, eventlet ends it in the handler, and never again.
        "ended = threading.Lock()\n"
        "ended.acquire()\n"
        # Both hubs, while they wait, see only at the end of it what a signal handler asks of them.
        "def tick():\n"
        "    while True: time.sleep(0.01)\n"
        "threading.Thread(target=tick, daemon=True).start()\n"
        "print(server.port, flush=True)\n"
        "ended.acquire()\n"
        "print('ended')\n",
    )
    with RawClient(int(first_line(process))).opened():
        os.kill(process.pid, signal.SIGTERM)
        assert finished(process) == (0, "ended\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_signal_handler_may_wait_just_before_a_wait() -> None:
    """The end of that wait comes while the handler waits, which leaves it no other."""
    skip_without("eventlet")
    process = patched(
        "eventlet",
        "from eventlet.hubs import get_hub\n"
        "server = EchoServer(0, host='127.0.0.1', close_timeout=0.1).start()\n"
        "signal.signal(signal.SIGTERM, lambda *_: server.stop() or print('handled'))\n"
        "print(server.port, flush=True)\n"
        "sys.stdin.readline()\n"
        "hub, signals = get_hub(), [signal.SIGTERM]\n"
        "switch = hub.switch\n"
        "def interrupted():\n"
        "    if signals: os.kill(os.getpid(), signals.pop())\n"
        "    return switch()\n"
        "hub.switch = interrupted\n"
        "server.stop()\n"
        "print('stopped')\n",
    )
    with RawClient(int(first_line(process))).opened():
        assert end(process) == (0, "handled\nstopped\n", "")


@pytest.mark.parametrize("error", ["", ", ValueError"])
@pytest.mark.parametrize("name", ["gevent", "eventlet"])
def test_a_timeout_ends_a_wait_whatever_it_raises(name: str, error: str) -> None:
    skip_without(name)
    process = patched(
        name,
        f"from {name} import Timeout\n"
        "from echoserver.testing import EchoTestServer\n"
        "with EchoTestServer() as server:\n"
        "    try:\n"
        f"        with Timeout(0.01{error}): server.accept(timeout=None)\n"
        "    except (Timeout, ValueError) as error: print(type(error).__name__)\n",
    )
    assert finished(process) == (0, "ValueError\n" if error else "Timeout\n", "")


@pytest.mark.parametrize(
    ("name", "only_threads"),
    [
        ("gevent", "from gevent import monkey, spawn; monkey.patch_thread()\n"),
        ("eventlet", "import eventlet; from eventlet import spawn; eventlet.monkey_patch(all=False, thread=True)\n"),
    ],
)
def test_others_run_while_one_waits_where_nothing_else_is_green(name: str, only_threads: str) -> None:
    skip_without(name)
    process = python(
        f"{only_threads}"
        "from echoserver import EchoServer\n"
        "server = EchoServer(0, host='127.0.0.1').start()\n"
        "spawn(server.stop)\n"
        "server.wait_closed()\n"
        "print('closed')\n",
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert finished(process) == (0, "closed\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("call", ["serve", "wait_closed", "sleep"])
def test_ctrl_c_stops_the_server_in_order(patch: str, call: str) -> None:
    process = patched(
        patch,
        "server = EchoServer(0, host='127.0.0.1', on_text=lambda client, text: text * 2)\n"
        "try:\n"
        f"    if {call!r} == 'serve':\n"
        "        print(server.port, flush=True)\n"
        "        server.serve()\n"
        "    else:\n"
        "        with server:\n"
        # Not before: who is interrupted on the way in has nothing to stop in order.
        "            print(server.port, flush=True)\n"
        f"            if {call!r} == 'wait_closed':\n"
        "                server.wait_closed()\n"
        # A signal that comes just before gevent waits is not seen before that wait ends.
        "            while True:\n"
        "                time.sleep(0.05)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', server.is_serving)\n",
    )
    with RawClient(int(first_line(process))).opened() as client:
        client.send(1, b"ab")
        assert client.receive() == (1, b"abab")
        os.kill(process.pid, signal.SIGINT)
        assert client.close_code() == 1001
        client.send(8, (1001).to_bytes(2))
        assert client.is_dropped()
    # gevent's hub says on stderr that it was interrupted.
    assert finished(process)[:2] == (0, "interrupted False\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_signal_handler_may_stop_serve(patch: str) -> None:
    process = patched(
        patch,
        "server = EchoServer(0, host='127.0.0.1')\n"
        "signal.signal(signal.SIGTERM, lambda *_: server.stop())\n"
        "print(server.port, flush=True)\n"
        "server.serve()\n"
        "print('served')\n",
    )
    with RawClient(int(first_line(process))).opened():
        pass
    os.kill(process.pid, signal.SIGTERM)
    assert finished(process) == (0, "served\n", "")


def test_an_exit_in_a_callback_comes_out_of_stop(patch: str) -> None:
    process = patched(
        patch,
        "server = EchoServer(0, host='127.0.0.1', on_text=lambda *_: sys.exit(3), on_closed=lambda: print('closed'))\n"
        "with server:\n"
        "    print(server.port, flush=True)\n"
        "    sys.stdin.readline()\n",
    )
    with RawClient(int(first_line(process))).opened() as client:
        client.send(1, b"x")
        assert client.close_code() == 1001
        client.send(8, (1001).to_bytes(2))
        assert client.is_dropped()
    assert end(process) == (3, "closed\n", "")


@pytest.mark.parametrize("body", ["time.sleep(1000)", "while True: time.sleep(0.0005)"])
def test_a_callback_that_never_returns_does_not_keep_the_interpreter(patch: str, body: str) -> None:
    process = patched(
        patch,
        "def hang(client, message):\n"
        "    print('hangs', flush=True)\n"
        f"    {body}\n"
        "server = EchoServer(0, host='127.0.0.1', close_timeout=0.1, on_text=hang).start()\n"
        "print(server.port, flush=True)\n"
        "sys.stdin.readline()\n",
    )
    with RawClient(int(first_line(process))).opened() as client:
        client.send(1, b"x")
        assert first_line(process) == "hangs"
        status, out, err = end(process)
    assert status == 0, err
    assert "on_text still runs" in out


def test_the_end_of_an_interrupted_wait_does_not_end_the_next_one(patch: str) -> None:
    if patch != "gevent":
        pytest.skip("eventlet cancels it")
    process = patched(
        patch,
        "import gevent\n"
        "server = EchoServer(0, host='127.0.0.1').start()\n"
        # What gevent throws when an interrupt comes just before a wait of ours ends.
        "gevent.Timeout(0.002017).start()\n"
        "try:\n"
        "    server.wait_closed(0.1)\n"
        "except TimeoutError as error:\n"
        "    print(error)\n"
        "server.stop()\n",
    )
    status, out, err = finished(process)
    assert (status, err) == (0, "")
    assert "0.1 s" in out
