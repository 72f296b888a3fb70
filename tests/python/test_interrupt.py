"""Ctrl-C and other signals, each in a process of its own."""

from __future__ import annotations

import signal
import sys
import time

import pytest
from websockets.exceptions import ConnectionClosed

from support import FACTOR, TIMEOUT, RawClient, connect, finished, first_line, python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

SERVE = """
from echoserver import EchoServer
server = EchoServer(0, host="127.0.0.1", close_timeout=CLOSE_TIMEOUT, on_text=lambda client, text: "seen")
print(server.url, flush=True)
try:
    server.serve()
except KeyboardInterrupt:
    print("interrupted, serving:", server.is_serving, flush=True)
""".replace("CLOSE_TIMEOUT", str(TIMEOUT))


def test_ctrl_c_in_serve_closes_in_order_and_then_raises() -> None:
    process = python(SERVE)
    with connect(first_line(process)) as client:
        client.send("x")
        assert client.recv() == "seen"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(TIMEOUT)
        assert finished(process) == (0, "interrupted, serving: False\n", "")
        assert time.monotonic() - begun < FACTOR
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


def test_a_second_ctrl_c_does_not_wait_for_clients() -> None:
    process = python(SERVE)
    port = int(first_line(process).rsplit(":", 1)[1].strip("/"))
    with RawClient(port).opened() as client:
        client.send(1, b"x")
        assert client.receive() == (1, b"seen")
        process.send_signal(signal.SIGINT)
        # Never answers the close.
        assert client.close_code() == 1001
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert finished(process) == (0, "interrupted, serving: False\n", "")
        assert time.monotonic() - begun < FACTOR


def test_ctrl_c_without_a_handler_ends_the_program_as_any_other() -> None:
    process = python(
        "from echoserver import EchoServer\n"
        "server = EchoServer(0, host='127.0.0.1', on_text=lambda client, text: 'seen')\n"
        "print(server.url, flush=True)\n"
        "server.serve()\n"
    )
    with connect(first_line(process)) as client:
        client.send("x")
        assert client.recv() == "seen"
        process.send_signal(signal.SIGINT)
        status, _, err = finished(process)
    assert status == -signal.SIGINT
    assert err.strip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("wait", ["server.wait_closed()", "server.wait_closed(100)"])
def test_ctrl_c_interrupts_a_wait(wait: str) -> None:
    process = python(
        "from echoserver import EchoServer\n"
        "with EchoServer(0, host='127.0.0.1') as server:\n"
        "    try:\n"
        "        print(server.url, flush=True)\n"
        f"        {wait}\n"
        "    except KeyboardInterrupt:\n"
        "        print(server.is_serving)\n"
    )
    with connect(first_line(process)) as client:
        client.send("x")
        assert client.recv() == "x"
        process.send_signal(signal.SIGINT)
        assert finished(process) == (0, "True\n", "")


def test_ctrl_c_interrupts_a_stop_that_waits_for_clients() -> None:
    process = python(
        "from echoserver import EchoServer\n"
        "server = EchoServer(0, host='127.0.0.1', close_timeout=1000).start()\n"
        "print(server.port, flush=True)\n"
        "try:\n"
        "    input()\n"
        "    server.stop()\n"
        "except KeyboardInterrupt:\n"
        "    server.stop(0)\n"
        "    print('done')\n"
    )
    with RawClient(int(first_line(process))).opened() as client:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        assert client.close_code() == 1001
        process.send_signal(signal.SIGINT)
        assert finished(process) == (0, "done\n", "")


def test_handlers_of_the_application_are_called_while_it_serves() -> None:
    process = python(
        # Not print: one handler may interrupt another in the middle of it.
        "import os, signal\n"
        "from echoserver import EchoServer\n"
        "server = EchoServer(0, host='127.0.0.1')\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, f'usr1 {server.is_serving}\\n'.encode()))\n"
        "signal.signal(signal.SIGTERM, lambda *_: server.stop())\n"
        "signal.signal(signal.SIGINT, lambda *_: os.write(1, b'int\\n'))\n"
        "print(server.url, flush=True)\n"
        "server.serve()\n"
        "print('end')\n"
    )
    with connect(first_line(process)) as client:
        client.send("x")
        assert client.recv() == "x"
        process.send_signal(signal.SIGUSR1)
        assert first_line(process) == "usr1 True"
        process.send_signal(signal.SIGINT)
        assert first_line(process) == "int"
        process.send_signal(signal.SIGTERM)
        assert finished(process) == (0, "end\n", "")


def test_the_handler_of_sigint_is_the_same_after_serve() -> None:
    process = python(
        "import signal, threading, time\n"
        "from echoserver import EchoServer\n"
        "def end():\n"
        "    while not server.is_serving: time.sleep(0.001)\n"
        "    server.stop()\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "server = EchoServer(0, host='127.0.0.1')\n"
        "threading.Thread(target=end).start()\n"
        "server.serve()\n"
        "assert signal.getsignal(signal.SIGINT) is before\n"
    )
    assert finished(process) == (0, "", "")


@pytest.mark.parametrize("delay", range(8))
def test_ctrl_c_around_the_start_ends_the_program(delay: int) -> None:
    process = python(SERVE)
    first_line(process)
    # The moment is what is tested here: around the call of serve().
    time.sleep(delay / 8000)
    process.send_signal(signal.SIGINT)
    status, _, _ = finished(process)
    assert status in (0, -signal.SIGINT)
