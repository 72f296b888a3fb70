"""A program for Qt that asks server and sockets for everything they know, and tells each signal, from beginning to end.

    python qt_asking.py       for test_qt_asking.py, with clients

What a client says in text is done: "ping", "close", "abort"; everything else is sent back.
"""

import signal
import sys
from typing import Any

from echoserver.qt.QtCore import QByteArray, QCoreApplication, QObject, Slot
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketProtocol, QWebSocketServer

SIGNALS = [
    "textFrameReceived",
    "textMessageReceived",
    "binaryFrameReceived",
    "binaryMessageReceived",
    "aboutToClose",
    "stateChanged",
    "errorOccurred",
    "readChannelFinished",
]
SERVER = [
    "isListening",
    "serverAddress",
    "error",
    "errorString",
    "maxPendingConnections",
    "handshakeTimeout",
    "handshakeTimeoutMS",
    "supportedSubprotocols",
    "supportedVersions",
    "secureMode",
    "hasPendingConnections",
    "serverName",
]
SOCKET = [
    "state",
    "isValid",
    "closeCode",
    "closeReason",
    "bytesToWrite",
    "flush",
    "peerName",
    "peerAddress",
    "localAddress",
    "origin",
    "subprotocol",
    "version",
    "maxAllowedIncomingFrameSize",
    "maxAllowedIncomingMessageSize",
    "outgoingFrameSize",
    "readBufferSize",
]


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, QHostAddress):
        return value.toString()
    if isinstance(value, QByteArray):
        return bytes(value)
    return getattr(value, "name", None) or getattr(value, "value", value)


class Program(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.server = QWebSocketServer("Asking", QWebSocketServer.SslMode.NonSecureMode, self)
        before = self._asked(self.server, SERVER)
        nothing = (self.server.serverPort(), self.server.socketDescriptor(), self.server.nextPendingConnection())
        listens = self.server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost), 0)
        self.port = self.server.serverPort()
        print("port", self.port)
        print("before:", before, nothing, listens)
        print("twice:", self.server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost), 0))
        self.server.setMaxPendingConnections(5)
        self.server.setHandshakeTimeout(20000)
        self.server.setSupportedSubprotocols(["a", "b"])
        self.server.setServerName("Other")
        print(
            "set:",
            self._asked(self.server, SERVER),
            self.server.socketDescriptor() > 2,
            self._without_port(self.server.serverUrl().toString()),
        )
        print(
            "most:",
            QWebSocket.maxIncomingFrameSize(),
            QWebSocket.maxIncomingMessageSize(),
            QWebSocket.maxOutgoingFrameSize(),
        )
        print("taken:", self.server.setSocketDescriptor(-1), QWebSocketProtocol.Version.VersionLatest.value)
        self.server.originAuthenticationRequired.connect(lambda asked: print("asked:", asked.origin(), asked.allowed()))
        for name in ("acceptError", "sslErrors", "peerVerifyError"):
            getattr(self.server, name).connect(lambda error, name=name: print(name, error))
        self.server.newConnection.connect(self.arrived)
        self.server.serverError.connect(lambda code: print("serverError", _shown(code)))
        self.server.closed.connect(self.ended)
        self.sockets: list[QWebSocket] = []

    def _without_port(self, text: str) -> str:
        return text.replace(str(self.port), "PORT")

    def _asked(self, thing: Any, names: list[str]) -> dict[str, Any]:
        return {name: _shown(getattr(thing, name)()) for name in names}

    @Slot()
    def arrived(self) -> None:
        print("pending:", self.server.hasPendingConnections())
        socket: Any = self.server.nextPendingConnection()
        print("pending:", self.server.hasPendingConnections(), self.server.nextPendingConnection(), socket.parent())
        self.sockets.append(socket)
        print("socket:", self._asked(socket, SOCKET))
        print("ports:", socket.localPort() == self.port, socket.peerPort() > 0)
        print("url:", self._without_port(socket.requestUrl().toString()), self._without_port(socket.resourceName()))
        request = socket.request()
        print(
            "request:",
            bytes(request.rawHeader("X-Test")),
            self._without_port(request.url().toString()),
            socket.handshakeOptions().subprotocols(),
        )
        socket.setMaxAllowedIncomingFrameSize(1000)
        socket.setMaxAllowedIncomingMessageSize(2000)
        socket.setOutgoingFrameSize(10)
        socket.setReadBufferSize(5)
        print("set:", {name: value for name, value in self._asked(socket, SOCKET).items() if "Size" in name})
        socket.setMaxAllowedIncomingFrameSize(2**31 - 1)
        print("out of range:", socket.maxAllowedIncomingFrameSize())
        for name in SIGNALS:
            getattr(socket, name).connect(lambda *arguments, name=name: print(name, *map(_shown, arguments)))
        socket.pong.connect(self.ponged)
        socket.textMessageReceived.connect(self.told)
        socket.binaryMessageReceived.connect(self.given)
        socket.disconnected.connect(self.left)

    @Slot(str)
    def told(self, text: str) -> None:
        socket: Any = self.sender()
        if text == "ping":
            socket.ping(b"payload")
        elif text == "close":
            socket.close(QWebSocketProtocol.CloseCode.CloseCodePolicyViolated, "because")
            print("closing:", socket.sendTextMessage("x"))
        elif text == "abort":
            socket.abort()
            print("aborted:", socket.sendTextMessage("x"))
        elif text == "server":
            self.server.pauseAccepting()
            self.server.resumeAccepting()
            self.server.close()
            print("closed?", self._asked(self.server, SERVER), self.server.serverPort())
            socket.sendTextMessage("closed")
        else:
            print("sent:", socket.sendTextMessage(text))

    @Slot(QByteArray)
    def given(self, data: QByteArray) -> None:
        socket: Any = self.sender()
        print("sent:", socket.sendBinaryMessage(data))

    # No decorator: the time is of a type that Python has no name for.
    def ponged(self, elapsed: int, payload: QByteArray) -> None:
        print("pong", elapsed >= 0, bytes(payload))

    @Slot()
    def ended(self) -> None:
        pass

    @Slot()
    def left(self) -> None:
        socket: Any = self.sender()
        self.sockets.remove(socket)
        print("left:", self._asked(socket, SOCKET), socket.peerPort())
        socket.deleteLater()


if __name__ == "__main__":
    app = QCoreApplication(sys.argv)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    program = Program()
    sys.exit(app.exec())
