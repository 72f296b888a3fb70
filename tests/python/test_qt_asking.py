"""What server and sockets know at each moment, and which signals come, in which order: the same on each Qt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qt_examples import PATIENCE, Observed
from qt_variants import BUILTIN, PYSIDE6, environment, needs
from support import finished, frame, python

PROGRAM = Path(__file__).with_name("qt_asking")
# What it has to be; read it before you change it.
EXPECTED = PROGRAM.with_suffix(".txt")

pytestmark = pytest.mark.timeout(180)


def talk(observed: Observed) -> None:
    """All that it tells of."""
    headers = {"X-Test": "one"}
    with observed.client(
        origin="http://site.example", subprotocols=["c", "b", "a"], additional_headers=headers
    ) as client:
        observed.until("arrived")
        client.send("héé")
        observed.note("echo:", client.recv(PATIENCE))
        observed.until("told")
        client.send(b"bytes")
        observed.note("echo:", client.recv(PATIENCE))
        observed.until("given")
        client.send("ping")
        observed.until("told")
        observed.until("ponged")
        client.send("after the pong")
        observed.note("echo:", client.recv(PATIENCE))
        observed.until("told")
        client.send("close")
        observed.until("left")
    observed.note("closed with", client.protocol.close_code, client.protocol.close_reason)
    ends(observed)


def ends(observed: Observed) -> None:
    """The ways in which a connection ends."""
    for code, reason in ((3000, "own"), (4999, ""), (1001, "away")):
        with observed.client() as client:
            observed.until("arrived")
            client.close(code, reason)
            observed.until("left")
    with observed.client() as client:
        observed.until("arrived")
        client.send("x" * 1001)
        observed.until("left")
    observed.note("too long:", client.protocol.close_code)
    with observed.client() as client:
        observed.until("arrived")
        client.send("abort")
        observed.until("left")
    with observed.raw() as vanishing:
        vanishing.opened()
        observed.until("arrived")
    observed.until("left")
    with observed.raw() as silent:
        silent.opened()
        observed.until("arrived")
        silent.socket.sendall(frame(8))
        observed.until("left")
    with observed.client() as client:
        observed.until("arrived")
        client.send("server")
        observed.note("server:", client.recv(PATIENCE))
        observed.until("told")
        observed.until("ended")
        client.send("still here")
        observed.note("echo:", client.recv(PATIENCE))
        observed.until("told")
    observed.until("left")


def test_tls_classes_are_refused_with_a_sentence() -> None:
    code = """
from echoserver.qt.QtWebSockets import QWebSocketServer
server = QWebSocketServer("", QWebSocketServer.SslMode.SecureMode)
try:
    server.sslConfiguration()
except AttributeError as error:
    print(error)
"""
    status, out, err = finished(python(code, env=environment(BUILTIN)), PATIENCE)
    assert (status, err) == (0, "")
    assert out.startswith("QtNetwork has no 'QSslConfiguration': without PySide6, ")


@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
def test_all_that_can_be_asked(variant: str) -> None:
    needs(variant)
    with Observed(variant, str(PROGRAM)) as observed:
        talk(observed)
        # The last number is the client's port.
        lines = [
            re.sub(r"\} \d{2,}$", "} PEER", line) for line in observed.said() if line != "prints readChannelFinished"
        ]
    assert lines == EXPECTED.read_text(encoding="utf-8").splitlines()
