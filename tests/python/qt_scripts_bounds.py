"""What one client can make a server keep or do, and what of it is told after an end, on each Qt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from echoserver.qt.QtCore import QEventLoop, QObject, QTimer, Signal
from echoserver.qt.QtWebSockets import QWebSocketServer
from qt_scripts import Say, script
from qt_scripts_frames import BINARY, CONTINUE, FIN, TEXT, Raw, frame, listen_to
from qt_talks import LIMIT, listening, meanwhile, once

MOST = 4096


class Counted(QObject):
    """The frames and messages of a client that nobody takes before it is told to."""

    complete = Signal()
    awaited = 0

    def __init__(self, server: QWebSocketServer) -> None:
        super().__init__()
        self.server = server
        self.sizes: list[int] = []
        self.messages: list[int] = []

    def take(self) -> None:
        socket = self.server.nextPendingConnection()
        assert socket is not None
        self.socket = socket
        socket.textFrameReceived.connect(lambda text, _: self.sizes.append(len(text)))
        socket.binaryFrameReceived.connect(lambda data, _: self.sizes.append(data.size()))
        socket.textMessageReceived.connect(self.came)
        socket.binaryMessageReceived.connect(self.came)

    def came(self, message: Any) -> None:
        self.messages.append(len(bytes(message)) if not isinstance(message, str) else len(message))
        if len(self.messages) == self.awaited:
            self.complete.emit()

    def wait_for(self, count: int) -> None:
        self.awaited = count
        if len(self.messages) < count:
            once(self.complete)


@script(f"2 {MOST} 1 1 905 5000", f"{MOST} 905 5000")
def of_a_message_in_very_many_frames_so_many_are_told(say: Say) -> None:
    server = listening()
    counted = Counted(server)
    server.newConnection.connect(counted.take)
    # From the last that is told apart on.
    message = frame(TEXT, b"a") + frame(CONTINUE, b"b") * 4998 + frame(CONTINUE | FIN, b"c")

    def talk() -> Raw:
        one = Raw(server.serverPort())
        one.send(message, message, are_apart=False)
        return one

    (one,) = meanwhile(talk)
    counted.wait_for(2)
    sizes, later = counted.sizes[:MOST], counted.sizes[MOST:]
    say(len(counted.messages), len(sizes), sizes[0], sizes[1], sizes[-1], counted.messages[0])
    say(len(later), later[-1], counted.messages[1])
    one.socket.close()


def take_when(server: QWebSocketServer, is_so: Callable[[Any], bool], take: Callable[[], None]) -> None:
    """Takes the client that waits once that is so of what waits of it."""
    timer = QTimer(server)

    def look() -> None:
        assert server._listener is not None
        pending = server._listener.pending
        if pending and is_so(pending[0]):
            timer.stop()
            take()

    timer.timeout.connect(look)
    timer.start(1)
    QTimer.singleShot(LIMIT * 1000, timer.stop)


def held_up(kind: int, unit: bytes, count: int) -> tuple[int, int]:
    """A client that nobody takes is read no further: how many messages of it came afterwards, and how many frames."""
    server = listening()
    counted = Counted(server)

    take_when(server, lambda waiting: waiting._is_paused, counted.take)

    def talk() -> Raw:
        one = Raw(server.serverPort())
        one.send(unit * count, are_apart=False)
        return one

    (one,) = meanwhile(talk)
    counted.wait_for(count)
    one.socket.close()
    assert kind in {TEXT, BINARY}
    return len(counted.messages), len(counted.sizes)


@script("20000 20000", "20000 20000", "100 100100")
def who_is_not_taken_is_read_no_further_whatever_it_sends(say: Say) -> None:
    say(*held_up(TEXT, frame(TEXT | FIN, b""), 20000))
    say(*held_up(BINARY, frame(BINARY | FIN, b""), 20000))
    say(*held_up(BINARY, frame(BINARY, b"") + frame(CONTINUE, b"") * 999 + frame(CONTINUE | FIN, b""), 100))


@script("67108864 2147483646", "67108864 1073741824", "CloseCodeTooMuchData")
def a_limit_of_frames_leaves_that_of_messages(say: Say) -> None:
    server = listening()
    taken: list[Any] = []

    def take() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        taken.append(socket)
        say(socket.maxAllowedIncomingMessageSize(), socket.maxAllowedIncomingFrameSize())
        socket.setMaxAllowedIncomingFrameSize(2**30)
        say(socket.maxAllowedIncomingMessageSize(), socket.maxAllowedIncomingFrameSize())

    server.newConnection.connect(take)

    def talk() -> None:
        one = Raw(server.serverPort())
        # A header says how much is to follow. Behind a pong the limit holds.
        one.send(are_apart=False)
        one.socket.sendall(bytes((BINARY | FIN, 0xFF)) + (65 * 2**20).to_bytes(8) + bytes(4))
        one.socket.recv(1)
        one.socket.close()

    (failed,) = meanwhile(talk)
    assert failed is None, failed
    if taken[0].isValid():
        once(taken[0].disconnected)
    say(taken[0].closeCode().name)


class Begun(QObject):
    signal = Signal()


def told_after(act: str, *, is_late: bool) -> list[str]:
    """What comes of a client to whom that is done at its first frame."""
    server = listening()
    told: list[str] = []
    taken: list[Any] = []
    begun = Begun()

    def first(*_: object) -> None:
        if len(taken) == 1:
            taken.append(None)
            getattr(taken[0], act)()
            begun.signal.emit()

    def take() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        taken.append(socket)
        listen_to(socket, lambda *words: told.append(" ".join(map(str, words))))
        socket.textFrameReceived.connect(first)

    if not is_late:
        server.newConnection.connect(take)

    def talk() -> Raw:
        one = Raw(server.serverPort())
        frames = frame(TEXT, b"a"), frame(CONTINUE | FIN, b"b"), frame(TEXT | FIN, b"c"), frame(BINARY | FIN, b"d")
        one.socket.sendall(b"".join(frames) + frame(0x89, b"end"))
        return one

    if is_late:
        take_when(server, lambda waiting: len(waiting.held) == 3, take)
    (one,) = meanwhile(talk)
    if not told:
        once(begun.signal)
    socket = taken[0]
    if act == "abort" or is_late:
        one.socket.shutdown(2)
    if socket.state().name != "UnconnectedState":
        once(socket.disconnected)
    one.socket.close()
    return told


@script("['frame a False']", "['frame a False']")
def behind_an_abort_nothing_is_told(say: Say) -> None:
    say(told_after("abort", is_late=False))
    say(told_after("abort", is_late=True))


@script("a False|b True|ab|c True|c|b'd' True|b'd'")
def behind_a_close_what_has_waited_is_told(say: Say) -> None:
    told = told_after("close", is_late=True)
    say("|".join(each.split(" ", 1)[1] for each in told))


@script("True first last 1002")
def who_was_held_up_while_it_was_told_is_read_on(say: Say) -> None:
    server = listening()
    told: list[str] = []
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if waits[0]._is_paused else None)
    waits: list[Any] = []
    was_paused: list[bool] = []
    go_on, end = threading.Event(), threading.Event()
    counted = Counted(server)

    def text(message: str) -> None:
        told.append(message)
        if message == "first":
            # What comes meanwhile is held as well.
            go_on.set()
            timer.start(1)
            QTimer.singleShot(LIMIT * 1000, loop.quit)
            loop.exec()
            timer.stop()
            was_paused.append(waits[0]._is_paused)
            end.set()

    def take() -> None:
        assert server._listener is not None
        waits.append(server._listener.pending[0])
        counted.take()
        counted.socket.textMessageReceived.connect(text)

    take_when(server, lambda incoming: bool(incoming.held), take)

    def talk() -> Raw:
        one = Raw(server.serverPort())
        one.send(frame(TEXT | FIN, b"first"), are_apart=False)
        go_on.wait(LIMIT)
        one.socket.sendall(frame(TEXT | FIN, b"x" * 100) * 1000)
        end.wait(LIMIT)
        one.socket.sendall(frame(TEXT | FIN, b"last"))
        return one

    (one,) = meanwhile(talk)
    counted.wait_for(1002)
    say(*was_paused, told[0], told[-1], len(told))
    one.socket.close()
