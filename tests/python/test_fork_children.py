"""Forked children that live on, and what a server in their parent does meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from support import TIMEOUT, RawClient, connect, finished, first_line, in_thread, join, python

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

# Children that live on. `child()` returns when it runs, and it runs until `let_go()`.
CHILD = """
import ctypes, multiprocessing, os, socket, stat, subprocess, sys, threading, time
# Those that are registered first are called last: other threads run between the hooks of ours.
os.register_at_fork(before=lambda: time.sleep(0.002))
from echoserver import BindError, EchoServer
alive, said = os.pipe()
awaited, held = os.pipe()
for end in (said, awaited):
    os.set_inheritable(end, True)
def sockets():
    found = []
    for number in range(3, 1024):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(number)
        except OSError:
            continue
    return found
def live():
    os.close(held)
    os.write(said, b"%d." % len(sockets()))
    os.read(awaited, 1)
    os._exit(0)
def fork():
    pid = os.fork()
    if pid == 0:
        live()
    return lambda: os.waitpid(pid, 0)
def fork_of_multiprocessing():
    process = multiprocessing.get_context("fork").Process(target=live)
    process.start()
    return process.join
def preexec():
    # The interpreter's hooks run before it; Popen returns when the new program is there.
    thread = threading.Thread(target=lambda: subprocess.Popen(["true"], preexec_fn=live, close_fds=False).wait())
    thread.start()
    return thread.join
def exec_without_hooks():
    code = f"import os; os.close({held}); os.write({said}, b'0.'); os.read({awaited}, 1)"
    os.set_inheritable(held, True)
    process = subprocess.Popen([sys.executable, "-c", code], close_fds=False)
    os.set_inheritable(held, False)
    return process.wait
def fork_in_c():
    # Python does not know of it; the child has copies of everything.
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        live()
    return lambda: os.waitpid(pid, 0)
waits = []
def child(how=fork):
    waits.append(how())
    found = b""
    while not found.endswith(b"."):
        found += os.read(alive, 1)
    return int(found[:-1])
def let_go():
    os.close(held)
    for wait in waits:
        wait()
"""


HOWS = ["fork", "fork_of_multiprocessing", "preexec", "exec_without_hooks"]


def beside_a_child(code: str) -> subprocess.Popen[str]:
    """A program that may fork in spite of its threads, of which Python 3.12 and later warn."""
    return python(CHILD + code, env={"PYTHONWARNINGS": "ignore"})


def tell(process: subprocess.Popen[str]) -> None:
    """Has the process go on behind its next `sys.stdin.readline()`."""
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("how", HOWS)
def test_a_stopped_port_is_free_while_a_child_lives(how: str, started: bool) -> None:
    process = beside_a_child(f"""
server = EchoServer(0, host="127.0.0.1")
if {started}:
    server.start()
assert child({how}) == 0
server.stop()
try:
    socket.create_connection(("127.0.0.1", server.port)).close()
except ConnectionRefusedError:
    print("refused")
# Without SO_REUSEADDR: nobody has the port any more.
with socket.socket() as other:
    other.bind(("127.0.0.1", server.port))
with EchoServer(server.port, host="127.0.0.1") as again:
    print(again.is_serving)
let_go()
""")
    assert finished(process) == (0, "refused\nTrue\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the port stays with the child")
def test_a_stopped_port_is_free_while_a_child_lives_that_python_does_not_know_of() -> None:
    process = beside_a_child("""
server = EchoServer(0, host="127.0.0.1").start()
assert child(fork_in_c) > 0
server.stop()
try:
    socket.create_connection(("127.0.0.1", server.port)).close()
except ConnectionRefusedError:
    print("refused")
with EchoServer(server.port, host="127.0.0.1") as again:
    print(again.is_serving)
let_go()
""")
    assert finished(process) == (0, "refused\nTrue\n", "")


@pytest.mark.parametrize("tls", [None, "self-signed"])
@pytest.mark.parametrize("how", HOWS)
def test_clients_see_their_end_while_a_child_lives(how: str, tls: str | None) -> None:
    process = beside_a_child(f"""
server = EchoServer(0, host="127.0.0.1", workers=2, tls={tls!r}).start()
print(server.port, (server.ca_pem or "").replace(chr(10), "|"), flush=True)
sys.stdin.readline()
assert child({how}) == 0
aborted, closed, _ = server.clients
aborted.abort()
closed.close(4000)
print("forked", flush=True)
sys.stdin.readline()
# One that has come since: no child has a copy.
server.clients[-1].abort()
sys.stdin.readline()
server.stop()
print("stopped", flush=True)
sys.stdin.readline()
let_go()
""")
    port, pem = first_line(process).split(" ", 1)
    context = ssl.create_default_context(cadata=pem.replace("|", "\n")) if tls else None

    def client() -> RawClient:
        return RawClient(int(port), context=context)

    with client().opened() as aborted, client().opened() as closed, client().opened() as stopped:
        tell(process)
        assert first_line(process) == "forked"
        assert aborted.is_dropped()
        assert closed.close_code() == 4000
        closed.send(8, (4000).to_bytes(2))
        assert closed.is_dropped()
        with client().opened() as late:
            tell(process)
            assert late.is_dropped()
        # Whoever stays is served as before.
        stopped.send(2, b"x")
        assert stopped.receive() == (2, b"x")
        aborted.close()
        closed.close()
        tell(process)
        assert stopped.close_code() == 1001
        stopped.send(8, (1001).to_bytes(2))
        assert stopped.is_dropped()
    assert first_line(process) == "stopped"
    tell(process)
    assert finished(process) == (0, "", "")


def test_children_hold_nothing_whatever_the_server_does_at_that_moment() -> None:
    process = beside_a_child("""
server = EchoServer(0, host="127.0.0.1", workers=3, open_timeout=0.05, on_text=lambda client, text: text).start()
print(server.port, flush=True)
while server.stats().clients_opened < 20:
    time.sleep(0.001)
print(sum(child() for _ in range(30)), flush=True)
sys.stdin.readline()
server.stop()
let_go()
""")
    port, over = int(first_line(process)), threading.Event()

    def come_and_go() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            with contextlib.suppress(OSError, EOFError), RawClient(port) as client:
                if number % 3:
                    client.opened().send(1, b"x")
                    assert client.receive() == (1, b"x")

    threads = [in_thread(come_and_go) for _ in range(4)]
    try:
        assert first_line(process) == "0"
    finally:
        over.set()
        for thread in threads:
            join(thread)
    with connect(f"ws://127.0.0.1:{port}/") as client:
        client.send("ab")
        assert client.recv(TIMEOUT) == "ab"
    tell(process)
    assert finished(process) == (0, "", "")


@pytest.mark.parametrize("run", ["start", "serve"])
def test_a_callback_may_fork(run: str) -> None:
    process = beside_a_child(f"""
def on_text(client, text):
    if text == "fork":
        print(child(), flush=True)
    elif text == "fork and return":
        if os.fork() == 0:
            os.write(said, b"%d." % len(sockets()))
            return text
        found = b""
        while not found.endswith(b"."):
            found += os.read(alive, 1)
        print(int(found[:-1]), flush=True)
def serve():
    try:
        server.serve()
    except RuntimeError as error:
        # In the child: it goes on from here.
        assert "fork" in str(error), error
        os._exit(0)
server = EchoServer(0, host="127.0.0.1", on_text=on_text)
print(server.port, flush=True)
if {run!r} == "start":
    server.start()
else:
    thread = threading.Thread(target=serve)
    thread.start()
sys.stdin.readline()
server.stop()
print("stopped", flush=True)
sys.stdin.readline()
let_go()
""")
    port = int(first_line(process))
    with RawClient(port).opened() as client:
        for text in (b"fork", b"fork and return", b"fork", b"x"):
            client.send(1, text)
            if text != b"x":
                assert first_line(process) == "0"
            assert client.receive() == (1, text)
        tell(process)
        assert client.close_code() == 1001
        client.send(8, (1001).to_bytes(2))
        assert client.is_dropped()
    assert first_line(process) == "stopped"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    tell(process)
    assert finished(process) == (0, "", "")


def test_a_server_of_a_child_is_stopped_at_its_exit_whatever_the_parent_has() -> None:
    process = beside_a_child("""
EchoServer(0, host="127.0.0.1").start()
EchoServer(0, host="127.0.0.1").start()
pid = os.fork()
if pid == 0:
    own = EchoServer(0, host="127.0.0.1", on_closed=lambda: print("closed", flush=True)).start()
    print(own.port, flush=True)
    sys.stdin.readline()
    sys.exit(3)
os.waitpid(pid, 0)
""")
    with RawClient(int(first_line(process))).opened() as client:
        tell(process)
        assert client.close_code() == 1001
    assert finished(process) == (0, "closed\n", "")


def test_forks_while_other_threads_make_start_stop_and_drop_servers() -> None:
    process = beside_a_child("""
# A module that is imported first in a fork stays locked in the child: these two import some.
socket.getaddrinfo("127.0.0.1", 0)
EchoServer(0, host="127.0.0.1").stop()
over = threading.Event()
def turns():
    while not over.is_set():
        EchoServer(0, host="127.0.0.1").stop()
        with EchoServer(0, host="127.0.0.1", workers=2) as server:
            socket.create_connection(server.address).close()
        server = EchoServer(0, host="127.0.0.1").start()
        server.stop(0)
        del server
def forks():
    for _ in range(25):
        pid = os.fork()
        if pid == 0:
            # It is a process like any other.
            with EchoServer(0, host="127.0.0.1") as server:
                socket.create_connection(server.address).close()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
threads = [threading.Thread(target=target) for target in (turns, turns, forks, forks)]
for thread in threads:
    thread.start()
for thread in threads[2:]:
    thread.join()
over.set()
for thread in threads[:2]:
    thread.join()
print("done")
""")
    assert finished(process) == (0, "done\n", "")
