"""What type checkers make of a program that uses everything: `make check` checks this file, and here it is executed."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, assert_type

import pytest

from echoserver import (
    NO_REPLY,
    TLS,
    Accept,
    BindError,
    Client,
    ClientClosed,
    EchoServer,
    EchoServerError,
    NoReply,
    OnText,
    Reply,
    Request,
    Response,
    SendQueueFull,
    Stats,
    TLSInfo,
)
from support import TIMEOUT, connect


def on_text(client: Client, message: str) -> str | None:
    assert_type(client.id, int)
    assert_type(client.peer, tuple[str, int])
    assert_type(client.path, str)
    assert_type(client.query, str)
    headers: Mapping[str, str] = client.headers
    assert_type(headers["host"], str)
    assert_type(client.raw_headers, list[tuple[str, str]])
    assert_type(client.origin, str | None)
    assert_type(client.subprotocol, str | None)
    assert_type(client.is_open, bool)
    assert_type(client.close_code, int | None)
    assert_type(client.close_reason, str | None)
    assert_type(client.rtt, float | None)
    assert_type(client.send(message), int)
    client.send(memoryview(b"binary"))
    client.flush()
    client.flush(timeout=TIMEOUT)
    client.ping()
    client.ping(b"payload")
    client.mine = "anything"
    assert_type(client.__dict__, dict[str, Any])
    return message.upper() if message else None


def on_handshake(request: Request) -> Accept | Response | None:
    assert_type(request.method, str)
    assert_type(request.path, str)
    assert_type(request.query, str)
    headers: Mapping[str, str] = request.headers
    assert_type(headers["host"], str)
    assert_type(request.raw_headers, list[tuple[str, str]])
    assert_type(request.origin, str | None)
    assert_type(request.subprotocols, tuple[str, ...])
    assert_type(request.peer, tuple[str, int])
    refusal = Response(403, [("A", "b"), ("A", "c")], "no")
    assert_type(refusal.status, int)
    assert_type(refusal.headers, tuple[tuple[str, str], ...])
    assert_type(refusal.body, bytes)
    accept = Accept({"A": "b"}, subprotocol=None)
    assert_type(accept.subprotocol, str | None)
    assert_type(accept.headers, tuple[tuple[str, str], ...])
    return refusal if request.query else accept


class Shop(EchoServer):
    """Callbacks as methods, with replies of every kind."""

    def __init__(self, greeting: str) -> None:
        super().__init__(0, True, self, host="127.0.0.1", subprotocols=["chat"], origins=[None, "null"], ping_timeout=5)
        self.greeting = greeting

    def on_handshake(self, request: Request) -> Response | None:
        return None if request.path == "/" else Response(404)

    def on_connect(self, client: Client) -> None:
        client.send(self.greeting)

    def on_binary(self, client: Client, message: bytes) -> Reply:
        return NO_REPLY if client.is_open else message

    def on_disconnect(self, client: Client) -> None:
        assert client.close_code is not None


def test_a_typed_program_runs() -> None:
    with EchoServer(
        0,
        host="127.0.0.1",
        on_handshake=on_handshake,
        on_text=on_text,
        on_binary=lambda _, data: bytearray(data),
    ) as server:
        assert_type(server, EchoServer)
        assert_type(server.port, int)
        assert_type(server.address, tuple[str, int])
        assert_type(server.url, str)
        assert_type(server.is_serving, bool)
        assert_type(server.debug, bool)
        assert_type(server.clients, tuple[Client, ...])
        assert_type(server.stats(), Stats)
        assert_type(server.stats().messages_sent, int)
        with connect(server.url) as client:
            client.send("typed")
            assert [client.recv(TIMEOUT) for _ in range(3)] == ["typed", b"binary", "TYPED"]
            assert_type(server.broadcast(b"x", exclude=server.clients), int)
    assert_type(server.stop(1.5), None)
    assert_type(server.wait_closed(1), None)
    assert_type(server.parent, object)


def test_a_typed_subclass_runs() -> None:
    with Shop("welcome") as shop:
        assert_type(shop, Shop)
        with connect(shop.url) as client:
            assert client.recv(TIMEOUT) == "welcome"
            client.send(b"no reply")


def test_a_typed_program_with_tls_runs() -> None:
    def on_connect(client: Client) -> None:
        assert_type(client.tls, TLSInfo | None)
        assert client.tls is not None
        assert_type(client.tls.version, str)
        assert_type(client.tls.cipher, str)
        assert_type(client.tls.server_name, str | None)
        assert_type(client.tls.alpn, str | None)
        assert_type(client.tls.peer_subject, str | None)
        assert_type(client.tls.peer_certificate, bytes | None)

    files = TLS("cert.pem", Path("key.pem"), b"password", client_ca="ca.pem", min_version="1.3")
    assert_type(files.certfile, str)
    assert_type(files.client_ca, str | None)
    with EchoServer(0, host="127.0.0.1", tls="self-signed", on_connect=on_connect) as server:
        assert_type(server.ca_pem, str | None)
        assert_type(server.ssl_context(), ssl.SSLContext)
        assert_type(server.reload_tls(), None)
        assert_type(server.stats().tls_failures, int)
        with connect(server.url, ssl=server.ssl_context()) as client:
            client.send(b"typed")
            assert client.recv(TIMEOUT) == b"typed"
    assert server.stats().callback_errors == 0


def test_exceptions_are_typed() -> None:
    try:
        EchoServer(0, host="no-such-host.invalid")
    except BindError as error:
        number: int | None = error.errno
        assert number is None or number != 0
    for error_type in (SendQueueFull, ClientClosed, BindError):
        base: type[EchoServerError] = error_type
        assert issubclass(base, Exception)


WRONG = """
from echoserver import Accept, Client, EchoServer, Response
EchoServer("1234")
EchoServer(0, on_text=lambda client: None)
EchoServer(0, on_text=lambda client, message: 5)
EchoServer(0, on_binary=5)
EchoServer(0, max_connections="many")
EchoServer(0).port = 5
Client().send(5)
EchoServer(0).stats().nothing
EchoServer(0, on_handshake=lambda request: 403)
Response(403, {"a": 5})
Accept(5)
from echoserver import OnTxt
class Wrong(EchoServer):
    def on_text(self, message: str) -> str: return message
    def on_binary(self, client: Client, message: bytes) -> int: return 5
    async def on_handshake(self, client: Client) -> None: ...
    async def on_connect(self) -> None: ...
Wrong().on_text = 5
Wrong().on_txt = lambda client, message: message
Wrong().on_error = lambda error: None
EchoServer(0, on_txt=lambda client, message: message)
EchoServer(0).on_text = lambda client, message: message.upper()
EchoServer(0).echo = "off"
"""
# Lines of it without a mistake.
RIGHT = {1, 2, 15, 24}


MYPY = ["-m", "mypy", "--strict"]
PYRIGHT = ["-m", "pyright", "--pythonpath", sys.executable]


@pytest.mark.parametrize("checker", [MYPY, PYRIGHT], ids=["mypy", "pyright"])
def test_mistakes_are_found(checker: list[str], tmp_path: Path) -> None:
    if find_spec(checker[1]) is None:
        pytest.skip(f"{checker[1]} is not installed here")
    file = tmp_path / "wrong.py"
    file.write_text(WRONG)
    command = [sys.executable, *checker, str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    if "nodeenv failed" in result.stderr:
        pytest.skip("NOT TESTED WITH PYRIGHT: there is no node here, and none could be downloaded")
    errors = re.findall(r"wrong\.py:(\d+):(?:\d+)? (?:- )?error", result.stdout)
    assert set(map(int, errors)) == set(range(1, len(WRONG.splitlines()) + 1)) - RIGHT, result.stdout


def test_types_of_callbacks_can_be_imported_and_used() -> None:
    def shout(_client: Client, message: str) -> Reply:
        return NO_REPLY if message == "" else message.upper()

    text: OnText = shout
    with EchoServer(0, host="127.0.0.1", on_text=text) as server, connect(server.url) as client:
        client.send("a")
        assert client.recv(TIMEOUT) == "A"
    assert isinstance(NO_REPLY, NoReply)
