"""A worker that does not run, as under a debugger: no stop, no finalizer and no exit waits for it without a limit."""

from __future__ import annotations

import sys

import pytest

from support import finished, python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="how a single thread is stopped")

# The handler of the signal is the C library's `pause`, which does not return.
PROGRAM = """
import asyncio, ctypes, os, signal
from pathlib import Path
from echoserver import EchoServer
libc = ctypes.CDLL(None)
libc.signal(signal.SIGUSR1, ctypes.cast(libc.pause, ctypes.c_void_p))
def stick():
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().startswith("echoserver-w"):
            assert libc.tgkill(os.getpid(), int(task.name), signal.SIGUSR1) == 0
loop = asyncio.new_event_loop()
server = EchoServer(0, host="127.0.0.1", workers=1, close_timeout=0.1, on_text=lambda *_: None)
if ON_LOOP:
    loop.run_until_complete(server.__aenter__())
else:
    server.start()
stick()
if HOW == "it is stopped":
    try:
        server.stop(0.1)
    except TimeoutError as error:
        print(error)
elif HOW == "its loop is closed":
    loop.close()
print("ended")
"""


@pytest.mark.parametrize(
    ("on_loop", "how", "said"),
    [
        (True, "its loop is closed", ""),
        (True, "the program ends", ""),
        (False, "it is stopped", "the server still runs after 0.1 s\n"),
    ],
)
def test_a_stuck_worker_keeps_nobody(on_loop: bool, how: str, said: str) -> None:
    code = f"ON_LOOP, HOW = {on_loop}, {how!r}\n{PROGRAM}"
    status, out, err = finished(python(code, env={"PYTHONWARNINGS": "ignore"}))
    assert (status, out) == (0, f"{said}ended\n")
    # Who is left is told at the exit.
    assert err.startswith("at exit: <EchoServer ")
