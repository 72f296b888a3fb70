"""The members of Qt's WebSocket classes that matter to a server, and what echoserver.qt has of each.

    python tests/python/qt_members.py                writes docs/qt-members.md
    python tests/python/qt_members.py --print        prints it, with what it is made of, as JSON

One that is there has to be used by a test; every other one has to be refused with a sentence.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echoserver.qt import QtCore, QtNetwork, QtWebSockets

__all__ = ["MEMBERS", "Row", "listing", "rows"]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "qt-members.md"

# Those that matter to a server, or to server and client, as PySide6 has them.
MEMBERS = {
    "QWebSocketServer": """
        SslMode listen close isListening serverPort serverAddress serverUrl hasPendingConnections nextPendingConnection
        maxPendingConnections setMaxPendingConnections handshakeTimeout handshakeTimeoutMS setHandshakeTimeout
        pauseAccepting resumeAccepting error errorString serverName setServerName supportedSubprotocols
        setSupportedSubprotocols supportedVersions secureMode sslConfiguration setSslConfiguration socketDescriptor
        setSocketDescriptor newConnection closed serverError acceptError originAuthenticationRequired sslErrors
        sslErrorsOccurred peerVerifyError preSharedKeyAuthenticationRequired alertSent alertReceived
        handshakeInterruptedOnError""",
    "QWebSocket": """
        close abort sendTextMessage sendBinaryMessage ping flush bytesToWrite state isValid closeCode closeReason
        errorString peerAddress peerPort localAddress localPort origin requestUrl request handshakeOptions subprotocol
        version resourceName maxAllowedIncomingFrameSize setMaxAllowedIncomingFrameSize maxAllowedIncomingMessageSize
        setMaxAllowedIncomingMessageSize maxIncomingFrameSize maxIncomingMessageSize maxOutgoingFrameSize
        outgoingFrameSize setOutgoingFrameSize readBufferSize setReadBufferSize sslConfiguration textMessageReceived
        binaryMessageReceived textFrameReceived binaryFrameReceived disconnected aboutToClose stateChanged
        errorOccurred pong bytesWritten readChannelFinished""",
    "QWebSocketCorsAuthenticator": "origin allowed setAllowed",
    "QWebSocketProtocol": "CloseCode Version",
    "QHostAddress": "SpecialAddress toString",
    "QAbstractSocket": "SocketState SocketError",
}


@dataclass(frozen=True)
class Row:
    """A member: that it is there, with the files of tests that use it; or the sentence that refuses it."""

    owner: str
    member: str
    tests: tuple[str, ...]
    refusal: str

    def __str__(self) -> str:
        return f"| `{self.owner}.{self.member}` | {self.refusal or 'present'} |"


def rows() -> list[Row]:
    """All of them, for the Qt of this process."""
    places = ("tests/python/test_qt_*.py", "tests/python/qt_*.py", "docs/examples/qt/*.py")
    files = [file for place in places for file in sorted(ROOT.glob(place))]
    texts = {file.name: file.read_text(encoding="utf-8") for file in files if file.name != Path(__file__).name}
    found = []
    for owner, members in MEMBERS.items():
        kind = next(getattr(each, owner) for each in (QtWebSockets, QtNetwork, QtCore) if hasattr(each, owner))
        for member in members.split():
            tests = tuple(name for name, text in texts.items() if re.search(rf"[.\"]{member}\b", text))
            found.append(Row(owner, member, tests, refusal(kind, member)))
    return found


def refusal(kind: Any, member: str) -> str:
    """What is said when it is asked for; "" if it is there."""
    if hasattr(kind, member):
        return ""
    # This asks for nothing but the name.
    made = kind.__new__(kind)
    if isinstance(made, QtCore.QObject):
        QtCore.QObject.__init__(made)
    try:
        getattr(made, member)
    except AttributeError as error:
        return str(error)
    return ""


def listing() -> str:
    """The document."""
    return "\n".join([
        "# The members of Qt's WebSocket classes",
        "",
        "Those that matter to a server: whether `echoserver.qt` has them, or what it says instead.",
        "Made by `tests/python/qt_members.py`; a test fails when it is not so any more, or no test uses what is there.",
        "",
        "| member | |",
        "| --- | --- |",
        *map(str, rows()),
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        json.dump({"listing": listing(), "rows": [asdict(row) for row in rows()]}, sys.stdout)
    else:
        DOCUMENT.write_text(listing(), encoding="utf-8")
