"""Who does not get in, and what is told of that, on each Qt."""

from __future__ import annotations

import socket as sockets
from functools import partial
from typing import Any

from echoserver.qt.QtCore import QObject, Signal
from echoserver.qt.QtWebSockets import QWebSocketCorsAuthenticator, QWebSocketHandshakeOptions
from qt_scripts import Say, script
from qt_talks import LIMIT, listening, meanwhile, once

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


class Told(QObject):
    """The errors of a server, with their texts."""

    changed = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__()
        self.server = server
        self.errors: list[str] = []
        server.serverError.connect(self.failed)

    def failed(self, code: Any) -> None:
        self.errors.append(f"{code.name} {self.server.errorString()}")
        self.changed.emit()


def answered(port: int, *parts: bytes) -> str:
    """The status line of a request."""
    with sockets.create_connection(("127.0.0.1", port), LIMIT) as one:
        for part in parts:
            one.sendall(part)
        answer = b""
        while more := one.recv(1000):
            answer += more
    return answer.partition(b"\r\n")[0].decode()


@script(
    *["HTTP/1.1 426 Upgrade Required CloseCodeProtocolError Upgrade Required, this is a WebSocket"] * 4,
    "HTTP/1.1 400 Bad Request CloseCodeProtocolError Bad Request, there is no Sec-WebSocket-Key",
    "5",
)
def each_bad_request_is_told(say: Say) -> None:
    server = listening()
    told = Told(server)
    host = b" / HTTP/1.1\r\nHost: x\r\n"
    requests = [
        b"GET" + host + b"\r\n",
        b"HEAD" + host + b"\r\n",
        b"GET" + host + UPGRADE.replace(b"Upgrade: websocket\r\n", b"") + b"\r\n",
        b"GET" + host + UPGRADE.replace(b"websocket", b"h2c", 1) + b"\r\n",
        b"GET" + host + UPGRADE.partition(b"Sec-WebSocket-Key")[0] + b"\r\n",
    ]
    for number, request in enumerate(requests):
        (line,) = meanwhile(partial(answered, server.serverPort(), request))
        if len(told.errors) == number:
            once(told.changed)
        say(line, " ".join(told.errors[-1].split()[:7]))
    say(len(told.errors))


@script("closed", "503", "CloseCodeAbnormalDisconnection The server has closed.")
def who_comes_when_it_has_closed_is_told_so(say: Say) -> None:
    server = listening()
    told = Told(server)
    port = server.serverPort()
    server.closed.connect(lambda: say("closed"))
    # Somebody is there, so that it goes on after its close.
    one = sockets.create_connection(("127.0.0.1", port), LIMIT)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n"

    def come() -> None:
        one.sendall(request)
        while not one.recv(1000).endswith(b"\r\n\r\n"):
            pass

    server.newConnection.connect(server.nextPendingConnection)
    meanwhile(come)
    with sockets.create_connection(("127.0.0.1", port), LIMIT) as late:
        late.sendall(request[:20])
        # Whoever comes later is answered later, and it is accepted by then.
        meanwhile(lambda: answered(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        if not told.errors:
            once(told.changed)
        server.close()
        once(server.closed)

        def go_on() -> str:
            late.sendall(request[20:])
            return late.recv(1000).split()[1].decode()

        say(*meanwhile(go_on))
    if len(told.errors) == 1:
        once(told.changed)
    say(told.errors[-1])
    one.close()


@script("['b'] ['a']", "http://b False http://a True")
def what_is_asked_about_can_be_swapped(say: Say) -> None:
    one, other = QWebSocketHandshakeOptions(), QWebSocketHandshakeOptions()
    one.setSubprotocols(["a"])
    other.setSubprotocols(["b"])
    one.swap(other)
    say(one.subprotocols(), other.subprotocols())
    here, there = QWebSocketCorsAuthenticator("http://a"), QWebSocketCorsAuthenticator("http://b")
    there.setAllowed(False)
    here.swap(there)
    say(here.origin(), here.allowed(), there.origin(), there.allowed())
