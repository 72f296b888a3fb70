"""What goes to the loggers beside errors: who is refused, at INFO, and who comes and goes, at DEBUG."""

from __future__ import annotations

import logging
import queue
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from aio_support import connect as connect_async
from aio_support import exchange, started
from echoserver import Response
from support import REQUEST, TIMEOUT, RawClient, connect, eventually, finished, python, refused

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen
    from echoserver import Client, EchoServer, Request

Emit = Callable[[logging.LogRecord], object]

LOGGERS = {"echoserver", "echoserver.connections"}


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "echoserver")


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "echoserver")


def texts(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What was logged at that level, without the ports of clients."""
    records = [record for record in caplog.records if record.name in LOGGERS and record.levelno == level]
    return [without_port(record.getMessage()) for record in records]


def all_texts(server: EchoServer, caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    """The same for all the life of a server, which has logged at no other level."""
    # It ends when everything is logged.
    server.stop()
    assert {record.levelno for record in caplog.records if record.name in LOGGERS} <= {level}
    return texts(caplog, level)


def without_port(text: str) -> str:
    text = re.sub(r"seconds=\d\.\d{3} ", "", text)
    return re.sub(r"127\.0\.0\.1:\d+", "PEER", text)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.usefixtures("info")
def test_connections_that_can_not_be_accepted(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    import resource

    def not_accepted() -> list[logging.LogRecord]:
        return [record for record in caplog.records if "be accepted" in record.getMessage()]

    server = run(echo=True)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            client.connect(server.address)
            eventually(not_accepted, "a line of the log")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    record = not_accepted()[0]
    assert (record.name, record.levelno) == ("echoserver", logging.INFO)
    assert record.getMessage().startswith("connections can't be accepted: ")
    said = vars(record)["echoserver"]
    assert said.keys() == {"event", "reason"}
    assert said["event"] == "not_accepted"


def gone(client: int, code: int, path: str, *messages: str) -> str:
    """The line for a client that has got its messages back."""
    size = sum(len(message) for message in messages)
    both = " ".join(f"messages_{way}={len(messages)} bytes_{way}={size}" for way in ("received", "sent"))
    return f"client {client} from PEER disconnected: code={code} reason='' path='{path}' subprotocol=None {both}"


# Refusals


@pytest.mark.usefixtures("info")
def test_a_bad_request_is_logged_with_the_reason_that_it_gets(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(origins=["http://a.example"])
    with RawClient(server.port, "Origin: http://\x1b[1mb.example") as client:
        assert client.status() == 400
        reason = client.file.read().decode().strip()
    _, _, body = refused(server, "Origin: http://b.example")
    assert all_texts(server, caplog) == [
        f"request of PEER refused: 400 Bad Request, {reason}",
        f"request of PEER refused: 403 Forbidden, {body.decode().strip()}",
    ]
    assert reason == "the value of Origin contains the control byte 0x1b"


@pytest.mark.usefixtures("info")
def test_a_request_that_never_gets_complete_is_logged(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(open_timeout=0.1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")
    text = "request of PEER refused: 408 Request Timeout, no complete request arrived in time (open_timeout)"
    assert all_texts(server, caplog) == [text]


@pytest.mark.usefixtures("info")
def test_who_finds_the_server_full_is_logged(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(max_connections=1)
    with RawClient(server.port) as client:
        client.opened()
        assert refused(server)[0] == 503
    reason = "the server has reached its limit of 1 connections (max_connections)"
    assert all_texts(server, caplog) == [f"request of PEER refused: 503 Service Unavailable, {reason}"]


@pytest.mark.usefixtures("info", "reported")
def test_whom_on_handshake_refuses_is_logged(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    def on_handshake(request: Request) -> Response:
        if request.origin is None:
            raise ValueError
        return Response(499, body=b"\x00secret")

    server = run(on_handshake=on_handshake)
    assert refused(server, "Origin: http://a.example")[0] == 499
    assert refused(server)[0] == 500
    text = "request of PEER refused: 500 Internal Server Error, the application failed to decide about this request"
    server.stop()
    assert texts(caplog, logging.INFO) == ["request of PEER refused: 499 of on_handshake", text]


@pytest.mark.usefixtures("info")
def test_plain_http_and_who_just_goes_are_no_refusals(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run()
    for request in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST[:20]):
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1000):
                pass
    assert all_texts(server, caplog) == []


def test_a_level_that_changes_holds_for_refusals_at_once(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "echoserver")
    server = run(origins=[])
    caplog.set_level(logging.INFO, "echoserver")
    refused(server)
    assert len(all_texts(server, caplog)) == 1


@pytest.mark.needs_worker
def test_the_log_of_refusals_is_bounded_while_python_is_busy(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    def on_text(_client: Client, _message: str) -> None:
        for _ in range(1100):
            with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
                client.sendall(b"\n")
                while client.recv(1000):
                    pass

    caplog.set_level(logging.INFO, "echoserver")
    server = run(on_text=on_text)
    with connect(server.url) as client:
        client.send("be refused often")
        assert client.recv() == "be refused often"
    logged = all_texts(server, caplog)
    assert sum(text.startswith("request of PEER refused: 400 ") for text in logged) == 1024
    assert "76 more were refused, too many at once to be logged" in logged
    assert len(logged) == 1025


# Who comes and goes


@pytest.mark.usefixtures("debug")
@pytest.mark.parametrize("has_callbacks", [False, True])
def test_clients_that_come_and_go_are_logged_at_debug(
    run: Listen, caplog: pytest.LogCaptureFixture, has_callbacks: bool
) -> None:
    calls: list[str] = []
    callbacks = {
        "on_connect": lambda _: calls.append("came"),
        "on_text": lambda *_: calls.append("said"),
        "on_disconnect": lambda _: calls.append("went"),
    }
    server = run(**callbacks if has_callbacks else {})
    with connect(f"{server.url}a%20b?secret=1") as client:
        client.send("hello")
        assert client.recv() == "hello"
        client.close(3000)
    with connect(server.url):
        pass
    assert all_texts(server, caplog, logging.DEBUG) == [
        "client 1 from PEER connected: /a%20b",
        gone(1, 3000, "/a%20b", "hello"),
        "client 2 from PEER connected: /",
        gone(2, 1000, "/"),
    ]
    assert calls == (["came", "said", "went", "came", "went"] if has_callbacks else [])


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_nothing_of_that_at_higher_levels(run: Listen, caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level, "echoserver")
    server = run()
    with connect(server.url):
        pass
    refused(server, "Host: again")
    assert len(all_texts(server, caplog)) == (level == logging.INFO)


class HeldLog:
    """A handler that does not return before `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self._records = queue.SimpleQueue[logging.LogRecord]()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.put(record)
        assert self.go_on.wait(TIMEOUT)

    def wait_for_a_record(self) -> None:
        self._records.get(timeout=TIMEOUT)


@pytest.fixture
def held(debug: None, run: Listen, handle: Callable[[Emit], None]) -> Iterator[HeldLog]:  # noqa: ARG001
    # After `run`, which stops its servers when the log has gone on.
    log = HeldLog()
    handle(log.emit)
    yield log
    log.go_on.set()


@pytest.mark.needs_worker
def test_a_native_echo_does_not_wait_for_the_log(held: HeldLog, run: Listen) -> None:
    server = run()
    with connect(server.url) as first:
        held.wait_for_a_record()
        with connect(server.url) as second:
            for client in (first, second):
                client.send("hello")
                assert client.recv(TIMEOUT) == "hello"


def test_a_callback_set_between_the_connect_and_its_record_is_not_called_for_it(held: HeldLog, run: Listen) -> None:
    came: queue.SimpleQueue[int] = queue.SimpleQueue()
    server = run()
    with RawClient(server.port) as client:
        client.opened()
        held.wait_for_a_record()
        server.on_connect = lambda client: came.put(client.id)
        held.go_on.set()
        with RawClient(server.port) as other:
            other.opened()
            assert came.get(timeout=TIMEOUT) == 2
    server.stop()
    assert came.empty()


@pytest.mark.needs_worker
@pytest.mark.usefixtures("debug")
def test_on_event_loops_too(on_loop: Run, listen: Listen, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = listen(max_connections=1)
        serving = await started(server)
        async with connect_async(server.url) as client:
            assert await exchange(client, "hello") == ["hello"]
            with pytest.raises(Exception, match="503"):
                await connect_async(server.url)
        await server.stop_async()
        await serving

    on_loop(main)
    reason = "the server has reached its limit of 1 connections (max_connections)"
    assert texts(caplog, logging.INFO) == [f"request of PEER refused: 503 Service Unavailable, {reason}"]
    assert texts(caplog, logging.DEBUG) == ["client 1 from PEER connected: /", gone(1, 1000, "/", "hello")]


@pytest.mark.needs_worker
@pytest.mark.usefixtures("debug")
def test_who_is_iterated_over_is_logged_once(on_loop: Run, listen: Listen, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with listen() as server:
            clients = aiter(server)
            async with connect_async(server.url) as other:
                client = await anext(clients)
                await other.send("hello")
                assert await anext(aiter(client)) == "hello"

    on_loop(main)
    logged = texts(caplog, logging.DEBUG)
    assert logged[0] == "client 1 from PEER connected: /"
    (end,) = logged[1:]
    assert "code=1000" in end
    assert "messages_received=1 bytes_received=5" in end


# The application's handlers


@pytest.mark.usefixtures("debug")
def test_a_handler_may_call_the_server(run: Listen, handle: Callable[[Emit], None]) -> None:
    def emit(record: logging.LogRecord) -> None:
        # Before the client hears of it, and leaves.
        counts.append((server.client_count, len(server.clients), server.stats().clients_opened))
        server.broadcast(without_port(record.getMessage()))

    counts: list[tuple[int, int, int]] = []
    handle(emit)
    server = run()
    with connect(server.url) as client:
        assert client.recv(TIMEOUT) == "client 1 from PEER connected: /"
        assert refused(server, "Host: again")[0] == 400
        assert client.recv(TIMEOUT) == ("request of PEER refused: 400 Bad Request, there is more than one Host header")
    server.stop()
    assert counts == [(1, 1, 1), (1, 1, 1), (0, 0, 1)]


@pytest.mark.usefixtures("debug")
def test_a_handler_that_raises_harms_nobody(
    run: Listen, handle: Callable[[Emit], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def emit(_record: logging.LogRecord) -> None:
        raise OSError("full")

    raised: list[BaseException | None] = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: raised.append(report.exc_value))
    handle(emit)
    server = run(on_connect=lambda client: client.send("welcome"))
    with connect(server.url) as client:
        assert client.recv(TIMEOUT) == "welcome"
        refused(server, "Host: again")
        eventually(lambda: len(raised) == 2, "two that were raised")
    server.stop()
    assert [str(error) for error in raised] == ["full"] * 3
    assert server.stats().callback_errors == 0


@pytest.mark.usefixtures("debug")
def test_system_exit_in_a_handler_ends_the_server(run: Listen, handle: Callable[[Emit], None]) -> None:
    def emit(_record: logging.LogRecord) -> None:
        raise SystemExit(3)

    handle(emit)
    server = run()
    with connect(server.url), pytest.raises(SystemExit):
        server.wait_closed(TIMEOUT)


def test_who_goes_at_exit_is_logged() -> None:
    code = (
        "import logging\n"
        "from echoserver import EchoServer\n"
        "from websockets.sync.client import connect\n"
        "logging.basicConfig(format='%(message)s')\n"
        "logging.getLogger('echoserver').setLevel(logging.DEBUG)\n"
        "server = EchoServer(0, host='127.0.0.1').start()\n"
        "client = connect(server.url, proxy=None)\n"
    )
    status, out, err = finished(python(code))
    assert (status, out) == (0, "")
    first, last = map(without_port, err.splitlines())
    assert (first, last) == (
        "client 1 from PEER connected: /",
        gone(1, 1001, "/").replace("''", "'the server is stopping'"),
    )
