"""Every call of the API after the server has ended: what it does, and that the interpreter ends in order after it.

A thread of ours that is inside Python's API when the interpreter is finalized aborts the process. That is a race, and
may need many attempts: ECHOSERVER_ENDS=50 pytest tests/python/test_after_the_end.py
"""

from __future__ import annotations

import os
import sys

import pytest

from support import finished, python

ENDS = int(os.environ.get("ECHOSERVER_ENDS", "1"))

# What each call does after the end: its result, or the name of its exception.
CALLS = {
    "server.stop()": "None",
    "server.stop(0)": "None",
    "server.wait_closed()": "None",
    "server.wait_closed(0)": "None",
    "server.serve()": "RuntimeError",
    "server.start()": "RuntimeError",
    "server.__enter__()": "RuntimeError",
    "server.__exit__(None, None, None)": "None",
    "server.is_serving": "False",
    "server.port == port": "True",
    "server.address == ('127.0.0.1', port)": "True",
    "server.url == url": "True",
    "server.clients": "()",
    "server.broadcast('x')": "0",
    "server.broadcast(b'x', [client])": "0",
    "server.stats().clients_closed": "1",
    "server.debug": "False",
    "setattr(server, 'debug', False)": "None",
    "server.parent": "None",
    "server.ca_pem": "None",
    "server.ssl_context()": "RuntimeError",
    "server.reload_tls()": "RuntimeError",
    "repr(server) == f'<EchoServer {url} stopped>'": "True",
    "client.id": "1",
    "client.peer[0]": "'127.0.0.1'",
    "client.local_address == ('127.0.0.1', port)": "True",
    "client.tls": "None",
    "client.path + client.query": "'/'",
    "client.headers['upgrade']": "'websocket'",
    "len(client.raw_headers) > 3": "True",
    "client.origin": "None",
    "client.subprotocol": "None",
    "client.extensions": "''",
    "client.is_open": "False",
    "client.close_code": "1001",
    "client.close_reason": "'the server is stopping'",
    "client.rtt": "None",
    "client.send('x')": "ClientClosed",
    "client.ping()": "ClientClosed",
    "client.flush()": "None",
    "client.wait_closed()": "1001",
    "client.wait_closed(0)": "1001",
    "client.close()": "None",
    "client.abort()": "None",
    "'1001' in repr(client)": "True",
    "setattr(client, 'name', 'Ann') or client.name": "'Ann'",
}
ASYNC_CALLS = {
    "server.wait_closed_async()": "None",
    "server.serve_async()": "RuntimeError",
    "server.__aenter__()": "RuntimeError",
    "server.__aexit__(None, None, None)": "None",
    "listed(server)": "RuntimeError",
    "client.flush_async()": "None",
    "client.wait_closed_async()": "1001",
    "client.send_async('x')": "ClientClosed",
    "listed(client)": "[]",
}

# How it was served, with one client.
SERVED = {
    "start": """
with EchoServer(0, host="127.0.0.1", on_connect=came.append) as server:
    talk()
""",
    "serve": """
server = EchoServer(0, host="127.0.0.1", on_connect=came.append)
thread = threading.Thread(target=server.serve)
thread.start()
talk()
server.stop()
thread.join()
""",
    "a loop": """
async def main():
    global server
    async with EchoServer(0, host="127.0.0.1", on_connect=came.append) as server:
        await asyncio.to_thread(talk)
asyncio.run(main())
""",
    "a loop in its own thread": """
async def on_disconnect(_): await asyncio.sleep(0)
with EchoServer(0, host="127.0.0.1", on_connect=came.append, on_disconnect=on_disconnect) as server:
    talk()
""",
}
PRELUDE = """
import asyncio, atexit, socket, sys, threading, time
REQUEST = (
    b"GET / HTTP/1.1\\r\\nHost: a\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n"
)
came = []
sockets = []

def talk():
    global port, url
    port, url = server.port, server.url
    one = socket.create_connection(("127.0.0.1", port))
    one.sendall(REQUEST + b"\\x82\\x81\\0\\0\\0\\0x")
    while not one.recv(1000).endswith(b"\\x82\\x01x"): pass
    def bye():
        one.recv(1000)
        one.sendall(b"\\x88\\x82\\0\\0\\0\\0\\x03\\xe9")
        one.close()
    sockets.append(threading.Thread(target=bye))
    sockets[0].start()

def outcome(call):
    try:
        return repr(call())
    except Exception as error:
        return type(error).__name__

async def listed(what):
    return [one async for one in what]

def do():
    for name, call in calls.items():
        print(name, "->", outcome(call), flush=True)
    for name, call in async_calls.items():
        async def run():
            return await call()
        print(name, "->", outcome(lambda: asyncio.run(run())), flush=True)
"""
# When the calls are made. In __del__ there are no event loops any more.
WHEN = {
    "at once": "do()",
    "in a thread": "thread = threading.Thread(target=do); thread.start(); thread.join()",
    "before our end": "atexit.register(do)",
    "after our end": "",
    "in __del__": """
class Last:
    def __del__(self, do=do): do()
last = Last()
""",
}


def program(served: str, when: str, calls: dict[str, str], async_calls: dict[str, str]) -> str:
    """A program that makes these calls then."""
    if when == "in __del__":
        async_calls = {}
    listed = [f"{name} = {{{', '.join(f'{call!r}: lambda: {call}' for call in table)}}}"
              for name, table in (("calls", calls), ("async_calls", async_calls))]  # fmt: skip
    # What was registered first is called last.
    early = "atexit.register(do)" if when == "after our end" else ""
    return "\n".join(
        [PRELUDE, early, "from echoserver import EchoServer", SERVED[served], "sockets[0].join()", "client = came[0]",
         *listed, WHEN[when]]
    )  # fmt: skip


def run(code: str) -> dict[str, str]:
    """What it has printed, if it has ended in order."""
    status, out, err = finished(python(code))
    assert (status, err) == (0, ""), out
    return dict(line.split(" -> ") for line in out.splitlines())


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("served", SERVED)
def test_every_call_does_what_it_should(served: str, when: str) -> None:
    code = program(served, when, CALLS, ASYNC_CALLS)
    assert run(code) == CALLS | ({} if when == "in __del__" else ASYNC_CALLS)


@pytest.mark.parametrize("when", [when for when in WHEN if when != "in __del__"])
@pytest.mark.parametrize("call", ASYNC_CALLS)
def test_the_interpreter_ends_in_order_after_each(call: str, when: str) -> None:
    for _ in range(ENDS):
        assert run(program("start", when, {}, {call: ""})) == {call: ASYNC_CALLS[call]}


WAITING = {
    "for its end": "server.wait_closed_async()",
    "for room": "came[0].flush_async()",
    "for a client's end": "came[0].wait_closed_async()",
}


@pytest.mark.parametrize("what", WAITING)
def test_the_interpreter_ends_in_order_while_a_thread_waits(what: str) -> None:
    code = f"""{PRELUDE}
from echoserver import EchoServer
server = EchoServer(0, host="127.0.0.1", on_connect=came.append, close_timeout=0.1).start()
one = socket.create_connection(("127.0.0.1", server.port))
one.sendall(REQUEST)
one.recv(1000)
while not came: time.sleep(0.001)
came[0].send(bytes(2**24))
waiting = threading.Event()

async def wait():
    future = asyncio.ensure_future({WAITING[what]})
    await asyncio.sleep(0)
    waiting.set()
    await future

threading.Thread(target=lambda: asyncio.run(wait()), daemon=True).start()
waiting.wait()
one.close()
"""
    for _ in range(ENDS):
        assert run(code) == {}


# What runs Python code on its way: a thread that is in it when the interpreter ends may not be unwound through ours.
AGAIN = [
    "client.headers",
    "client.recv(0)",
    "client.wait_pong(0)",
    "client.wait_closed(0)",
    "server.wait_closed(0)",
    "server.wait_until(lambda: False, 0)",
    "EchoServer(0, host='127.0.0.1').stop()",
]


@pytest.mark.parametrize("call", AGAIN)
def test_the_interpreter_ends_in_order_while_threads_call_again_and_again(call: str) -> None:
    code = f"""{PRELUDE}
from echoserver import EchoServer
server = EchoServer(0, host="127.0.0.1", close_timeout=0.1, record=10_000).start()
one = socket.create_connection(("127.0.0.1", server.port))
one.sendall(REQUEST)
client = server.accept()
called = threading.Semaphore(0)

def call():
    while True:
        outcome(lambda: {call})
        called.release()

for _ in range(3): threading.Thread(target=call, daemon=True).start()
for _ in range(20): called.acquire()
one.close()
"""
    for _ in range(ENDS):
        assert run(code) == {}


# What may be called for the first time when the program has no descriptors left.
FIRST_THEN = {
    "server.stats().clients_opened": "1",
    "repr(server) == f'<EchoServer {url} serving, clients=1>'": "True",
    "server.clients == (client,)": "True",
    "client.headers['upgrade']": "'websocket'",
    "client.send('x')": "1",
    "client.close()": "None",
    "client.send('too late')": "ClientClosed",
    "server.broadcast('x')": "0",
    "server.stop()": "None",
    "server.wait_closed()": "None",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_no_call_needs_a_descriptor_for_the_first_time() -> None:
    table = ", ".join(f"{call!r}: lambda: {call}" for call in FIRST_THEN)
    code = f"""{PRELUDE}
import os, resource
from echoserver import EchoServer
came_in = threading.Event()
server = EchoServer(0, host="127.0.0.1", on_connect=lambda client: came.append(client) or came_in.set()).start()
url = server.url
one = socket.create_connection(server.address)
one.sendall(REQUEST)
came_in.wait()
client = came[0]
calls, async_calls = {{{table}}}, {{}}
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True: taken.append(os.dup(0))
except OSError:
    pass
threading.Timer(0.1, one.close).start()
do()
"""
    assert run(code) == FIRST_THEN
