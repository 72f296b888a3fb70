"""Sockets whose server goes, clients that come as it closes, and sizes that are none, on each Qt."""

from __future__ import annotations

from collections.abc import Callable

from echoserver.qt.QtCore import QTimer
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketProtocol, QWebSocketServer
from qt_scripts import Say, script
from qt_scripts_frames import Raw
from qt_talks import listening, meanwhile, once


def taken(server: QWebSocketServer) -> tuple[QWebSocket, Raw]:
    """A socket, and the client that it is of."""
    (one,) = meanwhile(lambda: Raw(server.serverPort()))
    if not server.hasPendingConnections():
        once(server.newConnection)
    socket = server.nextPendingConnection()
    assert socket is not None
    return socket, one


@script("CloseCodeGoingAway", "4001 mine", "CloseCodeAbnormalDisconnection")
def a_socket_whose_server_is_deleted_says_how_it_was_ended(say: Say) -> None:
    ends: list[Callable[[QWebSocket], object]] = [
        lambda _: None,
        lambda socket: socket.close(QWebSocketProtocol.CloseCode(4001), "mine"),
        lambda socket: socket.abort(),
    ]
    for end in ends:
        server = listening()
        socket, one = taken(server)

        def tell(socket: QWebSocket = socket) -> None:
            code = socket.closeCode()
            say(f"{code.value} {socket.closeReason()}" if code.value >= 4000 else code.name)

        socket.disconnected.connect(tell)
        end(socket)
        server.deleteLater()
        once(socket.disconnected)
        one.socket.close()


@script("1001 True")
def who_comes_as_the_server_closes_is_told_so(say: Say) -> None:
    server = listening()
    _socket, first = taken(server)
    told: list[bool] = []
    server.newConnection.connect(lambda: told.append(server.isListening()))
    # Behind its answer, and before it is in, or right after that.
    server.originAuthenticationRequired.connect(lambda _: QTimer.singleShot(0, server.close))

    def talk() -> bytes:
        one = Raw(server.serverPort())
        data = b""
        while not data.endswith(b"Server closed."):
            more = one.socket.recv(1000)
            assert more, data
            data += more
        one.socket.close()
        return data

    (data,) = meanwhile(talk)
    say(int.from_bytes(data[2:4]) if isinstance(data, bytes) else data, all(told))
    first.socket.close()


@script("takes an int, not float", "67108864", "takes an int, not str", "2147483646")
def a_size_that_is_no_number_changes_nothing(say: Say) -> None:
    socket, one = taken(listening())
    for name, size in ("Message", 10.5), ("Frame", "5"):
        try:
            getattr(socket, f"setMaxAllowedIncoming{name}Size")(size)
        except TypeError as error:
            say(str(error).split("() ")[1])
        say(getattr(socket, f"maxAllowedIncoming{name}Size")())
    one.socket.close()
