"""The servers: how each is started, and the processes while they run."""

import contextlib
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent.parent
START_SECONDS = 20.0
STOP_SECONDS = 3.0


@dataclass(frozen=True)
class Spec:
    """How to start a server. It must print `ready` once it listens on {port}."""

    text: str
    command: str
    load: str = ""
    """What the generator has to be told of it."""
    cores: int = 1
    """How many it can use."""
    limit: bool = False
    """It does less than a server has to: what could be had at the most."""

    @property
    def tcp(self) -> bool:
        """Whether it echoes plain TCP."""
        return "--tcp" in self.load


def _python(script: str, rest: str = "") -> str:
    return f"{{python}} {{here}}/servers/{script}.py {{port}} {rest}".rstrip()


NODE = "node {here}/servers/node/ws_echo.js {port}"
PEERS = ("picows", "aiohttp", "websockets")
SERVERS = {
    "tcp_epoll": Spec("plain TCP on epoll (the limit)", "{bin}/tcp_epoll {port}", "--tcp", limit=True),
    "ws_own": Spec("least WebSocket echo on tokio", "{bin}/ws_own {port}", limit=True),
    "uwebsockets": Spec("uWebSockets (C++)", "{bin}/uwebsockets {port}"),
    "tt_cork": Spec("tokio-tungstenite, batched, tuned", "{bin}/tt_cork {port}"),
    "tt_naive": Spec("tokio-tungstenite as its examples write it", "{bin}/tt_naive {port}"),
    "echoserver": Spec("echoserver, native echo", _python("ours")),
    "echoserver+2": Spec("echoserver, two workers", _python("ours", "--workers 2"), cores=2),
    "echoserver-noop": Spec("echoserver, callback that does nothing", _python("ours", "--callback noop")),
    "echoserver-reply": Spec("echoserver, callback that replies", _python("ours", "--callback reply")),
    "echoserver-noop+0": Spec(
        "echoserver, no workers, callback that does nothing", _python("ours", "--workers 0 --callback noop")
    ),
    "echoserver-reply+0": Spec(
        "echoserver, no workers, callback that replies", _python("ours", "--workers 0 --callback reply")
    ),
    "echoserver-asyncio": Spec(
        "echoserver on uvloop, callback that replies", _python("ours", "--asyncio --callback reply")
    ),
    "echoserver-coroutine": Spec(
        "echoserver on uvloop, `async def` callback that replies", _python("ours", "--asyncio --callback coroutine")
    ),
    **{f"{name}+uvloop": Spec(f"{name} on uvloop", _python(f"{name}_echo")) for name in PEERS},
    "pyside6": Spec("QWebSocketServer of PySide6", _python("qt_echo")),
    "qt-original": Spec("PySide6's own QtWebSockets", _python("qt_example", "original")),
    "qt-objects": Spec("echoserver.qt with PySide6", _python("qt_example", "pyside6")),
    "qt-alone": Spec("echoserver.qt without PySide6", _python("qt_example", "builtin")),
    "node_ws": Spec("ws on Node.js", NODE),
    **{
        f"{name}+tls": Spec(f"{name} on uvloop, TLS", _python(f"{name}_echo", "--tls {cert}"), "--tls")
        for name in PEERS
    },
    "node_ws+tls": Spec("ws on Node.js, TLS", f"{NODE} --tls {{cert}}", "--tls"),
    "echoserver+tls": Spec("echoserver, native echo, TLS", _python("ours", "--tls {cert}"), "--tls"),
    "node_ws+deflate6": Spec("ws on Node.js, level 6", f"{NODE} --deflate 6"),
    "websockets+deflate6": Spec("websockets on uvloop, level 6", _python("websockets_echo", "--deflate 6")),
    "echoserver+deflate6": Spec("echoserver, level 6", _python("ours", "--deflate 6")),
    "aiohttp+deflate1": Spec("aiohttp on uvloop, level 1 (its own)", _python("aiohttp_echo", "--deflate 1")),
    "echoserver+deflate1": Spec("echoserver, level 1", _python("ours", "--deflate 1")),
    "echoserver+deflate2": Spec("echoserver, level 2", _python("ours", "--deflate 2")),
}


class StartError(Exception):
    """A server did not come up."""


@dataclass(frozen=True)
class Place:
    """Where servers and generator are found, and the cores they run on."""

    bin: Path
    python: str
    cert: Path
    """Folder of cert.pem and key.pem."""
    server_cpus: frozenset[int]
    load_cpus: frozenset[int]

    def cpus(self, spec: Spec) -> frozenset[int]:
        """A server's cores: more than the usual ones only if the machine has others to spare."""
        spare = sorted(os.sched_getaffinity(0) - self.server_cpus - self.load_cpus)
        wanted = max(0, spec.cores - len(self.server_cpus))
        return self.server_cpus | set(spare[:wanted])

    def command(self, spec: Spec, port: int) -> list[str]:
        """The server's arguments, made whole."""
        values = {"bin": self.bin, "python": self.python, "here": HERE, "port": port, "cert": self.cert}
        return [part.format(**values) for part in shlex.split(spec.command)]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running server in a process group of its own."""

    def __init__(self, name: str, spec: Spec, place: Place, wrapper: tuple[str, ...] = ()) -> None:
        """Starts it, below `wrapper` if there is one, and waits until it is ready."""
        self.name = name
        self.load = spec.load
        self.port = free_port()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        try:
            self.process = subprocess.Popen(
                [*wrapper, *place.command(spec, self.port)],
                stdout=subprocess.PIPE,
                stderr=self._errors,
                process_group=0,
                preexec_fn=lambda: os.sched_setaffinity(0, place.cpus(spec)),  # noqa: PLW1509 - one thread
                env=os.environ | {"PYTHONHASHSEED": "0", "QT_QPA_PLATFORM": "offscreen"},
            )
        except OSError as error:
            raise StartError(str(error)) from error
        try:
            self._wait_until_ready(START_SECONDS * (10 if wrapper else 1))
        except StartError:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def _wait_until_ready(self, seconds: float) -> None:
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        said = b""
        while b"ready" not in said:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                message = f"not ready within {seconds:.0f} s"
                raise StartError(message)
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                raise StartError(self._last_words())
            said += part

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        # Without the paths of this machine: it may stand in a page.
        return re.sub(r" \(/[^)]*\)", "", lines[-1]) if lines else "ended before it was ready"

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """Keeps it from running while others are measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it run again."""
        self._signal(signal.SIGCONT)
        time.sleep(0.02)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ends it: politely, then not."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self._signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()
