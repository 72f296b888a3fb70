"""Sockets that are handed over, too few descriptors, and servers that are deleted, on each Qt."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echoserver.qt.QtCore import QEventLoop, QTimer
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocketServer
from qt_scripts import Say, script
from qt_talks import LIMIT, client, listening, meanwhile, once, url

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_SECURE = QWebSocketServer.SslMode.NonSecureMode


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def close_code(server: QWebSocketServer) -> Callable[[], int]:
    """Of a client that comes, and is waited for."""

    def talk() -> int:
        with client(url(server)) as one, suppress(Exception):
            one.recv(LIMIT)
        code = one.close_code
        assert code is not None
        return code

    return talk


@script("True", "False True closed", "[1001]", "True")
def a_program_has_closed_what_it_handed_over(say: Say) -> None:
    server = QWebSocketServer("test", NOT_SECURE)
    given = sockets.create_server(("127.0.0.1", 0))
    number = given.fileno()
    say(server.setSocketDescriptor(number))
    given.close()
    # Somebody else has the number.
    other = os.open(os.devnull, os.O_RDONLY)
    if other != number:
        os.dup2(other, number)
    told: list[str] = []
    server.newConnection.connect(server.close)
    server.closed.connect(lambda: told.append("closed"))
    codes = meanwhile(close_code(server))
    if not told:
        once(server.closed)
    say(server.isListening(), server.socketDescriptor() == -1, *told)
    say(codes)
    say(is_open(number))
    for each in {number, other}:
        os.close(each)


@script("TypeError", "TypeError", "TypeError", "True")
def a_descriptor_is_a_number(say: Say) -> None:
    server = QWebSocketServer("test", NOT_SECURE)
    before = os.dup(0)
    os.close(before)
    wrong: tuple[Any, ...] = (None, "3", 3.0)
    for each in wrong:
        try:
            say(server.setSocketDescriptor(each))
        except TypeError as error:
            say(type(error).__name__)
    after = os.dup(0)
    os.close(after)
    say(before == after)


@script("False descriptor", "ValueError: serverName", "True")
def what_is_wrong_has_the_name_that_it_has_here(say: Say) -> None:
    server = QWebSocketServer("a\r\nb", NOT_SECURE)
    say(server.setSocketDescriptor(2**40), server.errorString().split()[0])
    with sockets.create_server(("127.0.0.1", 0)) as given:
        try:
            say(server.setSocketDescriptor(given.fileno()))
        except ValueError as error:
            say(f"ValueError: {str(error).partition('=')[0]}")
        server.setServerName("test")
        # Qt's has a client refused at once.
        server.setHandshakeTimeout(0)
        say(server.setSocketDescriptor(given.detach()))
    server.close()


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """While the block runs there are only so many."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    # Those that there are stay within the limit, or Qt could not wait for them.
    most = max(int(file.name) for file in Path("/dev/fd").iterdir()) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for number in taken:
            os.close(number)


def waits(loop: QEventLoop, milliseconds: int = 0) -> None:
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


@script("listen True True", "setSocketDescriptor True True")
def without_descriptors_it_can_not_listen_and_says_so(say: Say) -> None:
    # What else needs a descriptor has it.
    waits(QEventLoop())
    local = QHostAddress(QHostAddress.SpecialAddress.LocalHost)
    for name in ("listen", "setSocketDescriptor"):
        given = sockets.create_server(("127.0.0.1", 0))
        number = given.detach()
        failures, is_as_it_was, left = 0, True, 0
        for left in range(16):
            server = QWebSocketServer("test", NOT_SECURE)
            arguments: tuple[Any, ...] = (local, 0) if name == "listen" else (number,)
            with descriptors_left(left):
                is_listening = getattr(server, name)(*arguments)
            if is_listening:
                server.close()
                once(server.closed)
                break
            failures += "open files" in server.errorString()
            is_as_it_was &= is_open(number) and os.get_blocking(number)
        say(name, failures == left > 0, is_as_it_was)
        if is_open(number):
            os.close(number)


@script("stateChanged UnconnectedState", "disconnected", "[1001]", "this QWebSocket was deleted")
def who_is_connected_hears_that_the_server_is_deleted(say: Say) -> None:
    # Not kept, as others are.
    server = QWebSocketServer("test", NOT_SECURE)
    assert server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost), 0)
    taken: list[Any] = []

    def take() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        taken.append(socket)
        socket.stateChanged.connect(lambda state: say("stateChanged", state.name))
        socket.disconnected.connect(lambda: say("disconnected"))
        server.deleteLater()

    server.newConnection.connect(take)
    say(meanwhile(close_code(server)))
    try:
        say(taken[0].state())
    except RuntimeError as error:
        say(error)


@script("UnsupportedSocketOperationError 1 True")
def a_socket_that_listens_no_more_is_told_once(say: Say) -> None:
    server = QWebSocketServer("test", NOT_SECURE)
    given = sockets.create_server(("127.0.0.1", 0))
    other = given.dup()
    assert server.setSocketDescriptor(given.detach())
    errors: list[Any] = []
    server.acceptError.connect(errors.append)
    QTimer.singleShot(0, lambda: other.shutdown(sockets.SHUT_RDWR))
    once(server.acceptError)
    listener = server._listener
    assert listener is not None
    # It is tried again, and again.
    listener.refused("not_accepted", server.errorString())
    say(errors[0].name, len(errors), server.isListening())
    server.close()
    other.close()
    listening().close()
