"""What of a `QWebSocket` its request and its connection say: who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echoserver.qt._choice import check
from echoserver.qt.handshake_options import QWebSocketHandshakeOptions
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.QtCore import QByteArray, QObject, QUrl
from echoserver.qt.QtNetwork import QHostAddress, QNetworkRequest

if TYPE_CHECKING:
    from echoserver._core import Client

__all__ = ["Peer"]


class Peer(QObject):
    """The part of `QWebSocket` that stays as it is."""

    def __init__(self, client: Client) -> None:
        """It is of that client."""
        super().__init__()
        self._client = client

    _check = check

    def peerAddress(self) -> QHostAddress:
        """Address of the client, IPv4 as such; also after the end."""
        self._check()
        return QHostAddress(self._client.peer[0])

    def peerPort(self) -> int:
        """Port of the client, also after the end."""
        self._check()
        return self._client.peer[1]

    def peerName(self) -> str:
        """An empty string: clients have no name here."""
        self._check()
        return ""

    def localAddress(self) -> QHostAddress:
        """Address that the client has connected to."""
        self._check()
        return QHostAddress(self._client.local_address[0])

    def localPort(self) -> int:
        """Port that the client has connected to."""
        self._check()
        return self._client.local_address[1]

    def origin(self) -> str:
        """The `Origin` header; "" without one."""
        self._check()
        return self._client.origin or ""

    def requestUrl(self) -> QUrl:
        """The URL that the client asked for."""
        return QUrl(self.resourceName())

    def resourceName(self) -> str:
        """The same as text: scheme, host, path and query."""
        self._check()
        client = self._client
        scheme = "ws" if client.tls is None else "wss"
        query = f"?{client.query}" if client.query else ""
        return f"{scheme}://{client.headers['host']}{client.path}{query}"

    def request(self) -> QNetworkRequest:
        """The upgrade request: its URL and headers, whose names are lower-case."""
        request = QNetworkRequest(self.requestUrl())
        for name, value in self._client.headers.items():
            request.setRawHeader(QByteArray(name.lower().encode()), QByteArray(value.encode("latin-1")))
        return request

    def handshakeOptions(self) -> QWebSocketHandshakeOptions:
        """The subprotocols that the client has offered."""
        self._check()
        options = QWebSocketHandshakeOptions()
        offered = self._client.headers.get("sec-websocket-protocol", "")
        options.setSubprotocols([name.strip() for name in offered.split(",") if name.strip()])
        return options

    def subprotocol(self) -> str:
        """The subprotocol that was agreed; "" for none."""
        self._check()
        return self._client.subprotocol or ""

    def version(self) -> QWebSocketProtocol.Version:
        """Version13."""
        self._check()
        return QWebSocketProtocol.Version.Version13
