"""What comes between the beginning and the end of a `down()`: a signal whose handler raises, and a fork."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import echoserver
from echoserver.testing import EchoTestServer
from support import connect, eventually, finished, python

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = str(Path(echoserver.__file__).parent) + os.sep


class Raises:
    """A function for `sys.settrace` that raises at one line of the package, as the handler of a signal may."""

    def __init__(self, line: int) -> None:
        """`line`: which of those that are run."""
        self.left = line

    def __call__(self, frame: FrameType, event: str, _: object) -> Raises | None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("clients", ["reset", "close", "keep"])
def test_after_what_is_raised_at_any_line_the_server_listens(clients: Any) -> None:
    with EchoTestServer() as server, connect(server.url):
        line, is_over = 0, False
        while not is_over:
            line += 1
            raises = Raises(line)
            before = sys.gettrace()
            try:
                sys.settrace(raises)
                with server.down(clients):
                    pass
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            is_over = raises.left > 0
            # It has been told to, and a worker may be slow.
            eventually(lambda: listens(server))
        assert line > 1


def listens(server: EchoTestServer) -> bool:
    try:
        with connect(server.url):
            return True
    except ConnectionRefusedError:
        return False


# A worker closes no socket while another thread is between the hooks of a fork.
HELD = """
import os, signal, socket, threading
forking, go_on = threading.Event(), threading.Event()
holds = True
def before():
    if holds:
        forking.set()
        go_on.wait()
os.register_at_fork(before=before)
from echoserver.testing import EchoTestServer

class Alarm(BaseException):
    pass
def alarm(*_):
    raise Alarm
signal.signal(signal.SIGALRM, alarm)

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

def is_refused():
    try:
        socket.create_connection(server.address, 10).close()
    except ConnectionRefusedError:
        return True
    return False

with EchoTestServer(0, host="127.0.0.1") as server:
    down = server.down(CLIENTS)
    thread = threading.Thread(target=fork)
    if AT == "end":
        down.__enter__()
    thread.start()
    forking.wait()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        down.__enter__() if AT == "begin" else down.__exit__(None, None, None)
    except Alarm:
        print("alarm")
    go_on.set()
    thread.join()
    holds = False
    if AT == "end":
        # Once more: it is done then.
        down.__exit__(None, None, None)
    else:
        with server.down():
            print(is_refused())
    print(is_refused())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("clients", ["reset", "keep"])
@pytest.mark.parametrize("at", ["begin", "end"])
def test_an_alarm_is_answered_while_a_worker_waits_and_the_server_listens(at: str, clients: str) -> None:
    code = f"AT, CLIENTS = {at!r}, {clients!r}\n{HELD}"
    said = {"begin": "alarm\nTrue\nFalse\n", "end": "alarm\nFalse\n"}
    assert finished(python(code, env={"PYTHONWARNINGS": "ignore"})) == (0, said[at], "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two sockets may share a port in other ways")
def test_what_the_block_raises_is_the_context_of_an_error_at_the_end() -> None:

    with EchoTestServer() as server:
        down = server.down()
        with socket.socket() as other:
            # Of the same user, and only if it asks for it.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="cannot listen on") as failed, down:  # noqa: PT012  # It is about both.
                other.bind(("127.0.0.1", server.port))
                other.listen()
                raise KeyboardInterrupt
            assert isinstance(failed.value.__context__, KeyboardInterrupt)
        down.__exit__(None, None, None)
        assert listens(server)


LEFT = """
import asyncio, os, sys, socket
from echoserver import EchoServer
from echoserver.testing import EchoTestServer

class Child(Exception):
    pass

def block():
    with server.down("keep"):
        if os.fork() == 0 and RAISES:
            raise Child

def end(why):
    # Without its loop's end, which asyncio does with the parent's selector.
    if os.getpid() != parent:
        try:
            server.down().__enter__()
        except RuntimeError as error:
            assert "forked" in str(error), error
            os._exit(why)

def both():
    try:
        block()
    except Child as error:
        assert error.__context__ is None, error.__context__
        end(3)
    end(4)
    _, status = os.wait()
    socket.create_connection(server.address, 10).close()
    print(os.waitstatus_to_exitcode(status))

async def main():
    async with server:
        both()

parent = os.getpid()
server = CLASS(0, host="127.0.0.1")
if HOW == "async with":
    asyncio.run(main())
else:
    with server:
        both()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("kind", ["EchoServer", "EchoTestServer"])
@pytest.mark.parametrize("how", ["with", "async with"])
def test_a_child_that_leaves_the_block_leaves_the_server_alone(how: str, kind: str, raises: bool) -> None:
    code = LEFT.replace("CLASS", kind).replace("HOW", repr(how)).replace("RAISES", str(raises))
    process = python(code, env={"PYTHONWARNINGS": "ignore"})
    assert finished(process) == (0, f"{3 if raises else 4}\n", "")
