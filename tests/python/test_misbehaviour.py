"""All that a test server can do against the rules, or instead of an answer, as bytes on a socket or an event of TCP.

Each has a check that its bytes came, and each check is tried on a server without the action, too: there it fails.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from echoserver.testing import (
    Accept,
    BadAccept,
    Delay,
    EchoTestServer,
    Hang,
    Reset,
    Response,
    WrongExtension,
    WrongSubprotocol,
    violations,
)
from echoserver.testing.handshakes import Handshake
from support import RawClient, eventually

# What answers the key of a RawClient (RFC 6455 section 4.2.2).
GOOD_ACCEPT = "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
# The echo of what the client says, and of its close.
ANSWERS = b"\x81\x0bstill there\x88\x02\x03\xe8"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@dataclass
class Row:
    """An answer to a handshake, and what comes of it."""

    handshake: Handshake
    check: Callable[[EchoTestServer, RawClient], None]
    lines: tuple[str, ...] = ()


def field(name: str, value: str | None, status: int = 101) -> Callable[[EchoTestServer, RawClient], None]:
    def check(_server: EchoTestServer, raw: RawClient) -> None:
        assert raw.status() == status
        assert raw.headers.get(name) == value

    return check


def refusal(_server: EchoTestServer, raw: RawClient) -> None:
    assert raw.status() == 503
    assert raw.headers["retry-after"] == "2"
    assert raw.file.read() == b"later"


def nothing(server: EchoTestServer, raw: RawClient) -> None:
    with RawClient(server.port, path="/another") as another:
        # It came after it, and has its answer.
        another.opened()
    assert not select.select([raw.socket], [], [], 0)[0]
    assert server.requests[0].status is None


def reset(_server: EchoTestServer, raw: RawClient) -> None:
    try:
        data = raw.socket.recv(1)
    except ConnectionResetError:
        return
    raise AssertionError(data)


def bad_accept(_server: EchoTestServer, raw: RawClient) -> None:
    assert raw.status() == 101
    accept = raw.headers["sec-websocket-accept"]
    assert accept != GOOD_ACCEPT
    assert re.fullmatch(r"[A-Za-z0-9+/]{27}=", accept)


ROWS = [
    Row(Response(503, {"Retry-After": "2"}, "later"), refusal),
    Row(Response(302, {"Location": "/other"}), field("location", "/other", 302)),
    Row(Accept({"X-Room": "7"}), field("x-room", "7")),
    Row(Accept(subprotocol="b"), field("sec-websocket-protocol", "b"), ("Sec-WebSocket-Protocol: a, b",)),
    Row(Delay(0.01, Response(429)), field("x-none", None, 429)),
    Row(Delay(600), nothing),
    Row(Hang(), nothing),
    Row(Reset(), reset),
    Row(BadAccept(), bad_accept),
    Row(WrongSubprotocol(), field("sec-websocket-protocol", "not-offered"), ("Sec-WebSocket-Protocol: a",)),
    Row(WrongSubprotocol("b"), field("sec-websocket-protocol", "b")),
    Row(WrongExtension(), field("sec-websocket-extensions", "x-not-offered")),
    Row(WrongExtension("b; c=1"), field("sec-websocket-extensions", "b; c=1"), (DEFLATE,)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: repr(row.handshake))
def test_an_answer_is_these_bytes(row: Row) -> None:
    with EchoTestServer(subprotocols=["a"], compression="deflate") as server:
        server.handshakes.append(row.handshake)
        with RawClient(server.port, *row.lines) as raw:
            eventually(lambda: not server.handshakes)
            row.check(server, raw)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: repr(row.handshake))
def test_without_it_that_fails(row: Row) -> None:
    with (
        EchoTestServer(subprotocols=["a"], compression="deflate") as server,
        RawClient(server.port, *row.lines) as raw,
    ):
        server.wait_until(lambda: server.requests)
        with pytest.raises(AssertionError):
            row.check(server, raw)
        # For that reason alone.
        assert server.requests[0].status == 101


def test_every_kind_of_answer_has_a_row() -> None:
    assert {type(row.handshake) for row in ROWS} == set(get_args(Handshake))


def talk(name: str, *, acts: bool) -> bytes:
    """What a client gets that goes on, whatever it is."""
    violation = violations[name]
    lines = (DEFLATE,) if violation.compression else ()
    compression: Any = "deflate" if violation.compression else None
    with EchoTestServer(compression=compression) as server, RawClient(server.port, *lines).opened() as raw:
        client = server.accept()
        assert bool(client.extensions) is violation.compression
        if acts:
            assert client.send_raw(violation.data) == len(violation.data)
        raw.send(1, b"still there")
        raw.send(8, b"\x03\xe8")
        return raw.file.read()


def check(name: str, got: bytes) -> None:
    assert got == violations[name].data + ANSWERS


@pytest.mark.parametrize("name", violations)
def test_a_violation_is_these_bytes(name: str) -> None:
    assert re.fullmatch(r"[57]\.\d(\.\d)?|8\.1|RFC 7692 \d(\.\d)*", violations[name].section)
    check(name, talk(name, acts=True))


@pytest.mark.parametrize("name", violations)
def test_without_it_that_fails_as_well(name: str) -> None:
    got = talk(name, acts=False)
    with pytest.raises(AssertionError):
        check(name, got)
    # For that reason alone.
    assert got == ANSWERS
