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
from echoserver.qt.incoming import Incoming
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.QtCore import QObject
from echoserver.qt.refusals import BY_CALLBACK, CLOSED, TOO_MANY, is_for_good
from echoserver.server import EchoServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from echoserver._core import Client, NoReply, Request
    from echoserver.qt.given import Given
    from echoserver.qt.socket import QWebSocket

__all__ = ["Listener"]

_CloseCode = QWebSocketProtocol.CloseCode

_GOING_AWAY = 1001


class Owner(Protocol):
    """The `QWebSocketServer` that listens."""

    newConnection: Any
    originAuthenticationRequired: Any
    _asks_about_origins: bool
    _notes_messages: bool

    def maxPendingConnections(self) -> int:
        """Its own."""
        ...

    def supportedSubprotocols(self) -> list[str]:
        """Its own."""
        ...

    def _emit(self, signal: Any, *arguments: object) -> None: ...
    def _post(self, call: Callable[[], None]) -> None: ...
    def _fail(self, event: str, reason: str) -> None: ...


class Listener:
    """The main package's server under a `QWebSocketServer`, and what its callbacks tell the sockets."""

    def __init__(self, server: Owner, parent: QObject, options: dict[str, Any], given: Given | None) -> None:
        """Listens; errors and `options` are those of the main package's server, `parent` is this one as a QObject.

        What was `given` is closed with it.
        """
        # The program's, which has it.
        self._server = ref(server)
        self._clients: dict[Client, Incoming] = {}
        self.pending: deque[Incoming] = deque()
        self._is_closed = False
        # It can't accept, whatever is tried, and that was told.
        self._is_useless = False
        self._given = given
        self._core = EchoServer(
            echo=False,
            workers=1,
            on_handshake=self._on_handshake,
            on_connect=self._on_connect,
            on_text=self._on_text,
            on_binary=self._on_binary,
            on_disconnect=self._on_disconnect,
            **options,
        )
        self.host, self.port = self._core.address
        self.url = self._core.url_for("/").removesuffix("/")
        self._core._core.note_frames()
        self._core._run.start_qt(parent, self)

    def descriptor(self) -> int:
        """Of the socket that it was given; -1 if it has bound its own."""
        return -1 if self._given is None else self._given.number

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
        for incoming in self.pending:
            socket = incoming.socket
            socket._client.close(_GOING_AWAY, "Server closed.")
            socket.deleteLater()
        self.pending.clear()
        if not self._clients:
            self._core.stop(wait=False)
        if self._given is not None:
            self._given.close()

    # What the core calls, in the thread of the server

    def _on_handshake(self, request: Request) -> Accept | Response | None:
        server = self._server()
        if server is None or not is_valid(server) or self._is_closed:
            return Response(503)
        # Somebody came, so it can accept.
        self._is_useless = False
        if len(self.pending) >= server.maxPendingConnections():
            return Response(503, body=TOO_MANY.encode())
        if server._asks_about_origins:
            authenticator = QWebSocketCorsAuthenticator(request.origin or "")
            server._emit(server.originAuthenticationRequired, authenticator)
            if not is_valid(server):
                return Response(503)
            if not authenticator.allowed():
                return Response(403)
        supported = server.supportedSubprotocols()
        for name in request.subprotocols if supported else ():
            if name in supported:
                return Accept(subprotocol=name)
        return None

    def _on_connect(self, client: Client) -> None:
        server = self._server()
        if server is None or not is_valid(server) or self._is_closed:
            # It had its 101 just before.
            client.close(_GOING_AWAY, "Server closed.")
            return
        self._clients[client] = incoming = Incoming(client, is_noted=server._notes_messages)
        # Not the listener itself: Qt's connections are nothing that Python's collector sees through.
        incoming.socket.destroyed.connect(partial(_deleted, ref(self), client))
        self.pending.append(incoming)
        server._emit(server.newConnection)

    def take(self) -> QWebSocket:
        """The next of those that nobody has taken. What it had to hold, and what it sends, follows in a later turn."""
        incoming = self.pending.popleft()
        server = self._server()
        if incoming.held and server is not None:
            server._post(partial(self._release, incoming))
        else:
            incoming.held = None
        return incoming.socket

    def _release(self, incoming: Incoming) -> None:
        incoming.release()
        if incoming.has_ended:
            self._forget(incoming.socket._client)

    def _forget(self, client: Client) -> None:
        self._clients.pop(client, None)
        if self._is_closed and not self._clients:
            with suppress(RuntimeError):
                # In a forked child it is the parent's.
                self._core.stop(wait=False)

    def _on_text(self, client: Client, message: str) -> NoReply:
        incoming = self._clients.get(client)
        if incoming is not None:
            if incoming.held is None:
                incoming.text(message)
            else:
                incoming.hold(message)
        return NO_REPLY

    def _on_binary(self, client: Client, message: bytes) -> NoReply:
        incoming = self._clients.get(client)
        if incoming is not None:
            if incoming.held is None:
                incoming.binary(message)
            else:
                incoming.hold(message)
        return NO_REPLY

    def _on_disconnect(self, client: Client) -> None:
        incoming = self._clients.get(client)
        if incoming is None:
            self._forget(client)
            return
        incoming.has_ended = True
        incoming.tell(incoming.socket._ended)
        if incoming.held is None:
            self._forget(client)

    # What the door tells

    def refused(self, event: str, reason: str) -> None:
        """Somebody did not get in."""
        if event == "not_accepted" and is_for_good(reason):
            if self._is_useless:
                return
            self._is_useless = True
        if self._is_closed and reason == f"503 {BY_CALLBACK}":
            reason = f"503 {CLOSED}"
        server = self._server()
        if server is not None and is_valid(server):
            server._fail(event, reason)

    def ponged(self, client: Client, payload: bytes) -> None:
        """A ping of ours was answered."""
        incoming = self._clients.get(client)
        if incoming is not None:
            incoming.tell(partial(incoming.socket._ponged, payload))

    def written(self, client: Client) -> None:
        """What was sent to it when it was asked about is on the wire."""
        incoming = self._clients.get(client)
        if incoming is not None:
            incoming.tell(incoming.socket._was_written)

    def lost(self) -> None:
        """The `QWebSocketServer` was deleted, and the clients have ended with it.

        Their sockets are let go of here: Python's collector might do that in another thread, which Qt does not bear.
        """
        self._is_closed = True
        clients, pending = list(self._clients.values()), list(self.pending)
        self._clients.clear()
        self.pending.clear()
        for incoming in clients:
            incoming.is_left = True
        for incoming in clients:
            # An end that is held has not been told.
            is_told = incoming.has_ended and incoming.held is None
            if not is_told and incoming not in pending and is_valid(incoming.socket):
                incoming.socket._was_left()
                if is_valid(incoming.socket):
                    incoming.socket.deleteLater()
        if self._given is not None:
            self._given.close()


def _deleted(listener: ref[Listener], client: Client, *_: object) -> None:
    """The socket of this client is deleted."""
    own = listener()
    if own is not None:
        with suppress(RuntimeError):
            # In a forked child the connection is the parent's.
            client.close(_GOING_AWAY, "Connection closed")
        own._forget(client)
