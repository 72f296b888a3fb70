"""EchoServer in Qt's shape: the class of Qt's WebSocket echo server, with its names."""

from __future__ import annotations

from echoserver.qt._emitting import emitting
from echoserver.qt.QtCore import QByteArray, QObject, Signal, Slot
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketServer

__all__ = ["EchoServer"]


class EchoServer(QObject):
    """The echo server of Qt's example: listens in its constructor, and echoes while the event loop runs.

        app = QCoreApplication(sys.argv)
        server = EchoServer(1234, True)
        server.closed.connect(app.quit)
        sys.exit(app.exec())

    - `port`: 0 to 65535, on IPv4 and IPv6; 0 takes a free one.
    - `debug`: whether to print the example's lines to `sys.stdout`: the port, each message, each disconnect.
    - `parent`: the QObject that it is deleted with.

    Subclasses override `onNewConnection`, `processTextMessage`, `processBinaryMessage` and `socketDisconnected`, in
    which `sender()` is the socket. `m_clients` are the open ones. Deleting it ends them with 1001.

    Raises OSError, with `errno` and a sentence, if the port can't be listened on, where Qt's is silent and serves
    nobody; OverflowError and TypeError for what is no port.
    """

    closed = Signal()
    """`m_pWebSocketServer` has stopped listening."""

    def __init__(self, port: int = 1234, debug: bool = False, parent: QObject | None = None) -> None:
        """Listens."""
        super().__init__(parent)
        self.m_debug = debug
        self.m_clients: list[QWebSocket] = []
        self.m_pWebSocketServer = QWebSocketServer("Echo Server", QWebSocketServer.SslMode.NonSecureMode, self)
        self.m_pWebSocketServer._notes_messages = True
        if not self.m_pWebSocketServer.listen(QHostAddress(QHostAddress.SpecialAddress.Any), port):
            # Nobody gets this object, so the parent is not to have it either.
            self.setParent(None)
            raise self.m_pWebSocketServer._failure or OSError(self.m_pWebSocketServer.errorString())
        if self.m_debug:
            print("Echoserver listening on port", self.m_pWebSocketServer.serverPort())
        self.m_pWebSocketServer.newConnection.connect(self.onNewConnection)
        self.m_pWebSocketServer.closed.connect(self.closed)

    def sender(self) -> QObject | None:
        """Whose signal has called the slot that runs; also in a method that overrides one, where PySide6 says None."""
        return super().sender() or emitting()

    @Slot()
    def onNewConnection(self) -> None:
        """A client has come: takes it and connects its signals to the slots."""
        socket = self.m_pWebSocketServer.nextPendingConnection()
        if socket is None:
            return
        socket.textMessageReceived.connect(self.processTextMessage)
        socket.binaryMessageReceived.connect(self.processBinaryMessage)
        socket.disconnected.connect(self.socketDisconnected)
        self.m_clients.append(socket)

    @Slot(str)
    def processTextMessage(self, message: str) -> None:
        """A text message: sends it back."""
        if self.m_debug:
            print("Message received:", message)
        client = self.sender()
        if isinstance(client, QWebSocket):
            client.sendTextMessage(message)

    @Slot(QByteArray)
    def processBinaryMessage(self, message: QByteArray) -> None:
        """A binary message: sends it back."""
        if self.m_debug:
            print("Binary Message received:", message)
        client = self.sender()
        if isinstance(client, QWebSocket):
            client.sendBinaryMessage(message)

    @Slot()
    def socketDisconnected(self) -> None:
        """A client is gone: forgets it."""
        client = self.sender()
        if self.m_debug:
            print("socketDisconnected:", client)
        if isinstance(client, QWebSocket):
            if client in self.m_clients:
                self.m_clients.remove(client)
            client.deleteLater()
