"""Qt's echo server example: `python echo.py -p 1234 -d`."""

import signal
import sys

from echoserver.qt.QtCore import QByteArray, QCommandLineOption, QCommandLineParser, QCoreApplication, QObject, Signal, Slot
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketServer


class EchoServer(QObject):
    closed = Signal()

    def __init__(self, port, debug=False, parent=None):
        super().__init__(parent)
        self.m_debug = debug
        self.m_clients = []
        self.m_pWebSocketServer = QWebSocketServer("Echo Server", QWebSocketServer.SslMode.NonSecureMode, self)
        if not self.m_pWebSocketServer.listen(QHostAddress.SpecialAddress.Any, port):
            sys.exit(f"cannot listen on port {port}: {self.m_pWebSocketServer.errorString()}")
        if self.m_debug:
            print("Echoserver listening on port", self.m_pWebSocketServer.serverPort(), flush=True)
        self.m_pWebSocketServer.newConnection.connect(self.onNewConnection)
        self.m_pWebSocketServer.closed.connect(self.closed)

    @Slot()
    def onNewConnection(self):
        socket = self.m_pWebSocketServer.nextPendingConnection()
        socket.textMessageReceived.connect(self.processTextMessage)
        socket.binaryMessageReceived.connect(self.processBinaryMessage)
        socket.disconnected.connect(self.socketDisconnected)
        self.m_clients.append(socket)

    @Slot(str)
    def processTextMessage(self, message):
        client = self.sender()
        if self.m_debug:
            print("Message received:", message)
        if isinstance(client, QWebSocket):
            client.sendTextMessage(message)

    @Slot(QByteArray)
    def processBinaryMessage(self, message):
        client = self.sender()
        if self.m_debug:
            print("Binary Message received:", message)
        if isinstance(client, QWebSocket):
            client.sendBinaryMessage(message)

    @Slot()
    def socketDisconnected(self):
        client = self.sender()
        if self.m_debug:
            print("socketDisconnected:", client)
        if isinstance(client, QWebSocket):
            self.m_clients.remove(client)
            client.deleteLater()


def main():
    app = QCoreApplication(sys.argv)
    parser = QCommandLineParser()
    parser.setApplicationDescription("An echo server for WebSocket clients")
    parser.addHelpOption()
    debug = QCommandLineOption(["d", "debug"], "Print what happens [default: off].")
    parser.addOption(debug)
    port = QCommandLineOption(["p", "port"], "Port to listen on [default: 1234].", "port", "1234")
    parser.addOption(port)
    parser.process(app)
    # PySide6's exec() does not see Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server = EchoServer(int(parser.value(port)), parser.isSet(debug))
    server.closed.connect(app.quit)
    return app.exec()


if __name__ == "__main__":
    sys.exit(main())
