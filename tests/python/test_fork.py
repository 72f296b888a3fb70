"""Forks of a process in which servers run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from support import TIMEOUT, connect, finished, first_line, program, python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")


FORK = """
import os, sys, threading
from echoserver import EchoServer
clients = []
connected = threading.Event()
def on_connect(client):
    clients.append(client)
    connected.set()
server = EchoServer(0, host="127.0.0.1", on_connect=on_connect, on_text=lambda client, text: text * 2).start()
print(server.port, flush=True)
connected.wait()
calls = {
    "stop": server.stop, "start": server.start, "serve": server.serve, "wait_closed": server.wait_closed,
    "stats": server.stats, "port": lambda: server.port, "url": lambda: server.url, "address": lambda: server.address,
    "clients": lambda: server.clients, "is_serving": lambda: server.is_serving,
    "broadcast": lambda: server.broadcast("x"), "enter": server.__enter__, "send": lambda: clients[0].send("x"),
    "ping": lambda: clients[0].ping(), "close": lambda: clients[0].close(), "abort": lambda: clients[0].abort(),
    "flush": lambda: clients[0].flush(), "wait_closed of a client": lambda: clients[0].wait_closed(),
    "end_drain": lambda: server._core.end_drain(), "abandon": lambda: server._core.abandon(0),
}
child = os.fork()
if child == 0:
    for name, call in calls.items():
        try:
            call()
        except RuntimeError as error:
            if "fork" not in str(error):
                print(name, "said", error, flush=True)
        else:
            print(name, "did not raise", flush=True)
    assert "fork" in repr(server), repr(server)
    with EchoServer(0, host="127.0.0.1") as own:
        assert own.is_serving
    HOW
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == STATUS, status
print("parent", server.is_serving, flush=True)
sys.stdin.readline()
server.stop()
"""


@pytest.mark.parametrize(
    ("how", "status"), [("os._exit(0)", 0), ("sys.exit(3)", 3), ("del server, calls, clients; sys.exit(5)", 5)]
)
def test_in_a_forked_child_every_call_is_an_error_and_the_parent_lives_on(how: str, status: int) -> None:
    # Python 3.12 and later warn of forks in programs with threads, which is what this is about.
    process = python(FORK.replace("HOW", how).replace("STATUS", str(status)), env={"PYTHONWARNINGS": "ignore"})
    with connect(f"ws://127.0.0.1:{first_line(process)}/") as client:
        assert first_line(process) == "parent True"
        client.send("ab")
        assert client.recv(TIMEOUT) == "abab"
        assert finished(process) == (0, "", "")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_works_beside_a_server(method: str, tmp_path: Path) -> None:
    code = f"""
import multiprocessing, sys
from echoserver import EchoServer
def work(number):
    with EchoServer(0, host="127.0.0.1") as server:
        return number * server.is_serving
if __name__ == "__main__":
    with EchoServer(0, host="127.0.0.1", on_text=print):
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            print(pool.map(work, range(5)))
            pool.close()
            pool.join()
"""
    script = tmp_path / "main.py"
    script.write_text(code)
    process = program(sys.executable, str(script), env={"PYTHONWARNINGS": "ignore"})
    assert finished(process) == (0, "[0, 1, 2, 3, 4]\n", "")


REUSED = """
import os
from echoserver import EchoServer
with EchoServer(0, host="127.0.0.1") as server:
    if os.fork() == 0:
        os._exit(0)
    os.wait()
# These get the numbers of what is closed by now.
numbers = [number for _ in range(50) for number in os.pipe()]
if os.fork() == 0:
    for number in numbers:
        os.fstat(number)
    os._exit(0)
_, status = os.wait()
print(os.waitstatus_to_exitcode(status))
"""


def test_a_child_closes_nothing_that_has_the_number_of_a_socket_of_before() -> None:
    assert finished(python(REUSED, env={"PYTHONWARNINGS": "ignore"})) == (0, "0\n", "")


LEFT = """
import asyncio, contextlib, os, sys
from echoserver import EchoServer
from echoserver.testing import EchoTestServer

def body():
    if os.fork() == 0 and RAISES:
        sys.exit(3)

async def main():
    with ends_child():
        async with server:
            body()

@contextlib.contextmanager
def ends_child():
    # Before the loop is closed, which asyncio does with the parent's selector.
    try:
        yield
    except SystemExit as error:
        assert error.__context__ is None, error.__context__
        os._exit(error.code)
    if os.getpid() != parent:
        os._exit(4)

parent = os.getpid()
server = CLASS(0, host="127.0.0.1")
if HOW == "async with":
    asyncio.run(main())
else:
    with ends_child(), server:
        body()
_, status = os.wait()
print(os.waitstatus_to_exitcode(status), server.is_serving)
"""


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("kind", ["EchoServer", "EchoTestServer"])
@pytest.mark.parametrize("how", ["with", "async with"])
def test_a_child_that_leaves_with_leaves_the_server_alone(how: str, kind: str, raises: bool) -> None:
    code = LEFT.replace("CLASS", kind).replace("HOW", repr(how)).replace("RAISES", str(raises))
    process = python(code, env={"PYTHONWARNINGS": "ignore"})
    assert finished(process) == (0, f"{3 if raises else 4} False\n", "")
