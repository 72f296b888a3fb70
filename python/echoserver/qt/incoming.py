"""What comes from a client, on its way to its `QWebSocket`: at once, or when somebody has taken that from the queue."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from echoserver.qt._choice import is_valid
from echoserver.qt._emitting import emit, emitter
from echoserver.qt.frames import parts
from echoserver.qt.QtCore import QByteArray
from echoserver.qt.socket import QWebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from echoserver._core import Client

__all__ = ["Incoming"]

# Of the messages of a client that nobody has taken so many bytes are kept, and those of the read that they came with.
_MOST_HELD = 2**16


class Incoming:
    """Of one client, whose socket it keeps."""

    __slots__ = ("_binary", "_client", "_is_paused", "_size", "_text", "_wanted", "has_ended", "held", "socket")

    def __init__(self, client: Client, *, is_noted: bool) -> None:
        """Makes the socket. `is_noted`: `emitting()` tells whose messages they are."""
        self._client = client
        self.socket = socket = QWebSocket(client)
        # Looked up once: attributes of a QObject take Python several times as long as others.
        self._text = emitter(socket, socket.textMessageReceived, is_noted=is_noted)
        self._binary = emitter(socket, socket.binaryMessageReceived, is_noted=is_noted)
        self._wanted = socket._wanted
        # What is to be done when somebody takes the socket from the queue; None once that was so.
        self.held: deque[Callable[[], None]] | None = deque()
        self._size = 0
        self._is_paused = False
        # Its end was told, or is held.
        self.has_ended = False

    def text(self, message: str, frames: Sequence[int] | None = None) -> None:
        """A text message, which came in frames of these lengths; None if it is the one that the client tells of."""
        if not self._wanted.frames or self._outlives(self.socket.textFrameReceived, message, frames):
            self._text(message)

    def binary(self, message: bytes, frames: Sequence[int] | None = None) -> None:
        """The same of a binary message."""
        if not self._wanted.frames or self._outlives(self.socket.binaryFrameReceived, message, frames):
            self._binary(QByteArray(message))

    def _outlives(self, signal: Any, message: str | bytes, frames: Sequence[int] | None) -> bool:
        """Tells of the frames of a message; whether the socket is still there to tell of that."""
        for part, is_last in parts(message, self._client._frames() if frames is None else frames):
            emit(self.socket, signal, part if isinstance(part, str) else QByteArray(part), is_last)
            if not is_valid(self.socket):
                return False
        return True

    def tell(self, event: Callable[[], None], size: int = 0) -> None:
        """Now, or, with a message of that size, when somebody has taken the socket."""
        if self.held is None:
            event()
            return
        self.held.append(event)
        self._size += size
        if self._size > _MOST_HELD and not self._is_paused:
            # What more it sends is not read until then; nor is its close.
            self._is_paused = True
            self._client.pause()

    def resume(self) -> None:
        """Somebody takes the socket."""
        if self._is_paused:
            self._client.resume()

    def release(self) -> None:
        """Tells what was held, and from now on all at once."""
        while self.held and is_valid(self.socket):
            self.held.popleft()()
        self.held = None
