"""Servers in a process of their own, whose faults are set from here: what they use is not mixed with what clients do.

    with Apart(seed=7) as apart:
        with apart.servers["plain"].fault(Drop(), path="/7") as fault:
            run(apart.servers["plain"].port)
            print(fault.hits)
        print(apart.measured())

There all memory is malloc's, also that of Python objects, and no thread keeps what it has freed, so that what is in use
is known to the byte, whatever the allocator keeps besides. No test; Linux only.
"""

from __future__ import annotations

import contextlib
import copyreg
import gc
import itertools
import os
import queue
import ssl
import subprocess
import sys
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Self

import surroundings
from echoserver import Accept, Response
from echoserver.testing import EchoTestServer, Fault
from footprint import allocated, descriptors, forget_names, resident, threads, trim
from support import TIMEOUT, in_thread

__all__ = ["Apart", "FaultThere", "ServerThere"]

# Calls at once.
_CALLS = 16
_OPTIONS: dict[str, Any] = {"subprotocols": ["b"], "compression": "deflate", "record": None}

# They have no state of their own that pickle would know.
copyreg.pickle(Response, lambda one: (Response, (one.status, one.headers, one.body)))
copyreg.pickle(Accept, lambda one: (Accept, (one.headers, one.subprotocol)))


class FaultThere:
    """A fault of a server that is elsewhere: what of `Fault` is wanted here."""

    def __init__(self, apart: Apart, number: int, kind: object) -> None:
        self._apart = apart
        self._number = number
        self._kind = kind
        self._last: int | None = None

    @property
    def hits(self) -> int:
        """How often it has acted."""
        hits: int = self._apart.call("hits", self._number) if self._last is None else self._last
        return hits

    def stop(self) -> None:
        """Ends it. Nothing of it is kept there."""
        if self._last is None:
            self._last = self._apart.call("stop", self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{self._kind!r}: {self.hits} hits>"


class ServerThere:
    """A server that is elsewhere."""

    def __init__(self, apart: Apart, name: str, port: int, anchors: str | None) -> None:
        self._apart = apart
        self._name = name
        self.port = port
        self._anchors = anchors

    def fault(self, kind: object, /, **selectors: Any) -> FaultThere:
        """Sets one."""
        return FaultThere(self._apart, self._apart.call("fault", self._name, kind, selectors), kind)

    def context(self) -> ssl.SSLContext | None:
        """For its clients, if it has TLS."""
        return ssl.create_default_context(cadata=self._anchors) if self._anchors else None


class Apart:
    """Two servers, `plain` and `tls`, in a process that is ended at the end of the block."""

    def __init__(self, seed: int) -> None:
        key = os.urandom(16)
        environment = os.environ | {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
        command = [sys.executable, __file__, str(seed), key.hex()]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, encoding="utf-8")
        assert self._process.stdin
        assert self._process.stdout
        address = self._process.stdout.readline().strip()
        assert address, "no servers"
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for _ in range(_CALLS):
            self._free.put(Client(address, authkey=key))
        self.servers = {name: ServerThere(self, name, *known) for name, known in self.call("servers").items()}

    def call(self, name: str, *arguments: Any) -> Any:
        """Has something done there: what comes of it, or the error."""
        connection = self._free.get()
        try:
            connection.send((name, arguments))
            is_error, result = connection.recv()
        finally:
            self._free.put(connection)
        if is_error:
            raise result
        return result

    def measured(self) -> dict[str, int]:
        """What that process has, when what is free has gone back to the system: bytes that are in use and `resident`
        ones, `descriptors` and `threads`; and what its servers have, `clients` and bytes that are `charged`.
        """
        measured: dict[str, int] = self.call("measured")
        return measured

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        with self._process:
            try:
                status = self._process.wait(TIMEOUT)
            finally:
                self._process.kill()
        while not self._free.empty():
            self._free.get().close()
        if error[0] is None and status:
            raise RuntimeError(f"the servers have ended with status {status}")


class _Server(EchoTestServer):
    """One that does not keep the faults that are over."""

    def _note_fault(self, fault: Fault) -> None:
        pass


class _There:
    """What is done in the process of the servers."""

    def __init__(self, servers: dict[str, _Server]) -> None:
        self._servers = servers
        self._faults: dict[int, Fault] = {}
        self._numbers = itertools.count()

    def servers(self) -> dict[str, tuple[int, str | None]]:
        return {name: (server.port, server.ca_pem) for name, server in self._servers.items()}

    def fault(self, name: str, kind: Any, selectors: dict[str, Any]) -> int:
        number = next(self._numbers)
        self._faults[number] = self._servers[name].fault(kind, **selectors)
        return number

    def hits(self, number: int) -> int:
        return self._faults[number].hits

    def stop(self, number: int) -> int:
        fault = self._faults.pop(number)
        fault.stop()
        return fault.hits

    def measured(self) -> dict[str, int]:
        # Each call from elsewhere brings names of its own.
        forget_names()
        gc.collect()
        trim()
        servers = self._servers.values()
        return {
            "used": allocated(),
            "resident": resident(),
            "descriptors": descriptors(),
            "threads": threads(),
            "clients": sum(server.client_count for server in servers),
            "charged": sum(server.stats().memory_used for server in servers),
        }


def _answer(there: _There, connection: Connection) -> None:
    with contextlib.suppress(EOFError):
        while True:
            name, arguments = connection.recv()
            try:
                answer = (False, getattr(there, name)(*arguments))
            except Exception as error:  # Whatever it is, it is told.
                answer = (True, error)
            connection.send(answer)


def _main() -> None:
    surroundings.reset()
    seed, key = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
    with _Server(seed=seed, **_OPTIONS) as plain, _Server(seed=seed, tls="self-signed", **_OPTIONS) as tls:
        there = _There({"plain": plain, "tls": tls})
        with Listener(authkey=key) as listener:
            print(listener.address, flush=True)
            for _ in range(_CALLS):
                in_thread(_answer, there, listener.accept())
        # Until its end.
        sys.stdin.read()


if __name__ == "__main__":
    _main()
