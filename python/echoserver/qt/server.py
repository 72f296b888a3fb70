"""QWebSocketServer: a server whose clients are QObjects of the application's event loop."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import TYPE_CHECKING, Any

from echoserver.qt._choice import check, is_valid, module, unknown
from echoserver.qt._emitting import emit
from echoserver.qt.given import Given
from echoserver.qt.listener import Listener
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.QtCore import QObject, Qt, QUrl, Signal
from echoserver.qt.QtNetwork import QAbstractSocket, QHostAddress
from echoserver.qt.refusals import accept_error, as_error, is_of_certificate, ssl_error
from echoserver.qt.tls import by_setters, tls_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from echoserver._core import TLS
    from echoserver.qt.socket import QWebSocket

__all__ = ["QWebSocketServer"]

_CloseCode = QWebSocketProtocol.CloseCode
_Special = QHostAddress.SpecialAddress

# What `EchoServer` calls the addresses for which it binds all interfaces.
_EVERYWHERE = {_Special.Any: None, _Special.AnyIPv4: "0.0.0.0", _Special.AnyIPv6: "::"}

# Where an address is of one interface.
_NOWHERE = object()

# Seconds for who has no limit.
_FOREVER = 1e9
# Milliseconds: in none at all nobody would come in, and the core takes that for an error.
_SHORTEST = 1

_MAX_PENDING = 30
_HANDSHAKE_TIMEOUT = 10_000

# What there is only with a TCP server of the program's own.
_LEFT_OUT = frozenset({"handleConnection", "nativeDescriptor", "proxy", "setNativeDescriptor", "setProxy"})
# What Qt's TLS tells.
_TLS_LEFT_OUT = {
    "alertReceived": "TLS is the core's; an alert of a client's is an error, of which sslErrors and errorString() tell",
    "alertSent": "TLS is the core's; sslErrors and errorString() tell for what it was sent",
    "handshakeInterruptedOnError": "a handshake that fails has ended, and sslErrors tells of it",
    "preSharedKeyAuthenticationRequired": "TLS is the core's, which knows no keys that are shared before",
    "sslErrorsOccurred": "the connections are the core's, and have no QSslSocket; sslErrors tells the same",
}


class QWebSocketServer(QObject):
    """A WebSocket server as Qt has it: `newConnection` tells of a client, `nextPendingConnection()` gives it.

    Its signals and those of its sockets come in the thread that it belongs to, whose event loop has to run. Deleting it
    ends its clients with 1001; `close()` does not.
    """

    class SslMode(Enum):
        """Whether it speaks TLS."""

        SecureMode = 0
        NonSecureMode = 1

    newConnection = Signal()
    closed = Signal()
    serverError = Signal(_CloseCode)
    acceptError = Signal(QAbstractSocket.SocketError)
    originAuthenticationRequired = Signal(object)
    sslErrors = Signal(object)
    peerVerifyError = Signal(object)
    _queued = Signal(object)

    def __init__(self, serverName: str, secureMode: SslMode, parent: QObject | None = None) -> None:
        """`serverName` is the `Server` header; `secureMode` whether `setSslConfiguration()` is to follow."""
        super().__init__(parent)
        self._name = serverName
        self._mode = self.SslMode(secureMode)
        self._listener: Listener | None = None
        self._address: QHostAddress | None = None
        self._is_paused = False
        self._error, self._error_text = _CloseCode.CloseCodeNormal, ""
        self._max_pending = _MAX_PENDING
        self._timeout = _HANDSHAKE_TIMEOUT
        self._subprotocols: list[str] = []
        self._ssl: Any = None
        self._asks_about_origins = False
        # Whether `emitting()` is asked whose messages slots are called for.
        self._notes_messages = False
        self._failure: OSError | None = None
        self._queued.connect(self._run, Qt.ConnectionType.QueuedConnection)

    # For a type checker there is no such function, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name in _LEFT_OUT:
                message = (
                    f"{type(self).__name__}.{name} is not here: the connections are the core's, and have no QTcpSocket"
                )
                raise AttributeError(message)
            if name in _TLS_LEFT_OUT:
                raise AttributeError(f"{type(self).__name__}.{name} is not here: {_TLS_LEFT_OUT[name]}")
            return unknown(self, super(), name)

    # Listening

    def listen(self, address: QHostAddress | QHostAddress.SpecialAddress = _Special.Any, port: int = 0) -> bool:
        """Listens from now on; port 0 takes a free one. False, with an `errorString()`, if it can't.

        False, too, if it listens already. TypeError and OverflowError for arguments that can't be right.
        """
        self._check()
        if not isinstance(address, QHostAddress | _Special):
            raise TypeError(f"listen() takes a QHostAddress, not {type(address).__name__}")
        address = QHostAddress(address)
        if address.isNull() and self._listener is None:
            self._error_text = "the address is none"
            return False
        host = next((host for special, host in _EVERYWHERE.items() if address == QHostAddress(special)), _NOWHERE)
        return self._listen(address, {"host": address.toString() if host is _NOWHERE else host, "port": port})

    def _listen(self, address: QHostAddress | None, where: dict[str, Any]) -> bool:
        if self._is_in_use():
            return False
        try:
            self._start(address, where)
        except OSError as error:
            self._failure, self._error_text = error, str(error)
            return False
        return True

    def _is_in_use(self) -> bool:
        if self._listener is not None:
            self._error_text = "listen() was called before, and close() not since"
        return self._listener is not None

    def _start(self, address: QHostAddress | None, where: dict[str, Any], given: Given | None = None) -> None:
        timeout = _FOREVER if self._timeout < 0 else min(max(self._timeout, _SHORTEST) / 1000, _FOREVER)
        options = where | {"server_header": self._name, "open_timeout": timeout}
        with self._tls() as tls:
            try:
                self._listener = Listener(self, self, options | {"tls": tls}, given)
            except ValueError as error:
                # By the names that they have here.
                raise ValueError(by_setters(str(error)).replace("server_header=", "serverName=", 1)) from error
        self._address, self._is_paused = address or QHostAddress(self._listener.host), False

    def close(self) -> None:
        """Listens no more. Who was not taken from the queue is told 1001; the others stay connected.

        `closed` follows in a later turn of the event loop, once for each time of listening.
        """
        self._check()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            self._post(self._tell_closed)

    def _tell_closed(self) -> None:
        self._emit(self.closed)

    def isListening(self) -> bool:
        """Whether it listens, or has paused."""
        self._check()
        return self._listener is not None

    def serverPort(self) -> int:
        """The port, also if 0 was asked for; 0 while it does not listen."""
        self._check()
        return 0 if self._listener is None else self._listener.port

    def serverAddress(self) -> QHostAddress:
        """The address that it listens on; null while it does not."""
        self._check()
        if self._listener is None or self._address is None:
            return QHostAddress()
        return QHostAddress(self._address)

    def serverUrl(self) -> QUrl:
        """Where a client on this machine reaches it; empty while it does not listen."""
        self._check()
        return QUrl() if self._listener is None else QUrl(self._listener.url)

    def socketDescriptor(self) -> int:
        """As it was set; -1 after `listen()`, whose socket is the core's, and while it does not listen."""
        self._check()
        return -1 if self._listener is None else self._listener.descriptor()

    def setSocketDescriptor(self, socketDescriptor: int) -> bool:
        """Listens on a socket that listens already, such as one of systemd's, and closes it in `close()`.

        It is the server's then: of a `socket.socket` hand over what `detach()` returns. False, with an `errorString()`,
        if it can't, or listens already; the descriptor is as it was then. TypeError for what is no int.
        """
        self._check()
        if not isinstance(socketDescriptor, int):
            raise TypeError(f"setSocketDescriptor() takes an int, not {type(socketDescriptor).__name__}")
        if self._is_in_use():
            return False
        try:
            given = Given(socketDescriptor)
            with given.opened() as sock:
                self._start(None, {"sock": sock}, given)
        except OSError as error:
            self._error_text = f"descriptor {socketDescriptor}: {error}"
            return False
        except ValueError as error:
            name, _, reason = str(error).partition(">: ")
            if not name.startswith("sock="):
                raise
            self._error_text = f"descriptor {socketDescriptor}: {reason}"
            return False
        return True

    def pauseAccepting(self) -> None:
        """Clients wait in the system's backlog until `resumeAccepting()`."""
        self._check()
        if self._listener is not None and not self._is_paused:
            self._is_paused = True
            self._listener.pause()

    def resumeAccepting(self) -> None:
        """They come in again, those first that have waited."""
        self._check()
        if self._listener is not None and self._is_paused:
            self._is_paused = False
            self._listener.resume()

    # Clients

    def hasPendingConnections(self) -> bool:
        """Whether `nextPendingConnection()` has one."""
        self._check()
        return self._listener is not None and bool(self._listener.pending)

    def nextPendingConnection(self) -> QWebSocket | None:
        """The client that has waited longest; None if there is none. Its first signal comes in a later turn."""
        if not self.hasPendingConnections() or self._listener is None:
            return None
        return self._listener.take()

    # How it is

    def error(self) -> QWebSocketProtocol.CloseCode:
        """Why a client was refused last; CloseCodeNormal if none was."""
        self._check()
        return self._error

    def errorString(self) -> str:
        """The same, or why it can't listen, as text."""
        self._check()
        return self._error_text

    def serverName(self) -> str:
        """The `Server` header."""
        self._check()
        return self._name

    def setServerName(self, serverName: str) -> None:
        """From the next `listen()` on; "" leaves it out."""
        self._check()
        self._name = serverName

    def maxPendingConnections(self) -> int:
        """How many clients may wait for `nextPendingConnection()`; more are refused with 503."""
        self._check()
        return self._max_pending

    def setMaxPendingConnections(self, numConnections: int) -> None:
        """From the next client on."""
        self._check()
        self._max_pending = numConnections

    def handshakeTimeoutMS(self) -> int:
        """Milliseconds that a client has for its upgrade request; negative for no limit."""
        self._check()
        return self._timeout

    handshakeTimeout = handshakeTimeoutMS

    def setHandshakeTimeout(self, msec: int) -> None:
        """From the next `listen()` on; a negative one is no limit."""
        self._check()
        self._timeout = msec

    def supportedSubprotocols(self) -> list[str]:
        """Names of subprotocols, as they were set."""
        self._check()
        return list(self._subprotocols)

    def setSupportedSubprotocols(self, protocols: Iterable[str]) -> None:
        """Of those that a client offers, the first that is among these is agreed. From the next client on."""
        self._check()
        self._subprotocols = list(protocols)

    def supportedVersions(self) -> list[QWebSocketProtocol.Version]:
        """Version13."""
        self._check()
        return [QWebSocketProtocol.Version.Version13]

    def secureMode(self) -> SslMode:
        """Whether it speaks TLS."""
        self._check()
        return self._mode

    def sslConfiguration(self) -> Any:
        """The `QSslConfiguration` that was set; with PySide6 only, as Qt's classes for TLS."""
        self._check()
        return module("QtNetwork").QSslConfiguration() if self._ssl is None else self._ssl

    def setSslConfiguration(self, sslConfiguration: Any) -> None:
        """Certificate, chain and key in SecureMode, from the next `listen()` on.

        With VerifyPeer clients need certificates that one of the CA certificates has signed. The rest is not used.
        `PySide6.QtNetwork` has what that takes: without PySide6 use `EchoServer(tls=...)` of the main package.
        """
        self._check()
        self._ssl = sslConfiguration

    def _tls(self) -> AbstractContextManager[TLS | None]:
        return nullcontext() if self._mode is self.SslMode.NonSecureMode else tls_of(self._ssl)

    # What it is made of

    def connectNotify(self, signal: Any) -> None:
        """Notes that somebody decides about origins; who does so no more is asked in vain."""
        if bytes(signal.name()) == b"originAuthenticationRequired":
            self._asks_about_origins = True

    _check = check
    _emit = emit

    def _post(self, call: Callable[[], None]) -> None:
        """Has something called in a later turn of the event loop."""
        self._queued.emit(call)

    def _run(self, call: Callable[[], None]) -> None:
        call()

    def _fail(self, event: str, reason: str) -> None:
        """Somebody did not get in, as the log has it."""
        if event == "not_accepted":
            self._error_text = reason
            self._emit(self.acceptError, accept_error(reason))
            return
        self._error, self._error_text = as_error(event, reason)
        self._emit(self.serverError, self._error)
        if event == "tls_failed" and is_valid(self):
            error = ssl_error(reason)
            if is_of_certificate(reason):
                self._emit(self.peerVerifyError, error)
            if is_valid(self):
                self._emit(self.sslErrors, [error])
