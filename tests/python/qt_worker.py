"""A program for Qt whose worker thread emits, sends and closes while clients come and go, and accounts for all of it.

    ECHOSERVER_QT=builtin python qt_worker.py 60     for a minute; prints what came of it as JSON

Each client is sent a number of messages by the worker, which then closes it with that number as the reason; what the
client sends meanwhile is echoed in the main thread. For each message the worker emits a signal, too, whose slot runs in
the main thread. The clients are threads of another process. test_qt_worker.py looks at the figures.
"""

from __future__ import annotations

import json
import queue
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from echoserver.qt.QtCore import QByteArray, QCoreApplication, QObject, Signal, Slot
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketServer

CLIENTS = 8
MOST_MESSAGES = 1000
CODE = 3001
PATIENCE = 60


class Main(QObject):
    """What runs in the main thread."""

    # A client's number, that of its message, and the message itself.
    sent = Signal(int, int, str)
    finished = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.server = QWebSocketServer("worker", QWebSocketServer.SslMode.NonSecureMode, self)
        assert self.server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost), 0)
        self.server.newConnection.connect(self.came)
        self.sent.connect(self.hear)
        self.finished.connect(self.end)
        self.sockets: list[QWebSocket] = []
        # For the worker.
        self.arrived: queue.SimpleQueue[QWebSocket] = queue.SimpleQueue()
        self.is_finished = False
        self.came_count = self.gone = self.echoed = 0
        self.heard: dict[int, int] = {}
        self.faults: list[str] = []

    @Slot()
    def came(self) -> None:
        socket = self.server.nextPendingConnection()
        assert socket is not None
        self.came_count += 1
        self.sockets.append(socket)
        socket.textMessageReceived.connect(self.text)
        socket.binaryMessageReceived.connect(self.binary)
        socket.disconnected.connect(self.left)
        self.arrived.put(socket)

    def socket(self) -> QWebSocket:
        """Whose signal it is."""
        socket = self.sender()
        assert isinstance(socket, QWebSocket)
        return socket

    @Slot(str)
    def text(self, message: str) -> None:
        self.echoed += 1
        self.socket().sendTextMessage(message)

    @Slot(QByteArray)
    def binary(self, message: QByteArray) -> None:
        self.echoed += 1
        self.socket().sendBinaryMessage(message)

    @Slot(int, int, str)
    def hear(self, client: int, number: int, text: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.faults.append("a slot ran in another thread")
        if self.heard.get(client, 0) != number or text != str(number):
            self.faults.append(f"client {client}: {number}, {text!r} was heard after {self.heard.get(client, 0)}")
        self.heard[client] = number + 1

    @Slot()
    def left(self) -> None:
        socket = self.socket()
        if socket.closeCode().value != CODE:
            self.faults.append(f"ended with {socket.closeCode().value}")
        self.sockets.remove(socket)
        self.gone += 1
        socket.deleteLater()
        self.look()

    @Slot()
    def end(self) -> None:
        self.is_finished = True
        self.look()

    def look(self) -> None:
        """Ends the program when all is done."""
        if self.is_finished and not self.sockets:
            QCoreApplication.quit()


class Worker:
    """Emits, sends and closes until the clients have ended."""

    def __init__(self, main: Main) -> None:
        self.main = main
        self.random = random.Random(16)
        self.emitted: dict[int, int] = {}
        self.sent = 0
        self.faults: list[str] = []

    def run(self, are_over: threading.Event) -> None:
        """Returns when they are over, and nobody is left."""
        # Its number, how many messages it got and how many it is to get.
        under_way: list[tuple[QWebSocket, int, int, int]] = []
        while under_way or not are_over.is_set() or not self.main.arrived.empty():
            try:
                socket = self.main.arrived.get(block=not under_way, timeout=0.05)
                under_way.append((socket, len(self.emitted), 0, self.random.randint(1, MOST_MESSAGES)))
                self.emitted[len(self.emitted)] = 0
            except queue.Empty:
                pass
            if under_way:
                index = self.random.randrange(len(under_way))
                socket, client, number, total = under_way[index]
                if number < total:
                    self.send(socket, client, number)
                    under_way[index] = (socket, client, number + 1, total)
                else:
                    socket.close(CODE, str(total))
                    del under_way[index]
                # It may be deleted from now on; the last reference to it is not to be this one.
                del socket

    def send(self, socket: QWebSocket, client: int, number: int) -> None:
        """One message, and the signal."""
        text = f"w{number}"
        sent = socket.sendBinaryMessage(text.encode()) if number % 2 else socket.sendTextMessage(text)
        if sent != len(text):
            self.faults.append(f"client {client}: {sent} of {len(text)} bytes of message {number} were sent")
        self.sent += 1
        self.emitted[client] += 1
        self.main.sent.emit(client, number, str(number))


class Client:
    """One connection after the other until the time is over."""

    def __init__(self, url: str, until: float) -> None:
        self.url, self.until = url, until
        self.connections = self.received = self.echoes = 0
        self.faults: list[str] = []

    def run(self) -> None:
        while time.monotonic() < self.until:
            try:
                with connect(self.url, proxy=None, compression=None, open_timeout=PATIENCE) as connection:
                    self.connections += 1
                    self.talk(connection)
            except Exception as error:  # It is a fault, whatever it is.
                self.faults.append(f"{type(error).__name__}: {error}")

    def talk(self, connection: ClientConnection) -> None:
        """Sends while it receives, until it is closed."""
        numbers = {"w": 0, "c": 0}
        sent = 0
        try:
            while True:
                message = connection.recv(PATIENCE)
                text = message if isinstance(message, str) else message.decode()
                kind, number = text[0], int(text[1:])
                if number != numbers[kind] or (number % 2 == 0) != isinstance(message, str):
                    self.faults.append(f"{message!r} came instead of {kind}{numbers[kind]}")
                numbers[kind] = number + 1
                if sent - numbers["c"] < 10:
                    # It may be closed already; then there may still be something to receive.
                    with suppress(ConnectionClosed):
                        connection.send(f"c{sent}" if sent % 2 == 0 else f"c{sent}".encode())
                        sent += 1
        except ConnectionClosed as error:
            told = (error.rcvd.code, error.rcvd.reason) if error.rcvd else None
            if told != (CODE, str(numbers["w"])):
                self.faults.append(f"closed with {told} after {numbers['w']} messages")
        self.received += numbers["w"]
        self.echoes += numbers["c"]


def talk(url: str, seconds: str) -> int:
    """The clients' process: prints what they have seen."""
    clients = [Client(url, time.monotonic() + float(seconds)) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = {name: sum(getattr(client, name) for client in clients) for name in ("connections", "received", "echoes")}
    print(json.dumps([figures, [fault for client in clients for fault in client.faults]]))
    return 0


def main(seconds: str) -> int:
    """Serves them."""
    app = QCoreApplication(sys.argv)
    here = Main()
    worker = Worker(here)
    command = [sys.executable, __file__, "clients", here.server.serverUrl().toString(), seconds]
    are_over = threading.Event()
    said: list[str] = []

    def work() -> None:
        worker.run(are_over)
        here.finished.emit()

    def wait() -> None:
        said.append(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout)
        are_over.set()

    threads = [threading.Thread(target=work), threading.Thread(target=wait)]
    for thread in threads:
        thread.start()
    app.exec()
    for thread in threads:
        thread.join()
    figures, faults = json.loads(said[0])
    faults += here.faults + worker.faults
    figures |= {
        "came": here.came_count,
        "gone": here.gone,
        "sent": worker.sent,
        "emitted": sum(worker.emitted.values()),
        "heard": sum(here.heard.values()),
        "echoed": here.echoed,
        "faults": len(faults),
        "first": faults[:10],
    }
    print(json.dumps(figures))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(talk(*sys.argv[2:]) if sys.argv[1] == "clients" else main(sys.argv[1]))
