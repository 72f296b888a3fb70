"""What a client does in a case, in few words: it is driven in a process of its own, the server is here."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import client_packages
from client_rows import Row
from echoserver import NO_REPLY, Client, ClientClosed, NoReply
from echoserver.testing import EchoTestServer, Fault
from support import FACTOR, TIMEOUT, in_thread

__all__ = ["CLIENTS", "Driver", "outcome"]

_HERE = Path(__file__).parent

# By name, as the table has them: the program that drives it.
CLIENTS = {
    "websockets": _HERE / "drivers" / "of_websockets.py",
    "aiohttp": _HERE / "drivers" / "of_aiohttp.py",
    "websocket-client": _HERE / "drivers" / "of_websocket_client.py",
    "ws": _HERE / "node" / "driver.js",
}

# What the server sends to all of them, as a frame.
_NEXT = b"\x81\x04next"

# A client that has not been told anything for so long waits for ever.
_PATIENCE = 4 * FACTOR

# For what ends by itself, however busy the machine is: imports, a bomb that is inflated, limits of clients.
_LONG = 4 * TIMEOUT


class Driver:
    """A process that does what cases ask for, one after the other."""

    def __init__(self, name: str) -> None:
        """`client_packages.Missing` if this client can't be had."""
        path = CLIENTS[name]
        if path.suffix == ".js":
            command, environment = "node", {"NODE_PATH": str(client_packages.node_modules())}
        else:
            command, environment = sys.executable, {"PYTHONPATH": str(client_packages.python_packages())}
        self._answers: queue.Queue[str] = queue.Queue()
        # Warnings of theirs are not what is asked.
        environment = {**os.environ, "PYTHONWARNINGS": "", **environment}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([command, path], stdin=pipe, stdout=pipe, env=environment, encoding="utf-8")
        self._reader = in_thread(self._read)
        assert self._answers.get(timeout=_LONG) == "ready\n"

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(line)

    def ask(self, **case: Any) -> None:
        """Has it begin."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()

    def told(self, seconds: float) -> dict[str, Any] | None:
        """What the client has told the program, if it has within that time."""
        try:
            told: dict[str, Any] = json.loads(self._answers.get(timeout=seconds))
        except queue.Empty:
            return None
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            self._reader.join(TIMEOUT)


def outcome(driver: Driver, row: Row) -> str:
    """What the client does; always the same, and nothing of when."""

    faults: list[Fault] = []

    def on_connect(client: Client) -> None:
        # In one, since the client may go in between; it may have gone before.
        with contextlib.suppress(ClientClosed):
            client.send_raw(_NEXT if row.compression and not client.extensions else row.data + _NEXT)

    def on_text(client: Client, message: str) -> NoReply:
        # It goes on as if nothing had been.
        assert message == "next"
        if row.faults and not faults:
            # The fault may end it in between.
            with contextlib.suppress(ClientClosed):
                faults.extend([client.fault(fault, **selectors) for fault, selectors in row.faults])
                client.send("one")
                # A client that is to ping has the time to do so.
                if row.heartbeat is None:
                    client.send("close" if row.is_closing else "next")
        else:
            client.close(1000)
        return NO_REPLY

    compression: Any = "deflate" if row.compression else None
    callbacks: dict[str, Any] = {"on_connect": on_connect, "on_text": on_text}
    with EchoTestServer(**callbacks, echo=False, check_unused=False, compression=compression) as server:
        if row.is_fault:
            assert row.handshake is not None
            faults.append(server.fault(row.handshake))
        elif row.handshake is not None:
            server.handshakes.append(row.handshake)
        driver.ask(
            url=server.url,
            subprotocols=row.subprotocols,
            limit=row.limit,
            heartbeat=row.heartbeat,
            closing=row.closing,
        )
        # To inflate takes a while, and so do faults, and none of those hangs.
        is_slow = row.compression or row.limit is not None or row.faults
        told = driver.told(_LONG if is_slow else _PATIENCE)
        if told is None:
            server.stop(0)
            told = driver.told(TIMEOUT)
            assert told, f"{row.name}: it does not even see the end of the connection"
            return "hangs"
        if row.compression and not server.accepted[-1].extensions:
            return "does not offer it"
        if told["error"] == "NoOption":
            return "has no option for it"
        assert all(fault.hits for fault in faults), f"{row.name} has not acted"
        for fault in faults:
            # What the client has sent meanwhile is seen then.
            fault.stop()
        return _words(row, told, server)


def _words(row: Row, told: dict[str, Any], server: EchoTestServer) -> str:
    if not told["opened"]:
        return _as_told(told)
    code = server.accepted[-1].wait_closed(TIMEOUT)
    if server.stats().violations:
        return "answers against the rules"
    if row.faults:
        return _words_of_fault(row, told, code)
    messages = told["messages"]
    if "next" in messages:
        if row.handshake is None:
            return "accepts it" if len(messages) > 1 else "ignores it"
        chosen = f" with {told['subprotocol']!r}" if told["subprotocol"] else ""
        return f"connects{chosen}" + " at the second request" * (len(server.requests) > 1)
    return _as_told(told) if code == 1006 else "reads it, then " * bool(messages) + f"closes with {code}"


def _words_of_fault(row: Row, told: dict[str, Any], code: int) -> str:
    # What came before the fault is none of it.
    messages = told["messages"][1:]
    if "next" in messages:
        return f"gets {', '.join(map(repr, messages[: messages.index('next')])) or 'nothing'}"
    # One that was asked to close has a close frame of its own, whatever it is told.
    return _as_told(told) if code == 1006 or row.is_closing else f"closes with {code}"


def _as_told(told: dict[str, Any]) -> str:
    error = told["error"]
    if error:
        return f"raises '{error}'" if " " in error else f"raises {error}"
    return f"reports {told['code'] or 'nothing'}"
