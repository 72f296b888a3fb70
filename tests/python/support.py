"""What the tests share: clients that are not ours, subprocesses, and the one time limit."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import queue
import signal
import socket
import ssl
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websockets_connect

from echoserver import Client, EchoServer, Request

# For machines that are slow, or under a debugger.
FACTOR = float(os.environ.get("ECHOSERVER_TIMEOUT_FACTOR", "1"))
# Seconds that nothing here should ever take.
TIMEOUT = 15.0 * FACTOR
# An upgrade request, for clients that are no more than bytes.
REQUEST = (
    b"GET /path HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# The program, arguments that have it listen on a free port of this machine, and what it says on stderr then.
SCRIPT = str(Path(sysconfig.get_path("scripts")) / "echoserver")
LOCAL = ("-p0", "--host=127.0.0.1")
LISTENING = "echoserver: listening on 127.0.0.1; on: page, faults by URL, health, metrics; Ctrl-C stops it\n"
# What `program` has started in this test; conftest.py ends what a failed test leaves.
processes: list[subprocess.Popen[str]] = []


def connect(url: str, **options: Any) -> ClientConnection:
    """A client of the `websockets` package, without compression and limits."""
    settings: dict[str, Any] = {
        "compression": None,
        "max_size": None,
        "open_timeout": TIMEOUT,
        "close_timeout": TIMEOUT,
        "ping_interval": None,
        "proxy": None,
    }
    connection: ClientConnection = websockets_connect(url, **settings | options)
    return connection


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Returns when `condition()` is true. Only for what nobody announces, such as a counter."""
    deadline = time.monotonic() + TIMEOUT
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {TIMEOUT:g} s"
        pause.wait(0.005)


def in_thread(function: Callable[..., object], *arguments: object) -> threading.Thread:
    """Calls `function` in a thread of its own."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def join(thread: threading.Thread) -> None:
    """Waits for a thread that must end."""
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A Python process that runs `code`; its standard streams are pipes."""
    return program(sys.executable, "-c", code, *arguments, **options)


def program(*command: str, **options: Any) -> subprocess.Popen[str]:
    """A process whose standard streams are pipes, with every Python warning an error."""
    environment = os.environ | {"PYTHONWARNINGS": "error", "PYTHONFAULTHANDLER": "1"} | options.pop("env", {})
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment, encoding="utf-8", **pipes | options)
    processes.append(process)
    return process


def thread_names() -> list[str]:
    """The names of all threads of this process, as the system has them."""
    if sys.platform != "linux":
        return [thread.name for thread in threading.enumerate()]
    return sorted(name.strip() for name in _of_threads(os.getpid(), "comm"))


def children(process: int) -> list[int]:
    """The processes that it has started and that live; none where the system does not tell."""
    return [int(number) for numbers in _of_threads(process, "children") for number in numbers.split()]


def _of_threads(process: int, file: str) -> list[str]:
    """What this file of each of its threads says."""
    said = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        # One may end at this moment.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            said.append((task / file).read_text())
    return said


def has_open(process: int, file: Path) -> bool:
    """Whether it has this file open."""
    folder = Path(f"/proc/{process}/fd")
    if not folder.exists():
        pytest.skip("NOT TESTED HERE: the system does not tell which files a process has open")
    # One that is closed while we look is not what we look for.
    with contextlib.suppress(FileNotFoundError):
        return file in [each.readlink() for each in folder.iterdir()]
    return False


def finished(process: subprocess.Popen[str], seconds: float = TIMEOUT) -> tuple[int, str, str]:
    """Status, stdout and stderr of a process that must end."""
    with process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            out, err = aborted(process)
            raise AssertionError(f"still runs after {seconds:g} s\nstdout:\n{out}\nstderr:\n{err}") from None
        except BaseException:
            # The time limit of the test: `with` would wait for ever.
            process.kill()
            raise
    return process.returncode, out, err


def aborted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Ends it; stdout and stderr, where each process says where its threads are."""
    # A child of a fork first, which keeps the pipes open.
    for number in (*children(process.pid), process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGABRT)
    try:
        return process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line of its stdout; what it says on stderr if it ends without one."""
    assert process.stdout
    watchdog = threading.Timer(TIMEOUT, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    watchdog.cancel()
    assert line.endswith("\n"), f"no line on stdout: {finished(process)}"
    return line.removesuffix("\n")


def most_waiting(listening: socket.socket) -> int:
    """How many may wait for it, as Linux has it for each TCP socket that listens (`tcpi_sacked` of tcp(7))."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[28:32], sys.byteorder)


def port_of(url: str) -> int:
    """The port in the URL of a server."""
    return int(url.rsplit(":", 1)[1].strip("/"))


class RawClient:
    """A WebSocket client made of a socket, for what proper clients don't do."""

    def __init__(  # noqa: PLR0913  # Each but the port by its name.
        self,
        port: int,
        *lines: str,
        host: str = "127.0.0.1",
        receive_buffer: int | None = None,
        path: str = "/",
        context: ssl.SSLContext | None = None,
        first: bytes = b"",
    ) -> None:
        """Connects, over TLS with a context, and sends `first` with an upgrade request that has these lines more.

        A host with a slash is the path of a Unix socket.
        """
        is_path = "/" in host
        self.socket = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(host if is_path else (host, port))
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost" if is_path else host)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(bytes(16)).decode()
        request = [
            f"GET {path} HTTP/1.1",
            f"Host: localhost:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            *lines,
        ]
        self.socket.sendall(first + "".join(f"{line}\r\n" for line in [*request, ""]).encode())

    def status(self) -> int:
        """Reads the response's head, which stays as `headers`, and returns its status."""
        status = int(self.file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self.file.readline().decode().strip():
            name, value = line.split(":", 1)
            self.headers[name.lower()] = value.strip()
        return status

    def opened(self) -> Self:
        """Itself, when the server has agreed."""
        assert self.status() == 101
        return self

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        """Sends a frame, masked with zeros."""
        self.socket.sendall(frame(opcode, payload, fin=fin))

    def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame, which must be final; EOFError at the end."""
        head = self.file.read(2)
        if len(head) < 2:
            raise EOFError
        assert head[0] & 0x80
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self.file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.file.read(8))
        return head[0] & 0x0F, self.file.read(length)

    def fill(self, data: bytes, most: int) -> int:
        """Sends `data` again and again until nothing more is taken; how many bytes that were, `most` at the most."""
        self.socket.settimeout(0.3)
        view = memoryview(data)
        sent = 0
        try:
            while sent < most:
                sent += self.socket.send(view[sent % len(data) :])
        except TimeoutError:
            self.socket.settimeout(TIMEOUT)
        return sent

    def close_code(self) -> int:
        """The code of the close frame that must come next."""
        opcode, payload = self.receive()
        assert opcode == 8
        return int.from_bytes(payload[:2], "big")

    def is_dropped(self) -> bool:
        """Whether the connection ends without a further close frame."""
        try:
            while self.receive()[0] != 8:
                pass
        except (EOFError, ConnectionResetError):
            return True
        return False

    def reset_at_close(self) -> None:
        """Its close will reset the connection, whatever is on its way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Closes the socket."""
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros, so that the payload is as it is."""
    head = bytes([fin << 7 | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    return head + bytes(4) + payload


class Door:
    """An `on_handshake` that stops at each request until it is told what to answer."""

    def __init__(self) -> None:
        """Closed."""
        self.requests: queue.Queue[Request] = queue.Queue()
        self.answers: queue.Queue[Any] = queue.Queue()

    def __call__(self, request: Request) -> Any:
        self.requests.put(request)
        return self.answers.get(timeout=TIMEOUT)

    def asked(self) -> Request:
        """The next request."""
        return self.requests.get(timeout=TIMEOUT)


def refused(server: EchoServer, *lines: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to an upgrade request, which ends the connection."""
    with RawClient(server.port, *lines) as client:
        status = client.status()
        return status, client.headers, client.file.read()


class Handler(logging.Handler):
    """Has a function called for each record that is logged."""

    def __init__(self, emit: Callable[[logging.LogRecord], object]) -> None:
        """Of all levels."""
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Calls it."""
        self._emit(record)


class Watched:
    """A server, and the clients that have come and gone."""

    def __init__(self, run: Callable[..., EchoServer], **options: Any) -> None:
        """Runs it; `run` is the fixture."""
        self.came: queue.Queue[Client] = queue.Queue()
        self.went: queue.Queue[Client] = queue.Queue()
        self.server: EchoServer = run(on_connect=self.came.put, on_disconnect=self.went.put, **options)
        self.url, self.port = self.server.url, self.server.port

    def next(self) -> Client:
        """The next client that comes."""
        return self.came.get(timeout=TIMEOUT)

    def gone(self) -> Client:
        """The next client that is gone."""
        return self.went.get(timeout=TIMEOUT)
