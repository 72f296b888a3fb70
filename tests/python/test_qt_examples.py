"""The examples for Qt: the same clients see the same of them, and the same slots are called, whatever Qt they run on.

Each runs with `echoserver.qt` on the stand-ins and on PySide6, and, with only its imports changed, on PySide6's own
QtWebSockets; where that does something else, and it is not a fault of ours, its lines are beside ours.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import trustme

from qt_examples import EXAMPLES, LONGEST, PATIENCE, Observed
from qt_observed import shown
from qt_variants import BUILTIN, ORIGINAL, PYSIDE6, environment, needs
from support import REQUEST, TIMEOUT, RawClient, finished, frame, program

if TYPE_CHECKING:
    from certificates import Authority

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs the sources"),
    pytest.mark.timeout(180),
]
ALL = pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6, ORIGINAL])
Script = Callable[[Observed], None]


def told(variant: str, script: Script, example: str, *arguments: str, prints: bool = True) -> list[str]:
    """What a program does, and what its clients see, while `script` goes on; with what it prints, or without."""
    needs(variant)
    with Observed(variant, example, *arguments) as observed:
        script(observed)
        return [line for line in observed.said() if prints or not line.startswith("prints ")]


def messages(observed: Observed) -> None:
    """Of all kinds and sizes."""
    with observed.client() as client:
        observed.until("onNewConnection")
        for message in ("héllo 😀", "", "a\0b", b"\x00\xff", b"", "x" * 300_000, bytes(2**20)):
            client.send(message)
            echo = client.recv(PATIENCE)
            observed.until("processTextMessage" if isinstance(message, str) else "processBinaryMessage")
            observed.note("echoes" if echo == message else f"answers {echo!r}")
        client.send(["in ", "three ", "pieces"])
        echo = client.recv(PATIENCE)
        observed.until("processTextMessage")
        observed.note("echoes" if echo == "in three pieces" else f"answers {echo!r}")
    observed.until("socketDisconnected")
    observed.note("closes with", client.protocol.close_code)


@ALL
def test_echoed_messages(variant: str) -> None:
    expected = ["calls onNewConnection()"]
    for message in ("héllo 😀", "", "a\0b", b"\x00\xff", b"", "x" * 300_000, bytes(2**20), "in three pieces"):
        slot, kind = ("processTextMessage", "") if isinstance(message, str) else ("processBinaryMessage", "Binary ")
        call = f"calls {slot}({shown(message)})"
        printed = f"prints {kind}Message received: {message!s}"[:LONGEST]
        expected += [call, "echoes", printed]
    expected += ["calls socketDisconnected()", "closes with 1000"]
    assert told(variant, messages, "echo", "-p", "0", "-d") == expected


def clients(observed: Observed) -> None:
    """That come and go."""
    with observed.client() as first, observed.client() as second:
        observed.until("onNewConnection")
        observed.until("onNewConnection")
        for client, text in ((first, "1"), (second, "2"), (first, "3")):
            client.send(text)
            observed.until("processTextMessage")
            observed.note("echoes", client.recv(PATIENCE))
        pong = second.ping(b"payload")
        observed.note("pong", pong.wait(PATIENCE))
        first.close(3001, "bye")
        observed.until("socketDisconnected")
        observed.note("closes with", first.protocol.close_code, first.protocol.close_reason)
        second.send("4")
        observed.until("processTextMessage")
        observed.note("echoes", second.recv(PATIENCE))
    observed.until("socketDisconnected")
    for how in ("reset", "end"):
        with observed.raw() as vanishing:
            vanishing.opened()
            observed.until("onNewConnection")
            if how == "reset":
                vanishing.reset_at_close()
        observed.until("socketDisconnected")


@ALL
def test_clients_that_come_and_go(variant: str) -> None:
    assert told(variant, clients, "echo", "-p", "0", "-d", prints=False) == [
        "calls onNewConnection()",
        "calls onNewConnection()",
        "calls processTextMessage('1')",
        "echoes 1",
        "calls processTextMessage('2')",
        "echoes 2",
        "calls processTextMessage('3')",
        "echoes 3",
        "pong True",
        "calls socketDisconnected()",
        "closes with 3001 bye",
        "calls processTextMessage('4')",
        "echoes 4",
        "calls socketDisconnected()",
        "calls onNewConnection()",
        "calls socketDisconnected()",
        "calls onNewConnection()",
        "calls socketDisconnected()",
    ]


def violations(observed: Observed) -> None:
    """Each of which fails the connection."""
    for name, data in (
        ("a text that is no UTF-8", frame(1, b"\xff")),
        ("a reserved opcode", frame(3)),
        ("a fragmented ping", frame(9, fin=False)),
        ("a close with a bad code", frame(8, (1005).to_bytes(2))),
    ):
        with observed.raw() as client:
            client.opened()
            observed.until("onNewConnection")
            client.socket.sendall(data)
            observed.note(name, "closes with", client.close_code())
            observed.until("socketDisconnected")


@ALL
def test_violations(variant: str) -> None:
    assert told(variant, violations, "echo", "-p", "0", "-d", prints=False) == [
        line
        for name, code in (
            ("a text that is no UTF-8", 1007),
            ("a reserved opcode", 1002),
            ("a fragmented ping", 1002),
            ("a close with a bad code", 1002),
        )
        for line in ("calls onNewConnection()", f"{name} closes with {code}", "calls socketDisconnected()")
    ]


def differences(observed: Observed) -> None:
    """Where Qt's own server is none to follow; see docs/qt.md."""
    with observed.client() as client:
        observed.until("onNewConnection")
        client.send("\ufeffx")
        observed.note("U+FEFF:", ascii(client.recv(PATIENCE)))
        observed.until("processTextMessage")
    observed.until("socketDisconnected")
    early = RawClient.__new__(RawClient)
    early.socket = socket.create_connection(("127.0.0.1", observed.port), TIMEOUT)
    early.file = early.socket.makefile("rb")
    with early:
        early.socket.sendall(REQUEST + frame(1, b"early"))
        early.opened()
        observed.until("onNewConnection")
        early.send(1, b"late")
        observed.note("in the segment of the request:", early.receive()[1])
        observed.until("processTextMessage")
    observed.until("socketDisconnected")
    with observed.raw() as unmasked:
        unmasked.opened()
        observed.until("onNewConnection")
        unmasked.socket.sendall(b"\x81\x01x")
        opcode, payload = unmasked.receive()
        observed.note("unmasked:", opcode, payload[:2])
    observed.until("socketDisconnected")
    with observed.raw() as late:
        late.opened()
        observed.until("onNewConnection")
        late.socket.sendall(frame(1, b"x"))
        late.socket.shutdown(socket.SHUT_WR)
        try:
            observed.note("a FIN right after a message:", late.receive())
        except EOFError:
            observed.note("a FIN right after a message: no echo")
    observed.until("socketDisconnected")


@ALL
def test_where_qt_is_none_to_follow(variant: str) -> None:
    lines = told(variant, differences, "echo", "-p", "0", "-d", prints=False)
    # Which slots are called is not the same either.
    assert [line for line in lines if not line.startswith("calls")] == (
        [
            "U+FEFF: 'x'",
            "in the segment of the request: b'late'",
            "unmasked: 1 b'x'",
            "a FIN right after a message: no echo",
        ]
        if variant == ORIGINAL
        else [
            r"U+FEFF: '\ufeffx'",
            "in the segment of the request: b'early'",
            f"unmasked: 8 {(1002).to_bytes(2)!r}",
            "a FIN right after a message: (1, b'x')",
        ]
    )


def chat(observed: Observed) -> None:
    """Of three."""
    with observed.client() as first:
        observed.until("tell_others")
        with observed.client() as second:
            observed.until("tell_others")
            observed.note("first hears", first.recv(PATIENCE))
            with observed.client() as third:
                observed.until("tell_others")
                for name, client in (("first", first), ("second", second)):
                    observed.note(name, "hears", client.recv(PATIENCE))
                second.send("hello")
                observed.until("tell_others")
                for name, client in (("first", first), ("third", third)):
                    observed.note(name, "hears", client.recv(PATIENCE))
            observed.until("tell_others")
            for name, client in (("first", first), ("second", second)):
                observed.note(name, "hears", client.recv(PATIENCE))
        observed.until("tell_others")
        observed.note("first hears", first.recv(PATIENCE))
    observed.until("tell_others")


@ALL
def test_a_chat(variant: str) -> None:
    comes = ["calls arrived()", "calls tell_others(QWebSocket, 'is here')"]
    leaves = ["calls left()", "calls tell_others(QWebSocket, 'has left')"]
    assert told(variant, chat, "chat", "0") == [
        *comes,
        *comes,
        "first hears guest 2 is here",
        *comes,
        "first hears guest 3 is here",
        "second hears guest 3 is here",
        "calls said('hello')",
        "calls tell_others(QWebSocket, 'says hello')",
        "first hears guest 2 says hello",
        "third hears guest 2 says hello",
        *leaves,
        "first hears guest 3 has left",
        "second hears guest 3 has left",
        *leaves,
        "first hears guest 2 has left",
        *leaves,
    ]


def subprotocols(observed: Observed) -> None:
    """Those that are offered and agreed, and origins that are admitted or not."""
    offers = (None, ["upper.example"], ["other.example", "lower.example", "upper.example"], ["other.example"])
    for offer in offers:
        with observed.client(subprotocols=offer, origin="http://localhost:8000") as client:
            observed.until("arrived")
            client.send("Text")
            observed.until("answer")
            observed.note(client.subprotocol, client.recv(PATIENCE))
        observed.until("left")
    with observed.raw() as client:
        observed.note("without an origin:", client.status())
        observed.until("arrived")
    observed.until("left")
    with observed.raw("Origin: https://site.example") as client:
        observed.note("of another site:", client.status())
    observed.until("decide")


@ALL
def test_subprotocols_and_origins(variant: str) -> None:
    which = "which of upper.example, lower.example?"
    answers = (("None", which), ("upper.example", "TEXT"), ("lower.example", "text"), ("None", which))
    decides, arrived, left = "calls decide(QWebSocketCorsAuthenticator)", "calls arrived()", "calls left()"
    asked = [[decides, arrived, "calls answer('Text')", f"{name} {text}", left] for name, text in answers]
    assert told(variant, subprotocols, "subprotocols", "0") == [
        *(line for lines in asked for line in lines),
        "without an origin: 101",
        decides,
        arrived,
        left,
        "of another site: 403",
        decides,
    ]


@pytest.mark.parametrize("variant", [PYSIDE6, ORIGINAL])
def test_tls(variant: str, authority: Authority) -> None:
    certfile, keyfile = authority.issue("server", key_type=trustme.KeyType.RSA)

    def script(observed: Observed) -> None:
        with observed.client(ssl=authority.context(), scheme="wss") as client:
            observed.until("arrived")
            for message in ("text", b"bytes"):
                client.send(message)
                observed.note(repr(client.recv(PATIENCE)))
                observed.until("echo_text" if message == "text" else "echo_binary")
        observed.until("left")

    assert told(variant, script, "sslecho", str(certfile), str(keyfile), "0") == [
        "calls arrived()",
        "'text'",
        "calls echo_text('text')",
        "b'bytes'",
        "calls echo_binary(b'bytes')",
        "calls left()",
    ]


def test_tls_on_the_stand_ins_says_what_it_needs() -> None:
    command = [sys.executable, str(EXAMPLES / "sslecho.py"), "cert.pem", "key.pem", "0"]
    status, _, err = finished(program(*command, env=environment(BUILTIN)))
    assert status == 1
    assert "ImportError: QtNetwork has no 'QSsl': without PySide6" in err.splitlines()[-1]
