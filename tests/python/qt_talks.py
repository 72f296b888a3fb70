"""What scripts about servers need: clients in threads, and an event loop here until they are done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from websockets.sync.client import ClientConnection, connect

from echoserver.qt.QtCore import QCoreApplication, QEventLoop, QObject, QTimer, Signal
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketServer

__all__ = ["Echo", "client", "listening", "meanwhile", "once", "url"]

LIMIT = 60


_kept: list[QWebSocketServer] = []


class _Ended(QObject):
    done = Signal()


def meanwhile(*works: Callable[[], object]) -> list[Any]:
    """Runs each in a thread of its own, and an event loop here until all have ended; what they have returned."""
    loop, ended = QEventLoop(), _Ended()
    ended.done.connect(loop.quit)
    results: list[Any] = [None] * len(works)
    left = threading.Semaphore(0)

    def run(index: int, work: Callable[[], object]) -> None:
        try:
            results[index] = work()
        except Exception as error:  # It is what the script says then.
            results[index] = f"{type(error).__name__}: {error}"
        finally:
            left.release()

    def wait() -> None:
        for _ in works:
            left.acquire()
        ended.done.emit()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    threads.append(threading.Thread(target=wait))
    for thread in threads:
        thread.start()
    QTimer.singleShot(LIMIT * 1000, loop.quit)
    loop.exec()
    for thread in threads:
        thread.join(1)
    # What the last signal has posted.
    QCoreApplication.processEvents()
    return results


def once(signal: Any) -> None:
    """Runs an event loop until it is emitted."""
    loop = QEventLoop()
    signal.connect(lambda *_: loop.quit())
    QTimer.singleShot(LIMIT * 1000, loop.quit)
    loop.exec()


def listening(**settings: Any) -> QWebSocketServer:
    """A server on a free port of 127.0.0.1."""
    server = QWebSocketServer("test", QWebSocketServer.SslMode.NonSecureMode)
    for name, value in settings.items():
        getattr(server, f"set{name[0].upper()}{name[1:]}")(value)
    assert server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost), 0), server.errorString()
    # Clients' threads may have the last reference: Qt's objects end in their own.
    _kept.append(server)
    return server


def url(server: QWebSocketServer, path: str = "/") -> str:
    return f"ws://127.0.0.1:{server.serverPort()}{path}"


class Echo(QObject):
    """Echoes what comes, as Qt's example does, and notes what happens."""

    gone = Signal()

    def __init__(self, server: QWebSocketServer) -> None:
        super().__init__()
        self.server = server
        self.sockets: list[QWebSocket] = []
        self.events: list[str] = []
        server.newConnection.connect(self.came)

    def came(self) -> None:
        socket = self.server.nextPendingConnection()
        assert socket is not None
        self.sockets.append(socket)
        socket.textMessageReceived.connect(self.text)
        socket.binaryMessageReceived.connect(self.binary)
        socket.disconnected.connect(self.went)
        self.events.append("came")

    def text(self, message: str) -> None:
        socket = self.sender()
        assert isinstance(socket, QWebSocket)
        self.events.append(f"text {message[:20]}")
        socket.sendTextMessage(message)

    def binary(self, message: Any) -> None:
        socket = self.sender()
        assert isinstance(socket, QWebSocket)
        self.events.append(f"binary {message.size()}")
        socket.sendBinaryMessage(message)

    def went(self) -> None:
        socket = self.sender()
        assert isinstance(socket, QWebSocket)
        self.events.append(f"went {socket.closeCode().value}")
        self.sockets.remove(socket)
        socket.deleteLater()
        self.gone.emit()


def client(address: str, **options: Any) -> ClientConnection:
    """A connection, which whoever has it closes, also as a context manager."""
    limits: dict[str, Any] = {"max_size": None, "open_timeout": LIMIT, "close_timeout": LIMIT}
    # It may give what is only good for a `with`.
    one: ClientConnection = connect(address, proxy=None, compression=None, **limits, **options).__enter__()
    return one
