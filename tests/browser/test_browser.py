"""A browser as the client: Chromium, without a window, opens page.html, which reports what its WebSocket did.

Only the standard library and the browser are needed: a small HTTP server on the loopback serves the page and takes the
report. Skipped where no Chromium is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import pytest

from echoserver import Client, Deflate, EchoServer

FACTOR = float(os.environ.get("ECHOSERVER_TIMEOUT_FACTOR", "1"))
# Seconds for one browser from its start to its report; on a busy machine it takes some to start.
TIMEOUT = 45.0 * FACTOR
PAGE = Path(__file__).with_name("page.html")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless=new",
    # As root, in a container, there is no sandbox to be had; it only ever sees our own page.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    # It is to talk to the loopback, and to nobody else.
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
    "--metrics-recording-only",
    "--password-store=basic",
)
# The same as in page.html. A lone surrogate becomes U+FFFD before it is sent (USVString of Web IDL).
TEXTS = ["hello", "", "Grüße, 世界 🦀", "\0 nul", "a lone \ufffd surrogate", "é" * 70000]
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=f"NO BROWSER TEST: none of {', '.join(NAMES)} is installed"),
    pytest.mark.timeout(2 * TIMEOUT),
]


Result = TypeVar("Result")


class Site(ThreadingHTTPServer):
    """Serves the page and keeps the reports."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.reports: queue.Queue[dict[str, Any]] = queue.Queue()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Visit(BaseHTTPRequestHandler):
    """One request of the browser."""

    timeout = TIMEOUT

    def do_GET(self) -> None:
        self.answer(PAGE.read_bytes())

    def do_POST(self) -> None:
        assert isinstance(self.server, Site)
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(b"")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the test tells."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield site
        site.shutdown()
        thread.join(TIMEOUT)


class CrashError(Exception):
    """The browser came to an end by itself, which says nothing of the server: it leaves a dump."""


class Browser:
    """A Chromium with an empty profile below `home`, which says what it has to say to `output`."""

    def __init__(self, home: Path, output: Any, *arguments: str) -> None:
        assert CHROMIUM is not None
        self._place = Path(tempfile.mkdtemp(dir=home))
        places = {"XDG_CONFIG_HOME": str(self._place / "config"), "XDG_CACHE_HOME": str(self._place / "cache")}
        # A session of its own, so that all of its processes can be ended together.
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={self._place / 'profile'}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HOME": str(home)} | places,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT)

    def look(self) -> None:
        """Raises CrashError if one of its processes has crashed, as about one in a thousand does at its start."""
        if self.process.poll() is not None or any(self._place.rglob("*.dmp")):
            raise CrashError


def again(attempt: Callable[[], Result]) -> Result:
    """What it gives, with another browser where one crashes: three times at most."""
    for _ in range(2):
        with suppress(CrashError):
            return attempt()
    return attempt()


def play(name: str, server: EchoServer, site: Site, folder: Path, path: str = "/") -> dict[str, Any]:
    """What the page reports after playing this scenario with the server."""
    address = f"{site.origin}/?{urlencode({'play': name, 'url': server.url_for(path)})}"
    report = again(lambda: _report(address, site, folder))
    assert "failure" not in report, report["failure"]
    return report


def _report(address: str, site: Site, folder: Path) -> dict[str, Any]:
    """What the page at this address reports."""
    log = folder / "chromium.log"
    until = time.monotonic() + TIMEOUT
    with log.open("wb") as output, Browser(folder, output, address) as browser:
        while time.monotonic() < until:
            try:
                return site.reports.get(timeout=1)
            except queue.Empty:
                browser.look()
    pytest.fail(f"no report within {TIMEOUT:g} s; the browser said:\n{log.read_text(errors='replace')}")


def described(kind: str, data: bytes) -> dict[str, object]:
    return {"type": kind, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def binary(size: int) -> bytes:
    period = bytes(index * 31 % 251 for index in range(251))
    return (period * (size // 251 + 1))[:size]


MESSAGES = [
    *(described("text", text.encode()) for text in TEXTS),
    *(described("ArrayBuffer", binary(size)) for size in SIZES),
    described("ArrayBuffer", b"a blob"),
]

serve = partial(EchoServer, 0, host="127.0.0.1", close_timeout=TIMEOUT)


@pytest.mark.parametrize("through_python", [False, True], ids=["natively", "through callbacks"])
def test_text_and_binary_come_back_and_the_close_is_told(through_python: bool, site: Site, tmp_path: Path) -> None:
    clients: list[Client] = []
    ended = threading.Event()

    def on_disconnect(client: Client) -> None:
        clients.append(client)
        ended.set()

    def on_message(_: Client, message: str | bytes) -> str | bytes:
        return message

    callbacks: dict[str, Any] = {"on_text": on_message, "on_binary": on_message} if through_python else {}
    with serve(subprotocols=["echo"], origins=[site.origin], on_disconnect=on_disconnect, **callbacks) as server:
        report = play("echo", server, site, tmp_path)
        assert ended.wait(TIMEOUT)
    assert report["messages"] == MESSAGES
    assert (report["protocol"], report["extensions"], report["errors"]) == ("echo", "", 0)
    assert report["closed"] == {"code": 4321, "reason": "tschüß", "wasClean": True}
    (client,) = clients
    assert (client.close_code, client.close_reason) == (4321, "tschüß")
    assert (client.origin, client.subprotocol) == (site.origin, "echo")
    assert client.headers["user-agent"] == report["agent"]
    assert server.stats().violations == 0


@pytest.mark.parametrize("through_python", [False, True], ids=["natively", "through callbacks"])
@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no takeover"])
def test_messages_are_compressed_where_it_was_agreed(
    through_python: bool, takeover: bool, site: Site, tmp_path: Path
) -> None:
    agreed: list[str] = []

    def on_connect(client: Client) -> None:
        agreed.append(client.extensions)

    def on_message(_: Client, message: str | bytes) -> str | bytes:
        return message

    callbacks: dict[str, Any] = {"on_text": on_message, "on_binary": on_message} if through_python else {}
    settings = Deflate(
        server_no_context_takeover=not takeover,
        client_no_context_takeover=not takeover,
        client_max_window_bits=12,
    )
    with serve(subprotocols=["echo"], compression=settings, on_connect=on_connect, **callbacks) as server:
        report = play("echo", server, site, tmp_path)
        stats = server.stats()
    assert report["messages"] == MESSAGES
    assert report["errors"] == 0
    context = "" if takeover else "; server_no_context_takeover; client_no_context_takeover"
    assert agreed == [report["extensions"]] == [f"permessage-deflate{context}; client_max_window_bits=12"]
    # All of them are repetitive.
    size = sum(int(str(message["size"])) for message in MESSAGES)
    assert stats.bytes_received < size / 20
    assert stats.bytes_sent < size / 20
    assert stats.violations == 0


def test_a_close_by_the_server_is_told_with_code_and_reason(site: Site, tmp_path: Path) -> None:
    def on_text(client: Client, message: str) -> str:
        client.send(f"{message}: yes")
        client.close(4000, "wie gewünscht")
        return "too late"

    with serve(on_text=on_text) as server:
        report = play("closed_by_server", server, site, tmp_path)
    assert report["messages"] == [described("text", b"please close: yes")]
    assert (report["closed"], report["errors"]) == ({"code": 4000, "reason": "wie gewünscht", "wasClean": True}, 0)


@pytest.mark.parametrize(
    ("path", "messages", "closed"),
    [
        ("/faults?duplicate=2,times:1&latency=20ms", ["one", "one", "one", "two", "end"], (1000, "")),
        ("/faults?replace=b%2Cc,after:1,times:1&fragment=1", ["one", "b,c", "end"], (1000, "")),
        ("/faults?close=4000,after:1,reason:enough", ["one"], (4000, "enough")),
        ("/faults?reset", [], (1006, "")),
        ("/faults?lattency=20ms", [], (1006, "")),
    ],
)
def test_a_page_gets_the_faults_that_it_asks_for(
    path: str, messages: list[str], closed: tuple[int, str], site: Site, tmp_path: Path
) -> None:
    with serve(fault_urls=True) as server:
        report = play("talk", server, site, tmp_path, path)
    assert report["messages"] == messages
    assert (report["closed"]["code"], report["closed"]["reason"]) == closed
    assert report["closed"]["wasClean"] is (closed[0] != 1006)


def test_a_page_of_another_origin_is_refused(site: Site, tmp_path: Path) -> None:
    with serve(origins=["http://example.com"]) as server:
        report = play("refused", server, site, tmp_path)
        stats = server.stats()
    # Browsers don't tell a page why.
    assert (report["closed"], report["errors"]) == ({"code": 1006, "reason": "", "wasClean": False}, 1)
    assert (stats.handshakes_refused, stats.clients_opened) == (1, 0)
