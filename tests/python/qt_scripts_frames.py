"""Frames of messages, sockets that are handed over, and connections that can't be accepted, on each Qt."""

from __future__ import annotations

import os
import socket as sockets
from contextlib import suppress
from pathlib import Path
from typing import Any

from echoserver.qt.QtCore import QEventLoop, QObject, QTimer, Signal
from echoserver.qt.QtNetwork import QAbstractSocket
from echoserver.qt.QtWebSockets import QWebSocketServer
from qt_scripts import Say, script
from qt_talks import LIMIT, Echo, client, listening, meanwhile, once, url

TEXT, BINARY, CONTINUE, FIN, PING = 1, 2, 0, 0x80, 0x89
LONG = 70000


def frame(first: int, payload: bytes) -> bytes:
    """One of a client's."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else bytes((0xFF,)) + size.to_bytes(8)
    return bytes((first,)) + length + bytes(4) + payload


class Raw:
    """A client that sends what it likes."""

    def __init__(self, port: int) -> None:
        self.socket = sockets.create_connection(("127.0.0.1", port), LIMIT)
        self.socket.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        self.until(b"\r\n\r\n")

    def until(self, end: bytes) -> None:
        data = b""
        while not data.endswith(end):
            more = self.socket.recv(1000)
            assert more, data
            data += more

    def send(self, *frames: bytes, are_apart: bool) -> None:
        """In one piece, or each when the server has read the one before."""
        if not are_apart:
            self.socket.sendall(b"".join(frames) + frame(PING, b"end"))
            self.until(b"\x8a\x03end")
            return
        for one in frames:
            # Also cut in its header.
            for piece in (one[:3], one[3:]):
                self.socket.sendall(piece)
            self.socket.sendall(frame(PING, b"one"))
            self.until(b"\x8a\x03one")


MESSAGES = [
    [(TEXT, b"h\xc3"), (CONTINUE, b"\xa9"), (CONTINUE, b""), (CONTINUE | FIN, b"!")],
    [(TEXT | FIN, b"whole")],
    [(BINARY, b"\0"), (CONTINUE | FIN, b"\1\2")],
    [(BINARY, b"\3" * LONG), (CONTINUE, b"\4" * LONG), (CONTINUE | FIN, b"")],
    [(TEXT | FIN, b"last")],
]
SAID = [
    "frame h False",
    "frame é False",
    "frame  False",
    "frame ! True",
    "message hé!",
    "frame whole True",
    "message whole",
    r"frame b'\x00' False",
    r"frame b'\x01\x02' True",
    r"message b'\x00\x01\x02'",
    f"frame {LONG} False",
    f"frame {LONG} False",
    "frame b'' True",
    f"message {2 * LONG}",
    "frame last True",
    "message last",
]


def shown(payload: Any) -> Any:
    data = payload if isinstance(payload, str) else bytes(payload)
    return data if len(data) < LONG else len(data)


def listen_to(socket: Any, say: Say) -> None:
    for signal in (socket.textFrameReceived, socket.binaryFrameReceived):
        signal.connect(lambda payload, is_last: say("frame", shown(payload), is_last))
    for signal in (socket.textMessageReceived, socket.binaryMessageReceived):
        signal.connect(lambda payload: say("message", shown(payload)))


@script(*SAID, *SAID)
def each_frame_is_told(say: Say) -> None:
    for are_apart in (False, True):
        server = listening()
        taken: list[Any] = []

        def came(server: QWebSocketServer = server, taken: list[Any] = taken) -> None:
            taken.append(server.nextPendingConnection())
            listen_to(taken[0], say)

        def talk(server: QWebSocketServer = server, are_apart: bool = are_apart) -> Raw:
            one = Raw(server.serverPort())
            for message in MESSAGES:
                one.send(*(frame(*each) for each in message), are_apart=are_apart)
            return one

        server.newConnection.connect(came)
        (one,) = meanwhile(talk)
        taken[0].close()
        once(taken[0].disconnected)
        one.socket.close()


class Ready(QObject):
    signal = Signal()


@script("frame a False", "frame b True", "message ab")
def frames_of_a_client_that_nobody_has_taken_wait_with_their_message(say: Say) -> None:
    server = listening()
    ready, come = Ready(), Ready()
    told: list[str] = []

    def take() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        listen_to(socket, say)
        socket.textMessageReceived.connect(told.append)
        socket.textMessageReceived.connect(come.signal)

    def talk() -> Raw:
        one = Raw(server.serverPort())
        one.send(frame(TEXT, b"a"), frame(CONTINUE | FIN, b"b"), are_apart=False)
        ready.signal.emit()
        return one

    ready.signal.connect(take)
    (one,) = meanwhile(talk)
    if not told:
        once(come.signal)
    one.socket.close()


@script("True True True", "127.0.0.1 True", "['one']", "False", "-1 False True", "refused")
def a_socket_that_listens_can_be_handed_over(say: Say) -> None:
    given = sockets.create_server(("127.0.0.1", 0))
    port, number = given.getsockname()[1], given.detach()
    server = QWebSocketServer("test", QWebSocketServer.SslMode.NonSecureMode)
    say(server.setSocketDescriptor(number), server.isListening(), server.socketDescriptor() == number)
    say(server.serverAddress().toString(), server.serverPort() == port)
    echo = Echo(server)

    def talk() -> str:
        with client(url(server)) as one:
            one.send("one")
            return str(one.recv())

    say(meanwhile(talk))
    if echo.sockets:
        once(echo.gone)
    say(server.setSocketDescriptor(number))
    server.close()
    once(server.closed)
    try:
        os.fstat(number)
        is_open = True
    except OSError:
        is_open = False
    say(server.socketDescriptor(), server.isListening(), not is_open)
    try:
        sockets.create_connection(("127.0.0.1", port), LIMIT).close()
    except ConnectionRefusedError:
        say("refused")


@script("False True", "False True", "False True True", "False True")
def what_is_no_socket_that_listens_is_not_taken(say: Say) -> None:
    server = QWebSocketServer("test", QWebSocketServer.SslMode.NonSecureMode)
    reader, writer = os.pipe()
    with sockets.socket() as unheard:
        for number in (reader, 1 << 20, unheard.fileno()):
            said = server.setSocketDescriptor(number), server.errorString().startswith(f"descriptor {number}: ")
            if number == unheard.fileno():
                # It is as it was.
                unheard.listen()
                say(*said, bool(unheard.getsockopt(sockets.SOL_SOCKET, sockets.SO_ACCEPTCONN)))
            else:
                say(*said)
    say(server.setSocketDescriptor(-1), server.errorString().startswith("descriptor -1: "))
    os.close(reader)
    os.close(writer)


@script("SocketResourceError True", "['after']")
def what_can_not_be_accepted_is_told(say: Say) -> None:
    import resource

    server = listening()
    echo, loop = Echo(server), QEventLoop()
    errors: list[Any] = []

    def failed(error: QAbstractSocket.SocketError) -> None:
        errors.append(error)
        loop.quit()

    server.acceptError.connect(failed)
    # What else needs a descriptor has it.
    QTimer.singleShot(0, loop.quit)
    loop.exec()
    QTimer.singleShot(LIMIT * 1000, loop.quit)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with sockets.socket() as late:
        # Those that there are stay within the limit, or Qt could not wait for them.
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(int(file.name) for file in Path("/dev/fd").iterdir()) + 1, before[1])
        )
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.dup(late.fileno()))
            late.connect(("127.0.0.1", server.serverPort()))
            loop.exec()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for number in taken:
                os.close(number)
    say(errors[0].name, "open files" in server.errorString())
    assert len(echo.sockets) < 2  # Kept until here: its methods are held weakly.

    def talk() -> str:
        with client(url(server)) as one:
            one.send("after")
            return str(one.recv())

    say(meanwhile(talk))
