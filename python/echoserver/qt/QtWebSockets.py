"""QtWebSockets, as programs import it: the classes of a server, on this package's core."""

from echoserver.qt.cors import QWebSocketCorsAuthenticator
from echoserver.qt.handshake_options import QWebSocketHandshakeOptions
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.server import QWebSocketServer
from echoserver.qt.socket import QWebSocket

__all__ = [
    "QWebSocket",
    "QWebSocketCorsAuthenticator",
    "QWebSocketHandshakeOptions",
    "QWebSocketProtocol",
    "QWebSocketServer",
]

TYPE_CHECKING = False
# For a type checker there is no such function, so that it sees a name that is misspelt.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name.startswith("Q"):
            raise AttributeError(f"{__name__} has no {name}: it has what a server needs, {', '.join(__all__)}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
