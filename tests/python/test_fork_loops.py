"""Forks in an `async def`, whose child goes back to the event loop: there the server's end is an error, and the
parent's loop hears everything as before."""

from __future__ import annotations

import signal
import sys

import pytest

from support import RawClient, finished, first_line, python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

CODE = """
import asyncio, os, signal, sys
from echoserver import EchoServer

async def on_text(client, text):
    if text == "fork":
        loop, tasks = asyncio.get_running_loop(), asyncio.all_tasks()
        if os.fork() == 0:
            # Whoever stays here would keep the pipes to the test open.
            signal.alarm(20)
            # No loop runs in a child for asyncio, until that goes back to one.
            asyncio.run(asyncio.sleep(0))
            for _ in range(WAITS):
                future = loop.create_future()
                loop.call_soon(future.set_result, None)
                await future
                if asyncio._get_running_loop() is not loop or asyncio.current_task() not in tasks:
                    os._exit(5)
            return "of the child"
    elif text == "status":
        _, status = await asyncio.to_thread(os.waitpid, -1, 0)
        return str(os.waitstatus_to_exitcode(status))

async def serve_async():
    try:
        if HOW == "async with":
            async with server:
                await server.wait_closed_async()
        else:
            await server.serve_async()
    except RuntimeError as error:
        assert "forked" in str(error), error
        # Without closing the loop, which asyncio does with the parent's selector.
        os._exit(7)

server = EchoServer(0, host="127.0.0.1", on_text=on_text)
print(server.port, flush=True)
try:
    if HOW == "serve":
        server.serve()
    elif HOW == "start":
        server.start().wait_closed()
    elif HOW == "uvloop":
        import uvloop
        uvloop.run(serve_async())
    else:
        asyncio.run(serve_async())
except RuntimeError as error:
    assert "forked" in str(error), error
    os._exit(7)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    server.stop()
"""


@pytest.mark.parametrize("waits", [0, 2], ids=["at once", "after waits"])
@pytest.mark.parametrize("how", ["serve", "start", "serve_async", "async with", "uvloop"])
def test_a_child_that_goes_back_to_the_loop_ends_there_and_the_parent_hears_everything(how: str, waits: int) -> None:
    process = python(f"HOW, WAITS = {how!r}, {waits}\n{CODE}", env={"PYTHONWARNINGS": "ignore"})
    with RawClient(int(first_line(process))).opened() as client:
        for _ in range(2):
            client.send(1, b"fork")
            assert client.receive() == (1, b"fork")
            client.send(1, b"status")
            # The thread that runs the loop is all that there is in a child of `start()`.
            assert client.receive() == (1, b"0" if how == "start" else b"7")
        process.send_signal(signal.SIGINT)
        assert client.close_code() == 1001
        client.send(8, (1001).to_bytes(2))
        assert client.is_dropped()
    assert finished(process) == (0, "interrupted\n", "")
