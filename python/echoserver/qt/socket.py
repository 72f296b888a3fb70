"""QWebSocket: one client of a `QWebSocketServer`."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from echoserver._core import Client
from echoserver.exceptions import ClientClosed, SendQueueFull
from echoserver.qt._choice import is_valid, unknown
from echoserver.qt._emitting import emit
from echoserver.qt.frames import fragments, wire_length
from echoserver.qt.peer import Peer
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.QtCore import QByteArray, Signal
from echoserver.qt.QtNetwork import QAbstractSocket

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LARGEST", "QWebSocket"]

# What Qt has as the largest size of a frame or a message.
LARGEST = 2147483646

_FRAME_SIZE = 512 * 1024
_MAX_PING = 125
_MAX_REASON = 123
_ABNORMAL = 1006
# A character has at most so many bytes in UTF-8.
_WIDEST = 4

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
        self._error = ""
        self._is_aborted = False
        self._frame_size = _FRAME_SIZE
        self._max_message, self._max_frame = LARGEST, LARGEST
        self._read_buffer = 0
        self._pinged = 0.0
        # What came before somebody took it from the queue, to be done then; None once that was so.
        self._held: deque[Callable[[], None]] | None = deque()
        self._held_size = 0
        self._is_paused = False
        self._has_ended = False
        # Bytes that `bytesWritten` is to tell of, and those of them that are waited for.
        self._unwritten, self._awaited = 0, 0
        # Whether somebody is connected to signals that few programs want, and that are made only then.
        self._wants_frames = self._wants_written = False

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
        name = bytes(signal.name())
        if name in {b"textFrameReceived", b"binaryFrameReceived"}:
            self._wants_frames = True
        elif name == b"bytesWritten":
            self._wants_written = True

    # Sending and closing

    def sendTextMessage(self, message: str) -> int:
        """Sends text and returns its bytes in UTF-8; 0 if it is not connected. Never blocks, in any thread.

        UnicodeEncodeError for a lone surrogate. Who does not read what waits for it is dropped at 16 MiB.
        """
        self._check()
        if message is None:
            return 0
        if not isinstance(message, str):
            raise TypeError(f"sendTextMessage() takes a str, not {type(message).__name__}")
        if len(message) * _WIDEST > self._frame_size:
            payload = message.encode()
            if len(payload) > self._frame_size:
                return self._send_in_frames(payload, is_text=True)
        return self._send(message)

    def sendBinaryMessage(self, data: QByteArray | bytes | bytearray | memoryview) -> int:
        """Sends bytes and returns how many; 0 if it is not connected. Never blocks, in any thread."""
        self._check()
        payload = _bytes("sendBinaryMessage", data)
        if len(payload) > self._frame_size:
            return self._send_in_frames(payload, is_text=False)
        return self._send(payload)

    def _send(self, data: str | bytes) -> int:
        try:
            sent = self._client.send(data)
        except ClientClosed:
            return 0
        except SendQueueFull as error:
            return self._drop(error)
        if self._wants_written:
            self._count(wire_length(sent))
        return sent

    def _send_in_frames(self, payload: bytes, *, is_text: bool) -> int:
        frames = fragments(payload, self._frame_size, is_text=is_text)
        try:
            self._client.send_raw(frames)
        except ClientClosed:
            return 0
        except SendQueueFull as error:
            return self._drop(error)
        if self._wants_written:
            self._count(len(frames))
        return len(payload)

    def _drop(self, error: SendQueueFull) -> int:
        """It does not read, and the program does not look at `bytesToWrite`: what waits for it would only grow."""
        logging.getLogger("echoserver").warning("QWebSocket of %s:%d dropped: %s", *self._client.peer, error)
        self._error = str(error)
        self._is_aborted = True
        self._client.abort()
        return 0

    def ping(self, payload: QByteArray | bytes = b"") -> None:
        """Sends a ping with the first 125 bytes of `payload`; `pong` tells of its answer."""
        self._check()
        self._pinged = time.monotonic()
        try:
            self._client.ping(_bytes("ping", payload)[:_MAX_PING])
        except ClientClosed:
            return
        except SendQueueFull as error:
            self._drop(error)

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
            self._code, self._reason = _CloseCode(code), cut

    def abort(self) -> None:
        """Drops the connection without a close frame."""
        self._check()
        self._is_aborted = True
        self._client.abort()

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
        return _Error.RemoteHostClosedError if self._error else _Error.UnknownSocketError

    def errorString(self) -> str:
        """What went wrong, "Unknown error" if nothing has."""
        self._check()
        return self._error or "Unknown error"

    # Limits

    def maxAllowedIncomingMessageSize(self) -> int:
        """Bytes of the longest message that it may send."""
        self._check()
        return self._max_message

    def setMaxAllowedIncomingMessageSize(self, maxAllowedIncomingMessageSize: int) -> None:
        """A longer message ends the connection with 1009. What is out of range changes nothing."""
        self._check()
        if 0 <= maxAllowedIncomingMessageSize <= LARGEST:
            self._max_message = maxAllowedIncomingMessageSize
            self._limit()

    def maxAllowedIncomingFrameSize(self) -> int:
        """Bytes of the longest frame that it may send."""
        self._check()
        return self._max_frame

    def setMaxAllowedIncomingFrameSize(self, maxAllowedIncomingFrameSize: int) -> None:
        """The same for each frame."""
        self._check()
        if 0 <= maxAllowedIncomingFrameSize <= LARGEST:
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
        return self._frame_size

    def setOutgoingFrameSize(self, outgoingFrameSize: int) -> None:
        """From the next message on. What is out of range, such as 0, changes nothing."""
        self._check()
        if 0 < outgoingFrameSize <= LARGEST:
            self._frame_size = outgoingFrameSize

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

    def _text(self, message: str) -> None:
        if not self._wants_frames or self._outlives(self.textFrameReceived, message):
            emit(self, self.textMessageReceived, message)

    def _binary(self, message: bytes) -> None:
        payload = QByteArray(message)
        if not self._wants_frames or self._outlives(self.binaryFrameReceived, payload):
            emit(self, self.binaryMessageReceived, payload)

    def _outlives(self, signal: Any, payload: object) -> bool:
        """Tells of a frame, which is all of a message; whether the socket is still there to tell of that."""
        emit(self, signal, payload, True)
        return is_valid(self)

    def _ponged(self, payload: bytes) -> None:
        elapsed = round((time.monotonic() - self._pinged) * 1000)
        self._emit(self.pong, elapsed, QByteArray(payload))

    def _count(self, written: int) -> None:
        self._unwritten += written
        if not self._awaited:
            self._awaited, self._unwritten = self._unwritten, 0
            self._client._tell_written()

    def _was_written(self) -> None:
        written, self._awaited = self._awaited, 0
        if self._unwritten:
            self._count(0)
        self._emit(self.bytesWritten, written)

    def _ended(self) -> None:
        """The connection has ended: says so, in Qt's order."""
        code = self._client.close_code or _ABNORMAL
        self._code, self._reason = _CloseCode(code), self._client.close_reason or ""
        if code == _ABNORMAL and not self._is_aborted:
            self._error = "The remote host closed the connection"
            self._emit(self.errorOccurred, _Error.RemoteHostClosedError)
        self._emit(self.aboutToClose)
        for state in (_State.ClosingState, _State.UnconnectedState):
            self._state = state
            self._emit(self.stateChanged, state)
        self._emit(self.disconnected)
        self._emit(self.readChannelFinished)


def _bytes(call: str, data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, QByteArray):
        return bytes(data.data())
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"{call}() takes a QByteArray or bytes-like data, not {type(data).__name__}")
