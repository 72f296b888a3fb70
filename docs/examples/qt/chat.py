"""A chat: what a client says goes to all others, with who has said it. `python chat.py [port]`."""

import signal
import sys

from echoserver.qt.QtCore import QCoreApplication, QObject, Slot
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocketServer


class ChatServer(QObject):
    def __init__(self, port, parent=None):
        super().__init__(parent)
        self.names = {}
        self.server = QWebSocketServer("Chat Server", QWebSocketServer.SslMode.NonSecureMode, self)
        if not self.server.listen(QHostAddress.SpecialAddress.Any, port):
            sys.exit(f"cannot listen on port {port}: {self.server.errorString()}")
        print("Chat server listening on port", self.server.serverPort(), flush=True)
        self.server.newConnection.connect(self.arrived)

    @Slot()
    def arrived(self):
        socket = self.server.nextPendingConnection()
        # Kept here: a socket no longer knows its address when it is gone.
        self.names[socket] = f"guest {len(self.names) + 1}"
        socket.textMessageReceived.connect(self.said)
        socket.disconnected.connect(self.left)
        self.tell_others(socket, "is here")

    @Slot(str)
    def said(self, message):
        self.tell_others(self.sender(), f"says {message}")

    @Slot()
    def left(self):
        socket = self.sender()
        self.tell_others(socket, "has left")
        del self.names[socket]
        socket.deleteLater()

    def tell_others(self, socket, what):
        for other in self.names:
            if other is not socket:
                other.sendTextMessage(f"{self.names[socket]} {what}")


def main():
    app = QCoreApplication(sys.argv)
    # PySide6's exec() does not see Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _server = ChatServer(int(sys.argv[1]) if len(sys.argv) > 1 else 1234)
    return app.exec()


if __name__ == "__main__":
    sys.exit(main())
