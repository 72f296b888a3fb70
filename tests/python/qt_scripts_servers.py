"""Servers and their clients, on PySide6 and without it."""

from __future__ import annotations

import gc
import socket as sockets
from functools import partial
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus

from echoserver.qt.QtCore import QCoreApplication, QObject, Qt, QThread
from echoserver.qt.QtNetwork import QHostAddress
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketProtocol, QWebSocketServer
from qt_scripts import Say, script
from qt_talks import Echo, client, listening, meanwhile, once, url

Code = QWebSocketProtocol.CloseCode


def say_all(say: Say, lines: list[str]) -> None:
    for line in lines:
        say(line)


@script(
    "['hello', b'\\x00\\x01', '', '\\ufeff\\x00é']",
    "came",
    "text hello",
    "binary 2",
    "text ",
    "text \ufeff\x00é",
    "went 1000",
)
def messages_come_back(say: Say) -> None:
    server = listening()
    echo = Echo(server)

    def talk() -> list[Any]:
        with client(url(server)) as one:
            back = []
            for message in ("hello", b"\0\1", "", "\ufeff\0é"):
                one.send(message)
                back.append(one.recv())
            return back

    say(*meanwhile(talk))
    if echo.sockets:
        once(echo.gone)
    say_all(say, echo.events)


@script(
    "False 0",
    "True True True ws 1",
    "[<Version.Version13: 13>]",
    "False",
    "False 0 True",
    "closed",
    "[]",
    "True",
    "closed",
)
def a_server_listens_and_closes_and_listens_again(say: Say) -> None:
    server = QWebSocketServer("test", QWebSocketServer.SslMode.NonSecureMode)
    closed: list[str] = []
    server.closed.connect(lambda: closed.append("closed"))
    say(server.isListening(), server.serverPort())
    here = QHostAddress(QHostAddress.SpecialAddress.LocalHost)
    say(
        server.listen(here),
        server.isListening(),
        server.serverPort() > 0,
        server.serverUrl().scheme(),
        server.serverAddress() == here and 1,
    )
    say(server.supportedVersions())
    say(server.listen(here))
    server.close()
    server.close()
    say(server.isListening(), server.serverPort(), server.serverAddress().isNull())
    if not closed:
        once(server.closed)
    QCoreApplication.processEvents()
    say(*closed)
    closed.clear()
    QCoreApplication.processEvents()
    say(closed)
    say(server.listen(here))
    server.close()
    once(server.closed)
    say(*closed)


@script("False True", "TypeError", "OverflowError")
def an_address_that_is_not_to_be_had_is_false(say: Say) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as other:
        server = QWebSocketServer("test", QWebSocketServer.SslMode.NonSecureMode)
        here = QHostAddress(QHostAddress.SpecialAddress.LocalHost)
        say(server.listen(here, other.getsockname()[1]), "listen" in server.errorString())
    for address, port in (("127.0.0.1", 0), (here, 70000)):
        try:
            server.listen(address, port)  # type: ignore[arg-type]
        except (TypeError, OverflowError) as error:
            say(type(error).__name__)


class Answering(QObject):
    """Has no reference to any client."""

    def __init__(self, server: QWebSocketServer) -> None:
        super().__init__()
        self.server = server
        server.newConnection.connect(self.came)

    def came(self) -> None:
        socket = self.server.nextPendingConnection()
        assert socket is not None
        socket.textMessageReceived.connect(self.text)

    def text(self, message: str) -> None:
        socket = self.sender()
        assert isinstance(socket, QWebSocket)
        socket.sendTextMessage(message)


@script("[['one', 'two']]")
def a_socket_that_nobody_refers_to_goes_on(say: Say) -> None:
    server = listening()
    answering = Answering(server)

    def talk() -> list[str]:
        with client(url(server)) as one:
            back = []
            for message in ("one", "two"):
                one.send(message)
                back.append(str(one.recv()))
                gc.collect()
            return back

    say(meanwhile(talk))
    del answering


def status(address: str, **options: Any) -> int | str:
    """What a client gets that may be refused."""
    try:
        with client(address, **options):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@script(
    "[101]",
    "[403]",
    "error CloseCodePolicyViolated",
    "[101]",
    "agreed b",
    "[101]",
    "agreed",
    "asked http://good",
    "asked http://bad",
    "asked ",
)
def origins_and_subprotocols_are_decided(say: Say) -> None:
    server = listening(supportedSubprotocols=["a", "b"])
    asked: list[str] = []

    def decide(authenticator: Any) -> None:
        asked.append(f"asked {authenticator.origin()}")
        authenticator.setAllowed(authenticator.origin() != "http://bad")

    server.originAuthenticationRequired.connect(decide)
    server.serverError.connect(lambda code: errors.append(code.name))
    errors: list[str] = []
    say(meanwhile(lambda: status(url(server), origin="http://good")))
    say(meanwhile(lambda: status(url(server), origin="http://bad")))
    if not errors:
        once(server.serverError)
    say("error", *errors)
    for offer in (["c", "b", "a"], None):
        agreed: list[Any] = []
        say(meanwhile(partial(offered, url(server), offer, agreed)))
        say("agreed", *(name for name in agreed if name))
    server.originAuthenticationRequired.disconnect(decide)
    meanwhile(lambda: status(url(server)))
    for line in asked[:3]:
        say(line)


def offered(address: str, offer: list[str] | None, agreed: list[Any]) -> int:
    with client(address, subprotocols=offer) as one:
        agreed.append(one.subprotocol)
    return 101


@script(
    "30 2",
    "[101, 101, 503]",
    "CloseCodeAbnormalDisconnection Too many pending connections.",
    "True 2 1",
    "['early']",
    "True False",
)
def clients_wait_until_somebody_takes_them(say: Say) -> None:
    server = listening()
    before = server.maxPendingConnections()
    server.setMaxPendingConnections(2)
    say(before, server.maxPendingConnections())
    told: list[str] = []
    server.serverError.connect(lambda code: told.append(code.name))
    news: list[int] = []
    server.newConnection.connect(lambda: news.append(1))
    ones: list[Any] = []

    def talk() -> list[int | str]:
        for _ in range(2):
            one = client(url(server))
            one.send("early")
            ones.append(one)
        return [101, 101, status(url(server))]

    say(*meanwhile(talk))
    if not told:
        once(server.serverError)
    say(told[0], server.errorString())
    say(server.hasPendingConnections(), len(news), len(told))
    socket = server.nextPendingConnection()
    assert socket is not None
    got: list[str] = []
    socket.textMessageReceived.connect(got.append)
    if not got:
        once(socket.textMessageReceived)
    say(got)
    server.nextPendingConnection()
    say(server.nextPendingConnection() is None, server.hasPendingConnections())
    meanwhile(*[one.close for one in ones])


@script("1001 Server closed.", "True", "['again']", "False True", "went 1000")
def closing_tells_those_who_wait_and_leaves_the_others(say: Say) -> None:
    server = listening()
    echo = Echo(server)
    one = meanwhile(lambda: client(url(server)))[0]
    server.newConnection.disconnect()
    two = meanwhile(lambda: client(url(server)))[0]
    address = url(server)
    server.close()

    def told() -> str:
        try:
            two.recv()
        except ConnectionClosed as error:
            return f"{error.rcvd.code:d} {error.rcvd.reason}" if error.rcvd else "none"
        return "nothing"

    say(*meanwhile(told))
    say(meanwhile(lambda: refused(address)) == ["refused"])

    def talk() -> str:
        one.send("again")
        return str(one.recv())

    say(meanwhile(talk))
    say(server.isListening(), server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost)))
    meanwhile(one.close)
    if echo.sockets:
        once(echo.gone)
    say(echo.events[-1])
    server.close()


def refused(address: str) -> str:
    try:
        client(address).close()
    except OSError:
        return "refused"
    return "let in"


@script("True", "['hi']")
def who_is_paused_waits(say: Say) -> None:
    server = listening()
    Echo(server).setParent(server)
    server.pauseAccepting()
    server.pauseAccepting()
    with sockets.create_connection(("127.0.0.1", server.serverPort())) as early:
        early.sendall(REQUEST)
        early.settimeout(0.2)
        try:
            early.recv(1)
        except TimeoutError:
            say(True)
        server.resumeAccepting()
    say(meanwhile(lambda: talked(url(server))))


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def talked(address: str) -> str:
    with client(address) as one:
        one.send("hi")
        return str(one.recv())


@script("True", "['hi']", "True")
def a_server_moves_to_another_thread(say: Say) -> None:
    server = listening()
    thread = QThread()
    thread.start()
    where: list[Any] = []

    def came() -> None:
        where.append(QThread.currentThread())
        socket = server.nextPendingConnection()
        assert socket is not None
        socket.textMessageReceived.connect(socket.sendTextMessage, Qt.ConnectionType.DirectConnection)
        kept.append(socket)

    kept: list[Any] = []
    server.newConnection.connect(came, Qt.ConnectionType.DirectConnection)
    say(server.moveToThread(thread) is not False)
    say(meanwhile(lambda: talked(url(server))))
    say(where == [thread])
    server.deleteLater()
    thread.quit()
    thread.wait()


@script("1001", "RuntimeError: this QWebSocketServer was deleted")
def a_server_that_is_deleted_ends_its_clients(say: Say) -> None:
    server = listening()
    echo = Echo(server)
    one = meanwhile(lambda: client(url(server)))[0]
    server.deleteLater()

    def told() -> str:
        try:
            one.recv()
        except ConnectionClosed as error:
            return f"{error.rcvd.code:d}" if error.rcvd else "none"
        return "nothing"

    say(*meanwhile(told))
    try:
        server.isListening()
    except RuntimeError as error:
        say(f"RuntimeError: {error}")
    del echo
