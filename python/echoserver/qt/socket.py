"""QWebSocket: one client of a `QWebSocketServer`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from echoserver._core import DEFAULTS, Client
from echoserver.qt._choice import check, is_valid, unknown
from echoserver.qt._emitting import emit
from echoserver.qt.peer import Peer
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.QtCore import QByteArray, Signal
from echoserver.qt.QtNetwork import QAbstractSocket
from echoserver.qt.sending import Sending
from echoserver.qt.wanted import Wanted

__all__ = ["LARGEST", "QWebSocket"]

# What Qt has as the largest size of a frame or a message.
LARGEST = 2147483646
# And what there is before somebody sets one.
_MAX_MESSAGE = cast("int", DEFAULTS["max_message_size"])

_MAX_PING = 125
_MAX_REASON = 123
_ABNORMAL = 1006

_State = QAbstractSocket.SocketState
_Error = QAbstractSocket.SocketError
_CloseCode = QWebSocketProtocol.CloseCode

# What only clients of their own have.
_OF_CLIENTS = frozenset(
    {
        "alertReceived",
        "alertSent",
        "authenticationRequired",
        "connected",
        "continueInterruptedHandshake",
        "handshakeInterruptedOnError",
        "ignoreSslErrors",
        "maskGenerator",
        "open",
        "pauseMode",
        "peerVerifyError",
        "preSharedKeyAuthenticationRequired",
        "proxy",
        "proxyAuthenticationRequired",
        "resume",
        "setMaskGenerator",
        "setPauseMode",
        "setProxy",
        "setSslConfiguration",
        "sslErrors",
    }
)


class QWebSocket(Peer):
    """A client, as `QWebSocketServer.nextPendingConnection()` gives it.

    The server keeps it until `disconnected` was delivered; `deleteLater()` ends its connection with 1001. What sends or
    closes may be called in any thread, and takes effect at once. Of one that was deleted every method raises
    RuntimeError.
    """

    textMessageReceived = Signal(object)
    binaryMessageReceived = Signal(object)
    textFrameReceived = Signal(object, bool)
    binaryFrameReceived = Signal(object, bool)
    disconnected = Signal()
    aboutToClose = Signal()
    stateChanged = Signal(_State)
    errorOccurred = Signal(_Error)
    pong = Signal(int, object)
    bytesWritten = Signal(int)
    readChannelFinished = Signal()

    def __init__(self, client: Client) -> None:
        """TypeError outside of this package: a server makes them."""
        if not isinstance(client, Client):
            message = (
                "QWebSocket() would be a client; echoserver.qt is a server, whose nextPendingConnection() gives them"
            )
            raise TypeError(message)
        super().__init__(client)
        self._state = _State.ConnectedState
        self._code, self._reason = _CloseCode.CloseCodeNormal, ""
        # Here, and before the client did.
        self._has_closed = False
        self._wanted = Wanted()
        self._sending = Sending(client, self._wanted)
        self._max_message, self._max_frame = _MAX_MESSAGE, LARGEST
        self._read_buffer = 0
        self._pinged = 0.0

    # For a type checker there is no such function, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name in _OF_CLIENTS:
                raise AttributeError(f"{type(self).__name__}.{name} is for clients; echoserver.qt is a server")
            if name == "sslConfiguration":
                raise AttributeError(f"{type(self).__name__}.{name} is not here: ask the QWebSocketServer for its own")
            return unknown(self, super(), name)

    def connectNotify(self, signal: Any) -> None:
        """Notes who is connected to signals that few programs want: from then on they are made."""
        self._wanted.note(bytes(signal.name()))

    # Sending and closing

    def sendTextMessage(self, message: str) -> int:
        """Sends text and returns its bytes in UTF-8; 0 if it is not connected. Waits for no client, in any thread.

        UnicodeEncodeError for a lone surrogate. Who does not read what waits for it is dropped at 16 MiB.
        """
        # As `_check`, which is one more call: so in all that is called per message.
        if not is_valid(self):
            check(self)
        if not isinstance(message, str):
            if message is None:
                return 0
            raise TypeError(f"sendTextMessage() takes a str, not {type(message).__name__}")
        return self._sending.send(message)

    def sendBinaryMessage(self, data: QByteArray | bytes | bytearray | memoryview) -> int:
        """Sends bytes and returns how many; 0 if it is not connected. Waits for no client, in any thread."""
        if not is_valid(self):
            check(self)
        return self._sending.send(bytes(data) if type(data) is QByteArray else _bytes("sendBinaryMessage", data))

    def ping(self, payload: QByteArray | bytes = b"") -> None:
        """Sends a ping with the first 125 bytes of `payload`; `pong` tells of its answer."""
        self._check()
        self._pinged = time.monotonic()
        self._sending.ping(_bytes("ping", payload)[:_MAX_PING])

    def close(
        self, closeCode: QWebSocketProtocol.CloseCode | int = _CloseCode.CloseCodeNormal, reason: str = ""
    ) -> None:
        """Begins the closing handshake and returns at once; `disconnected` follows when the connection has ended.

        What was sent before goes out first. The reason is cut at 123 bytes of UTF-8. ValueError for a code that may not
        be sent, such as 1005.
        """
        self._check()
        code = closeCode if isinstance(closeCode, int) else _CloseCode(closeCode).value
        cut = reason.encode()[:_MAX_REASON].decode(errors="ignore")
        is_first = self._client.is_open
        self._client.close(code, cut)
        if is_first:
            self._has_closed = True
            self._code, self._reason = _CloseCode(code), cut

    def abort(self) -> None:
        """Drops the connection without a close frame."""
        self._check()
        self._sending.abort()

    def flush(self) -> bool:
        """Whether something waits for the network, which is sent by itself: nothing has to be done for it."""
        return self.bytesToWrite() > 0

    def bytesToWrite(self) -> int:
        """Bytes that wait for the network."""
        self._check()
        return self._client._queued

    # How it is

    def isValid(self) -> bool:
        """Whether it is connected."""
        self._check()
        return bool(self._state == _State.ConnectedState)

    def state(self) -> QAbstractSocket.SocketState:
        """ConnectedState until the connection has ended, then UnconnectedState."""
        self._check()
        return self._state

    def closeCode(self) -> QWebSocketProtocol.CloseCode:
        """How it has ended, or is to end: 1005 for a close frame without a code, 1006 for an end without a close frame.

        CloseCodeNormal before that.
        """
        self._check()
        return self._code

    def closeReason(self) -> str:
        """The reason that goes with it."""
        self._check()
        return self._reason

    def error(self) -> QAbstractSocket.SocketError:
        """RemoteHostClosedError if the client has gone without a close frame, else UnknownSocketError."""
        self._check()
        return _Error.RemoteHostClosedError if self._sending.error else _Error.UnknownSocketError

    def errorString(self) -> str:
        """What went wrong, "Unknown error" if nothing has."""
        self._check()
        return self._sending.error or "Unknown error"

    # Limits

    def maxAllowedIncomingMessageSize(self) -> int:
        """Bytes of the longest message that it may send; 64 MiB before it is set."""
        self._check()
        return self._max_message

    def setMaxAllowedIncomingMessageSize(self, maxAllowedIncomingMessageSize: int) -> None:
        """A longer message ends the connection with 1009. What is out of range changes nothing."""
        self._check()
        if 0 <= _int("setMaxAllowedIncomingMessageSize", maxAllowedIncomingMessageSize) <= LARGEST:
            self._max_message = maxAllowedIncomingMessageSize
            self._limit()

    def maxAllowedIncomingFrameSize(self) -> int:
        """Bytes of the longest frame that it may send."""
        self._check()
        return self._max_frame

    def setMaxAllowedIncomingFrameSize(self, maxAllowedIncomingFrameSize: int) -> None:
        """The same for each frame."""
        self._check()
        if 0 <= _int("setMaxAllowedIncomingFrameSize", maxAllowedIncomingFrameSize) <= LARGEST:
            self._max_frame = maxAllowedIncomingFrameSize
            self._limit()

    def _limit(self) -> None:
        self._client._set_limits(self._max_message, self._max_frame)

    @staticmethod
    def maxIncomingMessageSize() -> int:
        """The largest value of `maxAllowedIncomingMessageSize`."""
        return LARGEST

    @staticmethod
    def maxIncomingFrameSize() -> int:
        """The largest value of `maxAllowedIncomingFrameSize`."""
        return LARGEST

    @staticmethod
    def maxOutgoingFrameSize() -> int:
        """The largest value of `outgoingFrameSize`."""
        return LARGEST

    def outgoingFrameSize(self) -> int:
        """Bytes of a frame at most; longer messages are sent in several."""
        self._check()
        return self._sending.frame_size

    def setOutgoingFrameSize(self, outgoingFrameSize: int) -> None:
        """From the next message on. What is out of range, such as 0, changes nothing."""
        self._check()
        if 0 < outgoingFrameSize <= LARGEST:
            self._sending.frame_size = outgoingFrameSize

    def readBufferSize(self) -> int:
        """As it was set; 0 for no limit."""
        self._check()
        return self._read_buffer

    def setReadBufferSize(self, size: int) -> None:
        """Kept, and without effect: what is not taken yet is bounded anyway, and then not read."""
        self._check()
        self._read_buffer = size

    # What the server tells it

    def _emit(self, signal: Any, *arguments: object) -> None:
        # A slot that runs a loop may have deleted it.
        if is_valid(self):
            emit(self, signal, *arguments)

    def _ponged(self, payload: bytes) -> None:
        elapsed = round((time.monotonic() - self._pinged) * 1000)
        self._emit(self.pong, elapsed, QByteArray(payload))

    def _was_written(self) -> None:
        self._emit(self.bytesWritten, self._sending.take_written())

    def _was_left(self) -> None:
        """Its server was deleted, and has ended the connection: says so, as Qt does."""
        if self._sending.is_aborted:
            self._code = _CloseCode.CloseCodeAbnormalDisconnection
        elif not self._has_closed:
            self._code = _CloseCode.CloseCodeGoingAway
        self._state = _State.UnconnectedState
        self._emit(self.stateChanged, _State.UnconnectedState)
        self._emit(self.disconnected)

    def _ended(self) -> None:
        """The connection has ended: says so, in Qt's order."""
        code = self._client.close_code or _ABNORMAL
        self._code, self._reason = _CloseCode(code), self._client.close_reason or ""
        if code == _ABNORMAL and not self._sending.is_aborted:
            self._sending.error = "The remote host closed the connection"
            self._emit(self.errorOccurred, _Error.RemoteHostClosedError)
        self._emit(self.aboutToClose)
        for state in (_State.ClosingState, _State.UnconnectedState):
            self._state = state
            self._emit(self.stateChanged, state)
        self._emit(self.disconnected)
        self._emit(self.readChannelFinished)


def _int(call: str, number: object) -> int:
    if isinstance(number, int):
        return number
    raise TypeError(f"{call}() takes an int, not {type(number).__name__}")


def _bytes(call: str, data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, QByteArray | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"{call}() takes a QByteArray or bytes-like data, not {type(data).__name__}")
