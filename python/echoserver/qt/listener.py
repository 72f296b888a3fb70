"""One period of listening of a `QWebSocketServer`, with the clients that came in it, until the last of them is gone."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

from echoserver._core import NO_REPLY, Accept, Response
from echoserver.qt._choice import is_valid
from echoserver.qt.cors import QWebSocketCorsAuthenticator
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.QtCore import QObject
from echoserver.qt.socket import QWebSocket
from echoserver.server import EchoServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from echoserver._core import Client, NoReply, Request

__all__ = ["TOO_MANY", "Listener"]

_CloseCode = QWebSocketProtocol.CloseCode

TOO_MANY = "Too many pending connections."
_GOING_AWAY = 1001

# Of the messages of a client that nobody has taken so many bytes are kept, and those of the read that they came with.
_MOST_HELD = 2**16


class Owner(Protocol):
    """The `QWebSocketServer` that listens."""

    newConnection: Any
    originAuthenticationRequired: Any
    _asks_about_origins: bool

    def maxPendingConnections(self) -> int:
        """Its own."""
        ...

    def supportedSubprotocols(self) -> list[str]:
        """Its own."""
        ...

    def _emit(self, signal: Any, *arguments: object) -> None: ...
    def _post(self, call: Callable[[], None]) -> None: ...
    def _fail(self, reason: str) -> None: ...


class Listener:
    """The main package's server under a `QWebSocketServer`, and what its callbacks tell the sockets."""

    def __init__(self, server: Owner, parent: QObject, port: int, options: dict[str, Any]) -> None:
        """Listens; BindError. `parent` is the server as a QObject. `options` are those of the main package's server."""
        # The program's, which has it.
        self._server = ref(server)
        self._sockets: dict[Client, QWebSocket] = {}
        self.pending: deque[QWebSocket] = deque()
        self._is_closed = False
        self._core = EchoServer(
            port,
            echo=False,
            workers=1,
            on_handshake=self._on_handshake,
            on_connect=self._on_connect,
            on_text=self._on_text,
            on_binary=self._on_binary,
            on_disconnect=self._on_disconnect,
            **options,
        )
        self.port = self._core.port
        self.url = self._core.url_for("/").removesuffix("/")
        self._core._run.start_qt(parent, self)

    def pause(self) -> None:
        """Clients wait in the system's backlog."""
        self._core.pause()

    def resume(self) -> None:
        """They come in again."""
        self._core.resume()

    def close(self) -> None:
        """Listens no more. Who was not taken is told so; the others go on."""
        self._core._core.close_listening()
        self._is_closed = True
        for socket in self.pending:
            socket._client.close(_GOING_AWAY, "Server closed.")
            socket.deleteLater()
        self.pending.clear()
        if not self._sockets:
            self._core.stop(wait=False)

    # What the core calls, in the thread of the server

    def _on_handshake(self, request: Request) -> Accept | Response | None:
        server = self._server()
        if server is None or not is_valid(server) or self._is_closed:
            return Response(503)
        if len(self.pending) >= server.maxPendingConnections():
            return Response(503, body=TOO_MANY.encode())
        if server._asks_about_origins:
            authenticator = QWebSocketCorsAuthenticator(request.origin or "")
            server._emit(server.originAuthenticationRequired, authenticator)
            if not authenticator.allowed():
                return Response(403)
        supported = server.supportedSubprotocols()
        for name in request.subprotocols if supported else ():
            if name in supported:
                return Accept(subprotocol=name)
        return None

    def _on_connect(self, client: Client) -> None:
        server = self._server()
        if server is None or not is_valid(server):
            client.close(_GOING_AWAY)
            return
        socket = QWebSocket(client)
        self._sockets[client] = socket
        # Not the listener itself: Qt's connections are nothing that Python's collector sees through.
        socket.destroyed.connect(partial(_deleted, ref(self), client))
        self.pending.append(socket)
        server._emit(server.newConnection)

    def take(self) -> QWebSocket:
        """The next of those that nobody has taken. What it had to hold, and what it sends, follows in a later turn."""
        socket = self.pending.popleft()
        if socket._is_paused:
            socket._client.resume()
        server = self._server()
        if socket._held and server is not None:
            server._post(partial(self._release, socket))
        else:
            socket._held = None
        return socket

    def _release(self, socket: QWebSocket) -> None:
        while socket._held and is_valid(socket):
            socket._held.popleft()()
        socket._held = None
        if socket._has_ended:
            self._forget(socket._client)

    def _tell(self, socket: QWebSocket, event: Callable[[], None], size: int = 0) -> None:
        """Now, or, with a message of that size, when somebody has taken the socket."""
        if socket._held is None:
            event()
            return
        socket._held.append(event)
        socket._held_size += size
        if socket._held_size > _MOST_HELD and not socket._is_paused:
            # What more it sends is not read until then; nor is its close.
            socket._is_paused = True
            socket._client.pause()

    def _forget(self, client: Client) -> None:
        self._sockets.pop(client, None)
        if self._is_closed and not self._sockets:
            with suppress(RuntimeError):
                # In a forked child it is the parent's.
                self._core.stop(wait=False)

    def _on_text(self, client: Client, message: str) -> NoReply:
        return self._deliver(client, QWebSocket._text, message)

    def _on_binary(self, client: Client, message: bytes) -> NoReply:
        return self._deliver(client, QWebSocket._binary, message)

    def _deliver(self, client: Client, emit: Callable[[QWebSocket, Any], None], message: str | bytes) -> NoReply:
        socket = self._sockets.get(client)
        if socket is not None:
            if socket._held is None:
                emit(socket, message)
            else:
                self._tell(socket, partial(emit, socket, message), len(message))
        return NO_REPLY

    def _on_disconnect(self, client: Client) -> None:
        socket = self._sockets.get(client)
        if socket is None:
            self._forget(client)
            return
        socket._has_ended = True
        self._tell(socket, socket._ended)
        if socket._held is None:
            self._forget(client)

    # What the door tells

    def refused(self, reason: str) -> None:
        """An upgrade request was refused; the reason begins with the status."""
        server = self._server()
        if server is not None and is_valid(server):
            server._fail(reason)

    def ponged(self, client: Client, payload: bytes) -> None:
        """A ping of ours was answered."""
        socket = self._sockets.get(client)
        if socket is not None:
            self._tell(socket, partial(socket._ponged, payload))

    def written(self, client: Client) -> None:
        """What was sent to it when it was asked about is on the wire."""
        socket = self._sockets.get(client)
        if socket is not None:
            self._tell(socket, socket._was_written)

    def lost(self) -> None:
        """The `QWebSocketServer` was deleted, and the clients have ended with it.

        Their sockets are let go of here: Python's collector might do that in another thread, which Qt does not bear.
        """
        self._is_closed = True
        self._sockets.clear()
        self.pending.clear()


def _deleted(listener: ref[Listener], client: Client, *_: object) -> None:
    """The socket of this client is deleted."""
    own = listener()
    if own is not None:
        with suppress(RuntimeError):
            # In a forked child the connection is the parent's.
            client.close(_GOING_AWAY, "Connection closed")
        own._forget(client)
