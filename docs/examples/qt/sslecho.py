"""An echo server over TLS, with PySide6: `python sslecho.py cert.pem key.pem [port]`.

A certificate for tests: openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -out cert.pem -keyout key.pem
"""

import signal
import sys
from pathlib import Path

from echoserver.qt.QtCore import QByteArray, QCoreApplication, QObject, Slot
from echoserver.qt.QtNetwork import QHostAddress, QSsl, QSslCertificate, QSslConfiguration, QSslKey, QSslSocket
from echoserver.qt.QtWebSockets import QWebSocketServer


class SslEchoServer(QObject):
    def __init__(self, certificate, key, port, parent=None):
        super().__init__(parent)
        self.clients = []
        configuration = QSslConfiguration()
        configuration.setPeerVerifyMode(QSslSocket.PeerVerifyMode.VerifyNone)
        configuration.setLocalCertificate(QSslCertificate(Path(certificate).read_bytes(), QSsl.EncodingFormat.Pem))
        configuration.setPrivateKey(
            QSslKey(QByteArray(Path(key).read_bytes()), QSsl.KeyAlgorithm.Rsa, QSsl.EncodingFormat.Pem)
        )
        self.server = QWebSocketServer("SSL Echo Server", QWebSocketServer.SslMode.SecureMode, self)
        self.server.setSslConfiguration(configuration)
        self.server.newConnection.connect(self.arrived)
        if not self.server.listen(QHostAddress.SpecialAddress.Any, port):
            sys.exit(f"cannot listen on port {port}: {self.server.errorString()}")
        print("SSL Echo Server listening on port", self.server.serverPort(), flush=True)

    @Slot()
    def arrived(self):
        socket = self.server.nextPendingConnection()
        socket.textMessageReceived.connect(self.echo_text)
        socket.binaryMessageReceived.connect(self.echo_binary)
        socket.disconnected.connect(self.left)
        self.clients.append(socket)

    @Slot(str)
    def echo_text(self, message):
        self.sender().sendTextMessage(message)

    @Slot(QByteArray)
    def echo_binary(self, message):
        self.sender().sendBinaryMessage(message)

    @Slot()
    def left(self):
        socket = self.sender()
        self.clients.remove(socket)
        socket.deleteLater()


def main():
    app = QCoreApplication(sys.argv)
    # PySide6's exec() does not see Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _server = SslEchoServer(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1234)
    return app.exec()


if __name__ == "__main__":
    sys.exit(main())
