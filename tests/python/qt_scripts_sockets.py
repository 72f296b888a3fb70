"""What a client's socket tells, and what it can be told, on PySide6 and without it."""

from __future__ import annotations

import socket as sockets
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from websockets.exceptions import ConnectionClosed

from echoserver.qt.QtCore import QEventLoop, QTimer
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketProtocol
from qt_scripts import Say, script
from qt_talks import LIMIT, Echo, client, listening, meanwhile, once, url

Code = QWebSocketProtocol.CloseCode


def watched(socket: QWebSocket) -> list[str]:
    """What its signals tell, from now on."""
    told: list[str] = []
    for name in ("disconnected", "aboutToClose", "readChannelFinished"):
        getattr(socket, name).connect(lambda name=name: told.append(name))
    socket.stateChanged.connect(lambda state: told.append(f"stateChanged {state.name}"))
    socket.errorOccurred.connect(lambda error: told.append(f"errorOccurred {error.name}"))
    return told


def ended(way: Any) -> tuple[list[str], QWebSocket]:
    """A client that ends in that way: what its signals told, and the socket."""
    server = listening()
    told: list[list[str]] = []
    taken: list[QWebSocket] = []

    def came() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        taken.append(socket)
        told.append(watched(socket))

    server.newConnection.connect(came)

    def talk() -> None:
        one = client(url(server))
        way(one)

    meanwhile(talk)
    if taken[0].isValid():
        once(taken[0].readChannelFinished)
    return told[0], taken[0]


GOING = [
    "aboutToClose",
    "stateChanged ClosingState",
    "stateChanged UnconnectedState",
    "disconnected",
    "readChannelFinished",
]


@script(
    *GOING,
    "CloseCode.CloseCodeGoingAway bye Unknown error UnconnectedState False 0",
    "4000 4000 CloseCode 4000",
    "1005 ",
)
def a_client_closes(say: Say) -> None:
    told, socket = ended(lambda one: one.close(1001, "bye"))
    for line in told:
        say(line)
    say(
        socket.closeCode(),
        socket.closeReason(),
        socket.errorString(),
        socket.state().name,
        socket.isValid(),
        socket.sendTextMessage("x"),
    )
    _, socket = ended(lambda one: one.close(4000))
    code = socket.closeCode()
    say(code.value, code.name, type(code).__name__, Code(4000) is code and 4000)

    def empty(one: Any) -> None:
        one.socket.sendall(bytes([0x88, 0x80, 0, 0, 0, 0]))
        one.socket.recv(10)
        one.socket.close()

    _, socket = ended(empty)
    say(socket.closeCode().value, socket.closeReason())


@script("errorOccurred RemoteHostClosedError", *GOING, "1006 The remote host closed the connection")
def a_client_vanishes(say: Say) -> None:
    told, socket = ended(lambda one: one.socket.shutdown(sockets.SHUT_RDWR))
    for line in told:
        say(line)
    say(socket.closeCode().value, socket.errorString())


@script("True True 1", "/a?b=c", "x http://o v1,v2 v1", "Version13", "['v1', 'v2']", "False True")
def a_request_is_known(say: Say) -> None:
    server = listening(supportedSubprotocols=["v2", "v1"])
    echo = Echo(server)

    def talk() -> None:
        with client(
            url(server, "/a?b=c"), origin="http://o", subprotocols=["v1", "v2"], additional_headers={"X-Y": "x"}
        ) as one:
            one.send("hi")
            one.recv()
            look()

    said: list[tuple[object, ...]] = []

    def look() -> None:
        socket = echo.sockets[0]
        port = server.serverPort()
        said.append(
            (
                socket.peerAddress().toString() == "127.0.0.1",
                socket.localAddress().toString() == "127.0.0.1" and socket.localPort() == port,
                int(socket.peerPort() > 0),
            )
        )
        said.append((socket.requestUrl().toString().removeprefix(f"ws://127.0.0.1:{port}"),))
        header = socket.request().rawHeader("x-y")
        offered = socket.request().rawHeader("sec-websocket-protocol")
        said.append(
            (bytes(header).decode(), socket.origin(), bytes(offered).decode().replace(" ", ""), socket.subprotocol())
        )
        said.append((socket.version().name,))
        said.append((socket.handshakeOptions().subprotocols(),))
        said.append((bool(socket.peerName()), socket.resourceName() == socket.requestUrl().toString()))

    failed = meanwhile(talk)
    for words in said:
        say(*words)
    if failed != [None]:
        say(failed)


@script(
    "['text 2']",
    "1009 message exceeds maxAllowedIncomingMessageSize of 5 bytes",
    "['text 8']",
    "1009 frame exceeds maxAllowedIncomingFrameSize of 5 bytes",
)
def messages_and_frames_have_limits(say: Say) -> None:
    for limit, fine, wrong in (
        ("setMaxAllowedIncomingMessageSize", ["hi"], ["abc", "def"]),
        ("setMaxAllowedIncomingFrameSize", ["abcd", "efgh"], ["abcdef"]),
    ):
        server = listening()
        told: list[str] = []

        def came(server: Any = server, limit: str = limit, told: list[str] = told) -> None:
            socket = server.nextPendingConnection()
            getattr(socket, limit)(5)
            getattr(socket, limit)(-1)
            socket.textMessageReceived.connect(lambda text: told.append(f"text {len(text)}"))
            socket.textMessageReceived.connect(socket.sendTextMessage)

        server.newConnection.connect(came)

        def talk(server: Any = server, fine: list[str] = fine, wrong: list[str] = wrong) -> str:
            with client(url(server)) as one:
                one.send(fine)
                one.recv()
                try:
                    # The close may come before its last frame is sent.
                    one.send(wrong)
                    one.recv()
                except ConnectionClosed as error:
                    return f"{error.rcvd.code:d} {error.rcvd.reason}" if error.rcvd else "none"
                return "nothing"

        said = meanwhile(talk)
        say(told)
        say(*said)


@script("[(False, 3), (False, 3), (True, 2)] 8", "[(True, 8)] 8", "524288")
def long_messages_are_sent_in_frames(say: Say) -> None:
    server = listening()
    sent: list[int] = []

    def came() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        size = socket.outgoingFrameSize()
        socket.setOutgoingFrameSize(3)
        sent.append(socket.sendTextMessage("abcdefgh"))
        socket.setOutgoingFrameSize(0)
        socket.setOutgoingFrameSize(size)
        sent.append(socket.sendBinaryMessage(b"abcdefgh"))
        sent.append(size)
        socket.close()

    server.newConnection.connect(came)

    def raw() -> bytes:
        with sockets.create_connection(("127.0.0.1", server.serverPort())) as one:
            one.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            data = b""
            while not data.endswith(b"\x88\x02\x03\xe8"):
                data += one.recv(1000)
            return data.partition(b"\r\n\r\n")[2]

    (data,) = meanwhile(raw)
    frames = []
    while data[0] & 15 != 8:
        frames.append((data[0] >= 128, data[1]))
        data = data[2 + data[1] :]
    say(frames[:3], sent[0])
    say(frames[3:], sent[1])
    say(sent[2])


@script(
    "frame a False",
    "frame bc False",
    "frame  True",
    "text abc",
    "frame b'xy' True",
    "binary b'xy'",
    "pong True b'why'",
    "written 5",
)
def frames_pongs_and_bytes_written_are_told(say: Say) -> None:
    server = listening()
    taken: list[QWebSocket] = []

    def came() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        taken.append(socket)
        socket.textMessageReceived.connect(lambda text: say("text", text))
        socket.textFrameReceived.connect(lambda text, last: say("frame", text, last))
        socket.binaryFrameReceived.connect(lambda data, last: say("frame", bytes(data), last))
        socket.binaryMessageReceived.connect(binary)
        socket.pong.connect(ponged)

    def binary(data: Any) -> None:
        say("binary", bytes(data))
        taken[0].ping(b"why")

    def ponged(elapsed: int, payload: Any) -> None:
        say("pong", 0 <= elapsed < 60000, bytes(payload))
        taken[0].bytesWritten.connect(written)
        taken[0].sendTextMessage("abc")

    def written(count: int) -> None:
        say("written", count)
        taken[0].close()

    server.newConnection.connect(came)

    def talk() -> None:
        with client(url(server)) as one:
            one.send(["a", "bc"])
            one.send(b"xy")
            one.recv()
            with suppress(ConnectionClosed):
                one.recv()

    meanwhile(talk)


@script(
    "'1001 Connection closed'", "RuntimeError: this QWebSocket was deleted", "RuntimeError: this QWebSocket was deleted"
)
def a_socket_that_is_deleted_ends(say: Say) -> None:
    server = listening()
    echo = Echo(server)
    kept: list[QWebSocket] = []

    def delete() -> None:
        kept.extend(echo.sockets)
        kept[0].deleteLater()

    server.newConnection.connect(delete)

    def talk() -> str:
        with client(url(server)) as one:
            try:
                one.recv()
            except ConnectionClosed as error:
                return f"{error.rcvd.code:d} {error.rcvd.reason}" if error.rcvd else "none"
            return "nothing"

    say(*map(repr, meanwhile(talk)))
    for use in (lambda: kept[0].sendTextMessage("x"), kept[0].closeCode):
        try:
            use()
        except RuntimeError as error:
            say(f"RuntimeError: {error}")


@script("hook ValueError wrong", "second one", "['one']", "hook ValueError wrong", "second two", "['two']")
def an_exception_in_a_slot_harms_nobody(say: Say) -> None:
    server = listening()
    taken: list[QWebSocket] = []
    before = sys.excepthook
    sys.excepthook = lambda kind, error, _: say("hook", kind.__name__, error)

    def fail() -> None:
        raise ValueError("wrong")

    def came() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        socket.textMessageReceived.connect(fail)
        taken.append(socket)
        socket.textMessageReceived.connect(second)

    def second(text: str) -> None:
        say("second", text)
        taken[-1].sendTextMessage(text)

    server.newConnection.connect(came)
    try:

        def talk(text: str) -> str:
            with client(url(server)) as one:
                one.send(text)
                return str(one.recv())

        for text in ("one", "two"):
            say(meanwhile(partial(talk, text)))
    finally:
        sys.excepthook = before


@script("slot begins", "other came back", "slot ends", "same one", "same two")
def a_slot_that_runs_a_loop_holds_up_its_client_only(say: Say) -> None:
    server = listening()
    loop = QEventLoop()
    begun = threading.Event()

    def text(message: str, socket: QWebSocket) -> None:
        if message == "wait":
            say("slot begins")
            QTimer.singleShot(0, begun.set)
            loop.exec()
            say("slot ends")
        elif message.startswith("same"):
            say(message)
        socket.sendTextMessage(message)

    def came() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        socket.textMessageReceived.connect(lambda message: text(message, socket))

    server.newConnection.connect(came)

    def talk() -> None:
        with client(url(server)) as first, client(url(server)) as second:
            for message in ("wait", "same one", "same two"):
                first.send(message)
            # Of two clients either message could come first.
            begun.wait(LIMIT)
            for _ in range(3):
                second.send("other")
                second.recv()
            say("other came back")
            loop.quit()
            for _ in range(3):
                first.recv()

    meanwhile(talk)


@script("1000 True")
def what_a_worker_sends_arrives_in_order(say: Say) -> None:
    server = listening()
    echo = Echo(server)

    def talk() -> list[str]:
        with client(url(server)) as one:
            return [str(one.recv()) for _ in range(1000)]

    def send() -> None:
        came.acquire()
        for number in range(1000):
            echo.sockets[0].sendTextMessage(str(number))

    came = threading.Semaphore(0)
    server.newConnection.connect(came.release)
    got, _ = meanwhile(talk, send)
    say(len(got), got == [str(number) for number in range(1000)])
