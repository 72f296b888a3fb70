"""on_handshake: who may connect, and how the upgrade is answered."""

from __future__ import annotations

import asyncio
import queue
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websockets_connect

from echoserver import Accept, EchoServer, Request, Response
from echoserver.headers import Headers
from support import TIMEOUT, Door, RawClient, connect, in_thread, join, refused

if TYPE_CHECKING:
    from conftest import Listen

Reported = queue.Queue[BaseException | None]


# What it is asked


def test_it_sees_the_request(run: Listen) -> None:
    door = Door()
    server = run(on_handshake=door)
    lines = ["Origin: http://a.example", "X-Two: 1", "x-two: 2", "X-Latin: \xe9"]
    url = f"{server.url}chat/%C3%A9?room=1&x=?"
    with RawClient(server.port) as other:
        request = door.asked()
        assert (request.path, request.query, request.origin, request.subprotocols) == ("/", "", None, ())
        door.answers.put(None)
        assert other.status() == 101
    thread = in_thread(
        lambda: connect(url, subprotocols=["b", "a"], origin="http://a.example", additional_headers=[("X-Two", "1")]),
    )
    request = door.asked()
    assert (request.method, request.path, request.query) == ("GET", "/chat/%C3%A9", "room=1&x=?")
    assert request.origin == "http://a.example"
    assert request.subprotocols == ("b", "a")
    assert isinstance(request.headers, Headers)
    assert request.headers["HOST"] == f"127.0.0.1:{server.port}"
    assert ("X-Two", "1") in request.raw_headers
    assert request.peer[0] == "127.0.0.1"
    assert request.tls is None
    assert repr(request) == f"<Request GET /chat/%C3%A9?room=1&x=? from 127.0.0.1:{request.peer[1]}>"
    with pytest.raises(AttributeError):
        request.path = "/"  # type: ignore[misc]
    door.answers.put(None)
    join(thread)
    with RawClient(server.port, *lines):
        request = door.asked()
        assert request.headers["X-Two"] == "1, 2"
        # The test's client sends UTF-8.
        assert request.headers["X-Latin"] == "\xc3\xa9"
        door.answers.put(None)
    server.stop()
    # It stays readable.
    assert request.headers["X-Two"] == "1, 2"


def test_it_is_a_method_too() -> None:
    class Strict(EchoServer):
        def on_handshake(self, request: Request) -> Response | None:
            return None if request.path == "/in" else Response(404)

    with Strict(0, host="127.0.0.1") as server:
        with connect(f"{server.url}in") as client:
            client.send("x")
            assert client.recv(TIMEOUT) == "x"
        assert refused(server)[0] == 404


def test_it_is_not_asked_about_what_is_no_upgrade_or_refused_anyway(run: Listen) -> None:
    asked: list[Request] = []
    server = run(on_handshake=asked.append, origins=["http://good"])
    requests = {
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n": b"426",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n": b"405",
        b"nonsense\r\n\r\n": b"400",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n": b"400",
    }
    for request, status in requests.items():
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw:
            raw.sendall(request)
            assert raw.makefile("rb").read().split()[1] == status
    assert refused(server, "Origin: http://bad")[0] == 403
    assert asked == []
    with RawClient(server.port, "Origin: http://good").opened():
        assert len(asked) == 1


def test_it_has_returned_before_on_connect(run: Listen) -> None:
    events: queue.Queue[str] = queue.Queue()
    door = Door()

    def on_handshake(request: Request) -> Any:
        events.put("asked")
        answer = door(request)
        events.put("answered")
        return answer

    server = run(
        on_handshake=on_handshake,
        on_connect=lambda _: events.put("connect"),
        on_text=lambda *_: events.put("text"),
        on_disconnect=lambda _: events.put("disconnect"),
    )
    with RawClient(server.port) as client:
        client.send(1, b"sent before the 101")
        door.asked()
        door.answers.put(None)
        assert client.status() == 101
        assert client.receive() == (1, b"sent before the 101")
    names = [events.get(timeout=TIMEOUT) for _ in range(5)]
    assert names == ["asked", "answered", "connect", "text", "disconnect"]


# What it answers


def test_a_response_refuses(run: Listen) -> None:
    challenge = [("WWW-Authenticate", "Basic realm=a"), ("WWW-Authenticate", "Bearer"), ("Server", "mine")]
    answers = {
        "/401": Response(401, challenge, "who are you?\n"),
        "/403": Response(403, {"Content-Type": "application/json"}, b'{"a": 1}'),
        "/302": Response(302, {"Location": "/login"}),
        "/304": Response(304),
        "/426": Response(426),
        "/503": Response(503, {"Retry-After": "7"}, "é"),
        "/599": Response(599),
    }
    server = run(on_handshake=lambda request: answers[request.path])

    def raw(path: str) -> tuple[list[bytes], bytes]:
        with RawClient(server.port, path=path) as client:
            head, _, body = client.file.read().partition(b"\r\n\r\n")
        lines_back = head.split(b"\r\n")
        assert sum(line.lower().startswith(b"date: ") for line in lines_back) == 1
        return [line for line in lines_back if not line.lower().startswith(b"date: ")], body

    assert raw("/401") == (
        [
            b"HTTP/1.1 401 Unauthorized",
            b"Connection: close",
            b"WWW-Authenticate: Basic realm=a",
            b"WWW-Authenticate: Bearer",
            b"Server: mine",
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Length: 13",
        ],
        b"who are you?\n",
    )
    server_line = b"Server: echoserver"
    closing = b"Connection: close"
    json = [b"Content-Type: application/json", b"Content-Length: 8"]
    assert raw("/403") == ([b"HTTP/1.1 403 Forbidden", closing, server_line, *json], b'{"a": 1}')
    found = [b"HTTP/1.1 302 Found", closing, server_line, b"Location: /login", b"Content-Length: 0"]
    assert raw("/302") == (found, b"")
    assert raw("/304") == ([b"HTTP/1.1 304 Not Modified", closing, server_line], b"")
    upgrade = [b"Connection: close, Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"]
    required = [b"HTTP/1.1 426 Upgrade Required", *upgrade, server_line, b"Content-Length: 0"]
    assert raw("/426") == (required, b"")
    assert raw("/503")[1] == "é".encode()
    assert raw("/599")[0][0] == b"HTTP/1.1 599 "
    stats = server.stats()
    assert (stats.handshakes_refused, stats.clients_opened, stats.callback_errors) == (7, 0, 0)


def test_clients_understand_a_refusal(run: Listen) -> None:
    server = run(on_handshake=lambda _: Response(401, {"WWW-Authenticate": "Bearer"}, "who?"))
    with pytest.raises(InvalidStatus) as caught:
        connect(server.url)
    assert caught.value.response.status_code == 401
    assert caught.value.response.headers["WWW-Authenticate"] == "Bearer"
    assert caught.value.response.body == b"who?"

    async def talk() -> None:
        async with asyncio.timeout(TIMEOUT), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(server.url)
            assert caught.value.status == 401
            assert caught.value.headers is not None
            assert caught.value.headers["WWW-Authenticate"] == "Bearer"

    asyncio.run(talk())
    assert server.stats().handshakes_refused == 2


def test_clients_follow_a_redirect(run: Listen) -> None:
    inner = run()
    server = run(on_handshake=lambda _: Response(307, {"Location": inner.url}))
    with websockets_connect(server.url, proxy=None, open_timeout=TIMEOUT) as client:
        client.send("moved")
        assert client.recv(TIMEOUT) == "moved"
    assert inner.stats().clients_opened == 1


def test_accept_adds_headers_and_cookies(run: Listen) -> None:
    lines = [("Set-Cookie", "a=1"), ("X-Name", "J\xfcrgen"), ("Set-Cookie", "b=2; Path=/"), ("Date", "now")]
    server = run(on_handshake=lambda _: Accept(lines))
    with RawClient(server.port) as client:
        head = client.file.readline()
        while not head.endswith(b"\r\n\r\n"):
            head += client.file.readline()
        assert head.startswith(b"HTTP/1.1 101 ")
        ours = "".join(f"{name}: {value}\r\n" for name, value in lines).encode("latin-1")
        assert head.endswith(ours + b"\r\n")
        assert head.lower().count(b"date: ") == 1
        client.send(1, b"x")
        assert client.receive() == (1, b"x")

    async def talk() -> None:
        async with (
            asyncio.timeout(TIMEOUT),
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
            session.ws_connect(server.url) as client,
        ):
            await client.send_str("x")
            assert await client.receive_str() == "x"
            assert {cookie.key: cookie.value for cookie in session.cookie_jar} == {"a": "1", "b": "2"}

    asyncio.run(talk())


@pytest.mark.parametrize("configured", [(), ("b",)])
def test_accept_chooses_a_subprotocol(run: Listen, configured: tuple[str, ...]) -> None:
    choices: dict[str, Accept | None] = {"/a": Accept(subprotocol="a"), "/accept": Accept(), "/none": None}
    names: queue.Queue[str | None] = queue.Queue()
    server = run(
        on_handshake=lambda request: choices[request.path],
        on_connect=lambda client: names.put(client.subprotocol),
        subprotocols=configured,
    )
    for path, expected in {"a": "a", "accept": "b", "none": "b"}.items():
        chosen = expected if expected == "a" or configured else None
        with connect(server.url + path, subprotocols=["b", "a"]) as client:
            assert client.subprotocol == chosen
            assert names.get(timeout=TIMEOUT) == chosen


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (ZeroDivisionError("mine"), ZeroDivisionError, "mine"),
        (True, TypeError, ") returned bool, not None, Accept or Response"),
        ("no", TypeError, ") returned str"),
        ((403, {}), TypeError, ") returned tuple"),
        (Response, TypeError, ") returned type"),
        (
            Accept(subprotocol="c"),
            ValueError,
            "subprotocol='c': on_handshake has chosen what the client does not offer",
        ),
    ],
)
def test_a_failure_is_500_and_reported(
    run: Listen, reported: Reported, answer: object, error: type[Exception], text: str
) -> None:
    def on_handshake(request: Request) -> Any:
        if request.subprotocols != ("a", "b"):
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = run(on_handshake=on_handshake, subprotocols=["a"])
    for number in (1, 2):
        status, headers, body = refused(server, "Sec-WebSocket-Protocol: a, b")
        assert (status, headers["connection"]) == (500, "close")
        assert body == b"the application failed to decide about this request\n"
        raised = reported.get(timeout=TIMEOUT)
        assert isinstance(raised, error)
        assert text in str(raised)
        stats = server.stats()
        assert (stats.callback_errors, stats.handshakes_refused) == (number, number)
    with connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"
