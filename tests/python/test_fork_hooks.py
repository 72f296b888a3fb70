"""What a program's own hooks of a fork may do: those that it has registered before ours run between ours."""

from __future__ import annotations

import sys

import pytest

from support import finished, python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

# `hook` is called at the first fork, where it says; what it raises would only be printed.
PROGRAM = """
import asyncio, faulthandler, gc, os, signal, socket, sys, threading, time, weakref
calls, said = [], []
def call():
    while calls:
        call = calls.pop()
        try:
            said.append(call())
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
os.register_at_fork(WHERE=call)
from echoserver import EchoServer
server = EchoServer(0, host="127.0.0.1", close_timeout=5)
REQUEST = (
    b"GET / HTTP/1.1\\r\\nHost: a\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n"
)
def connected():
    # A client that goes as soon as it is told.
    server.start()
    one = socket.create_connection(server.address)
    one.sendall(REQUEST)
    while not server.clients: time.sleep(0.001)
    def bye():
        while b"\\x88" not in one.recv(1000): pass
        one.close()
    threading.Thread(target=bye, daemon=True).start()
    return server.clients[0]
class Last:
    pass
def echo(server):
    with server:
        one = socket.create_connection(server.address, timeout=10)
        one.sendall(REQUEST)
        return one.recv(12) == b"HTTP/1.1 101"
def serve(server):
    address = server.address
    def client():
        with socket.create_connection(address, timeout=10) as one:
            one.sendall(REQUEST)
            one.recv(12)
        server.stop()
    threading.Thread(target=client, daemon=True).start()
    return server.serve()
SETUP
calls.append(lambda: HOOK)
begun = time.monotonic()
pid = os.fork()
took = time.monotonic() - begun
if pid == 0:
    if "WHERE" == "after_in_child":
        print(*said)
    # What it makes itself is in order.
    with EchoServer(0, host="127.0.0.1") as own:
        assert own.is_serving
    sys.stdout.flush()
    os._exit(0)
_, status = os.waitpid(pid, 0)
assert status == 0, status
if "WHERE" != "after_in_child":
    print(*said)
assert took < 4, took
THEN
"""

# What is set up, what the hook does and what it says in the parent, and in the child.
HOOKS = {
    "stop": ("connected()", "server.stop()", "None", "RuntimeError"),
    "stop one that was not started": ("", "server.stop()", "None", "RuntimeError"),
    "let go of one that was not started": (
        "kept = [EchoServer(0, host='127.0.0.1')]",
        "kept.clear()",
        "None",
        "None",
    ),
    "collect one that was not started": (
        "gc.disable(); last = Last(); last.itself, last.server = last, EchoServer(0, host='127.0.0.1'); del last",
        "gc.collect() > 0",
        "True",
        "True",
    ),
    "let go of one that serves": ("connected(); kept = [server]; del server", "kept.clear()", "None", "None"),
    "make one": ("made = []", "made.append(EchoServer(0, host='127.0.0.1').start())", "None", "None"),
    "start": ("", "server.start().is_serving", "True", "RuntimeError"),
    "serve": ("", "serve(server)", "None", "RuntimeError"),
    "wait for a client": ("client = connected()", "client.close() or client.wait_closed(10)", "1000", "RuntimeError"),
}


@pytest.mark.parametrize("what", HOOKS)
@pytest.mark.parametrize("where", ["before", "after_in_parent", "after_in_child"])
def test_a_hook_may_do_what_others_may(where: str, what: str) -> None:
    setup, hook, in_parent, in_child = HOOKS[what]
    code = PROGRAM.replace("WHERE", where).replace("SETUP", setup).replace("HOOK", hook).replace("THEN", "")
    expected = in_child if where == "after_in_child" else in_parent
    status, out, err = finished(python(code, env={"PYTHONWARNINGS": "ignore"}))
    assert (status, err) == (0, "")
    assert out.partition(":")[0].strip() == expected


def test_in_the_child_the_sockets_of_its_own_hooks_stay_open() -> None:
    code = PROGRAM.replace("WHERE", "after_in_child").replace("SETUP", "made = []").replace("THEN", "")
    code = code.replace("HOOK", "made.append(EchoServer(0, host='127.0.0.1'))")
    code = code.replace("    # What it makes itself", "    print(echo(made[0]))\n    # What it makes itself")
    status, out, err = finished(python(code, env={"PYTHONWARNINGS": "ignore"}))
    assert (status, out, err) == (0, "None\nTrue\n", "")


# Another thread acts while the hook of a fork asks.
BESIDE = """
import os, threading
begun, done = threading.Event(), threading.Event()
servers = []
def before():
    for server in servers:
        begun.set()
        # It comes as far as it can: no socket is opened or closed before the fork is over.
        done.wait(0.2)
        print(repr(server) != "", len(server.clients), server.client_count, server.stats().clients_opened)
os.register_at_fork(before=before)
from echoserver import EchoServer
server = EchoServer(0, host="127.0.0.1")
def act():
    begun.wait()
    ACT
    done.set()
thread = threading.Thread(target=act)
thread.start()
servers.append(server)
pid = os.fork()
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
thread.join()
server.stop()
"""


@pytest.mark.parametrize("act", ["server.stop()", "server.start()", "server.start().stop()", "server.start().stop(0)"])
def test_a_hook_may_ask_about_a_server_that_another_thread_starts_or_stops(act: str) -> None:
    process = python(BESIDE.replace("ACT", act), env={"PYTHONWARNINGS": "ignore"})
    assert finished(process) == (0, "True 0 0 0\n", "")
