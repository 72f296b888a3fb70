"""Subprotocols, and only pages of this machine: `python subprotocols.py [port]`.

A client of "upper.example" gets its messages back in capitals, one of "lower.example" in small letters. Who comes from
the page of another site is refused.
"""

import signal
import sys
from urllib.parse import urlsplit

from echoserver.qt.QtCore import QCoreApplication, QObject, Slot
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocketServer

ANSWERS = {"upper.example": str.upper, "lower.example": str.lower}


class Server(QObject):
    def __init__(self, port, parent=None):
        super().__init__(parent)
        self.clients = []
        self.server = QWebSocketServer("Letters", QWebSocketServer.SslMode.NonSecureMode, self)
        self.server.setSupportedSubprotocols(list(ANSWERS))
        self.server.originAuthenticationRequired.connect(self.decide)
        self.server.newConnection.connect(self.arrived)
        if not self.server.listen(QHostAddress.SpecialAddress.Any, port):
            sys.exit(f"cannot listen on port {port}: {self.server.errorString()}")
        print("Listening on port", self.server.serverPort(), flush=True)

    # No decorator: PySide6 would want the type by name.
    def decide(self, authenticator):
        # Programs that are no browser send no origin.
        host = urlsplit(authenticator.origin()).hostname
        authenticator.setAllowed(not authenticator.origin() or host in ("localhost", "127.0.0.1"))

    @Slot()
    def arrived(self):
        socket = self.server.nextPendingConnection()
        socket.textMessageReceived.connect(self.answer)
        socket.disconnected.connect(self.left)
        self.clients.append(socket)

    @Slot(str)
    def answer(self, message):
        socket = self.sender()
        change = ANSWERS.get(socket.subprotocol())
        socket.sendTextMessage(change(message) if change else "which of " + ", ".join(ANSWERS) + "?")

    @Slot()
    def left(self):
        socket = self.sender()
        self.clients.remove(socket)
        socket.deleteLater()


def main():
    app = QCoreApplication(sys.argv)
    # PySide6's exec() does not see Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _server = Server(int(sys.argv[1]) if len(sys.argv) > 1 else 1234)
    return app.exec()


if __name__ == "__main__":
    sys.exit(main())
