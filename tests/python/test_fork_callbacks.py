"""Forks in callbacks, whose child goes back to what runs them: there nothing of the server is touched, which is the
parent's; its end is an error, or what the child has raised to end itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from support import RawClient, finished, first_line, python

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

PROGRAM = """
import asyncio, logging, os, signal, sys, threading
from echoserver import EchoServer
pids, tasks = [], []
async def ready():
    if pids[0] == 0:
        os._exit(9)

def fork():
    if pids:
        return
    if IS_READY:
        tasks.append(asyncio.create_task(ready()))
    pids.append(os.fork())
    if pids[0] == 0:
        # Whoever stays here would keep the pipes to the test open.
        signal.alarm(20)
        if RAISES:
            raise RAISES

class Server(EchoServer):
    def on_error(self, client, error):
        if STAGE == "on_error":
            fork()

def fails(*_):
    raise ValueError

def plain(*_):
    fork()

async def at_once(*_):
    fork()

async def after_a_wait(*_):
    await asyncio.sleep(0)
    fork()

async def in_a_task(*_):
    # Which is the application's: its step is nothing of ours, and asyncio complains of it from 3.14 on.
    logging.getLogger("asyncio").disabled = True
    await asyncio.create_task(at_once())

def serve():
    if HOW == "serve":
        server.serve()
    else:
        asyncio.run(server.serve_async())

# In the child nothing is logged.
logging.getLogger("echoserver").addHandler(logging.StreamHandler())
callbacks = {} if STAGE == "on_error" else {STAGE: KIND}
callbacks.setdefault("on_text", fails if STAGE == "on_error" else None)
server = Server(0, host="127.0.0.1", record=2**20, **callbacks)
print(server.port, flush=True)
def stop():
    sys.stdin.readline()
    server.stop(wait=False)
threading.Thread(target=stop, daemon=True).start()
try:
    serve()
except RuntimeError as error:
    assert "forked" in str(error), error
    # Without closing the loop, which asyncio does with the parent's selector.
    os._exit(7)
if pids[0] == 0:
    os._exit(8)
print(os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]), flush=True)
"""

STAGES = ["on_handshake", "on_connect", "on_text", "on_disconnect", "on_closed"]


def forked(how: str, kind: str, stage: str, raises: str = "None", *, is_ready: bool = False) -> subprocess.Popen[str]:
    code = PROGRAM.replace("HOW", repr(how)).replace("KIND", kind).replace("STAGE", repr(stage))
    code = code.replace("IS_READY", str(is_ready)).replace("RAISES", raises)
    return python(code, env={"PYTHONWARNINGS": "ignore"})


def converse(process: subprocess.Popen[str]) -> None:
    """What a client does: in the parent all is as ever."""
    with RawClient(int(first_line(process))).opened() as client:
        client.send(1, b"x")
        client.send(2, b"y")
        while client.receive() != (2, b"y"):
            pass
        client.send(8, b"\x03\xe8")
        assert client.close_code() == 1000
        assert client.is_dropped()


@pytest.mark.parametrize("stage", [*STAGES, "on_error"])
@pytest.mark.parametrize("how", ["serve", "serve_async"])
def test_a_child_touches_nothing_and_the_parent_goes_on(how: str, stage: str) -> None:
    process = forked(how, "plain", stage)
    converse(process)
    assert finished(process) == (0, "7\n", "")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["at_once", "after_a_wait", "in_a_task"])
def test_so_it_is_in_an_async_def(kind: str, stage: str) -> None:
    process = forked("serve_async", kind, stage)
    converse(process)
    assert finished(process) == (0, "7\n", "")


@pytest.mark.parametrize("kind", ["plain", "at_once", "after_a_wait"])
@pytest.mark.parametrize("stage", ["on_handshake", "on_text", "on_closed"])
def test_what_the_child_raises_to_end_itself_ends_it(kind: str, stage: str) -> None:
    process = forked("serve", kind, stage, "SystemExit(9)")
    converse(process)
    assert finished(process) == (0, "9\n", "")


@pytest.mark.parametrize("kind", ["plain", "at_once", "after_a_wait"])
@pytest.mark.parametrize("stage", ["on_handshake", "on_text", "on_closed"])
def test_a_task_that_was_ready_before_the_fork_goes_on_in_the_child(kind: str, stage: str) -> None:
    process = forked("serve_async", kind, stage, is_ready=True)
    converse(process)
    assert finished(process) == (0, "9\n", "")
