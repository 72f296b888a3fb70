"""QWebSocketServer of PySide6 with Python slots. argv: PORT."""

import signal
import sys

from PySide6.QtCore import QCoreApplication
from PySide6.QtNetwork import QHostAddress
from PySide6.QtWebSockets import QWebSocket, QWebSocketServer

signal.signal(signal.SIGTERM, signal.SIG_DFL)
app = QCoreApplication([])
server = QWebSocketServer("echo", QWebSocketServer.SslMode.NonSecureMode)
server.setMaxPendingConnections(10000)
clients: set[QWebSocket] = set()


def accept() -> None:
    while server.hasPendingConnections():
        add(server.nextPendingConnection())


def add(client: QWebSocket) -> None:
    def gone() -> None:
        clients.discard(client)
        client.deleteLater()

    clients.add(client)
    client.textMessageReceived.connect(client.sendTextMessage)
    client.binaryMessageReceived.connect(client.sendBinaryMessage)
    client.disconnected.connect(gone)


server.newConnection.connect(accept)
if not server.listen(QHostAddress("127.0.0.1"), int(sys.argv[1])):
    sys.exit(f"cannot listen: {server.errorString()}")
print("ready", flush=True)
sys.exit(app.exec())
