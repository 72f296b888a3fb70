"""The members of Qt's WebSocket classes that matter to a server, and what echoserver.qt has of each.

    python tests/python/qt_members.py                writes docs/qt-members.md
    python tests/python/qt_members.py --print        prints it, with what it is made of, as JSON
    python tests/python/qt_members.py --others       what else PySide6 has there, and what is said of it, as JSON

The name of one that is there has to occur as an attribute in a test, whatever its object is there; every other one has
to be refused with a sentence.
"""

from __future__ import annotations

import importlib
import inspect
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
        error errorString peerAddress peerPort localAddress localPort origin requestUrl request handshakeOptions
        subprotocol version resourceName maxAllowedIncomingFrameSize setMaxAllowedIncomingFrameSize
        maxAllowedIncomingMessageSize setMaxAllowedIncomingMessageSize maxIncomingFrameSize maxIncomingMessageSize
        maxOutgoingFrameSize outgoingFrameSize setOutgoingFrameSize readBufferSize setReadBufferSize sslConfiguration
        textMessageReceived binaryMessageReceived textFrameReceived binaryFrameReceived disconnected aboutToClose
        stateChanged errorOccurred pong bytesWritten readChannelFinished""",
    "QWebSocketCorsAuthenticator": "origin allowed setAllowed swap",
    "QWebSocketHandshakeOptions": "subprotocols setSubprotocols swap",
    "QWebSocketProtocol": "CloseCode Version",
    "QHostAddress": "SpecialAddress toString",
    "QAbstractSocket": "SocketState SocketError",
}


@dataclass(frozen=True)
class Row:
    """A member: what it does, with the files of tests that use it; or the sentence that refuses it."""

    owner: str
    member: str
    tests: tuple[str, ...]
    does: str
    refusal: str

    def __str__(self) -> str:
        return f"| `{self.owner}.{self.member}` | {self.refusal or self.does} |"


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
            found.append(Row(owner, member, tests, does(kind, member), refusal(kind, member)))
    return found


def does(kind: Any, member: str) -> str:
    """What its documentation begins with, if it is ours and has some."""
    method = inspect.getattr_static(kind, member, None)
    text = inspect.getdoc(getattr(kind, member)) if isinstance(method, staticmethod) or callable(method) else None
    is_ours = kind.__module__.startswith("echoserver.qt.") and ".builtin." not in kind.__module__
    return f"present: {text.splitlines()[0]}" if text and is_ours and not isinstance(method, type) else "present"


def others() -> list[Row]:
    """What PySide6's own classes have beside that: what is said of each when it is asked for."""
    original = importlib.import_module("PySide6.QtWebSockets")
    found = []
    for owner, members in MEMBERS.items():
        kind, own = getattr(original, owner, None), getattr(QtWebSockets, owner, None)
        for member in sorted(set(dir(kind)) - set(dir(QtCore.QObject)) - set(members.split())) if kind else ():
            if member.startswith("__"):
                # What Python's own functions ask for, such as `copy.copy()`.
                continue
            found.append(Row(owner, member, (), "", refusal(own, member)))
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
        "Those that matter to a server: what they do in `echoserver.qt`, or what it says instead.",
        "Made by `tests/python/qt_members.py`; a test fails when it is not so any more, or no test names a member.",
        "",
        "| member | |",
        "| --- | --- |",
        *map(str, rows()),
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        json.dump({"listing": listing(), "rows": [asdict(row) for row in rows()]}, sys.stdout)
    elif sys.argv[1:] == ["--others"]:
        json.dump([asdict(row) for row in others()], sys.stdout)
    else:
        DOCUMENT.write_text(listing(), encoding="utf-8")
