"""What comes from a client, on its way to its `QWebSocket`: at once, or when somebody has taken that from the queue."""

from __future__ import annotations

import sys
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

# Bytes of memory for the messages of a client that nobody has taken; beyond them there are those of the read with which
# that is passed.
_MOST_HELD = 2**16
# Bytes that one more in the queue takes, and a number that is not kept once for all.
_PLACE, _NUMBER = 8, 32


class Incoming:
    """Of one client, whose socket it keeps."""

    __slots__ = (
        "_binary",
        "_client",
        "_is_paused",
        "_size",
        "_text",
        "_wanted",
        "has_ended",
        "held",
        "is_left",
        "socket",
    )

    def __init__(self, client: Client, *, is_noted: bool) -> None:
        """Makes the socket. `is_noted`: `emitting()` tells whose messages they are."""
        self._client = client
        self.socket = socket = QWebSocket(client)
        # Looked up once: attributes of a QObject take Python several times as long as others.
        self._text = emitter(socket, socket.textMessageReceived, is_noted=is_noted)
        self._binary = emitter(socket, socket.binaryMessageReceived, is_noted=is_noted)
        self._wanted = socket._wanted
        # What is to be told when somebody takes the socket from the queue; None once that was so. Messages are there as
        # they are, if they came in several frames with the lengths of these: anything more would be most of the memory.
        self.held: deque[str | bytes | tuple[Any, ...] | Callable[[], None]] | None = deque()
        self._size = 0
        self._is_paused = False
        # Its end was told, or is held.
        self.has_ended = False
        # The server was deleted: the socket has said so, and tells nothing more.
        self.is_left = False

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
            if not self._is_heard():
                return False
        return True

    def _is_heard(self) -> bool:
        """Whether a slot has neither deleted the socket or its server nor dropped the connection."""
        return is_valid(self.socket) and not (self.is_left or self.socket._sending.is_aborted)

    def tell(self, event: Callable[[], None]) -> None:
        """Now, or when somebody has taken the socket."""
        if self.held is None:
            event()
        else:
            self.held.append(event)

    def hold(self, message: str | bytes) -> None:
        """A message of a socket that nobody has taken."""
        assert self.held is not None
        frames = self._client._frames()
        one = (message, *frames) if frames else message
        self.held.append(one)
        self._size += sys.getsizeof(message) + _PLACE
        if frames:
            self._size += sys.getsizeof(one) + _NUMBER * len(frames)
        if self._size > _MOST_HELD and not self._is_paused:
            # What more it sends is not read until then; nor is its close.
            self._is_paused = True
            self._client.pause()

    def release(self) -> None:
        """Tells what was held, and from now on all at once: then more is read."""
        while self.held and is_valid(self.socket) and not self.is_left:
            one = self.held.popleft()
            if callable(one):
                one()
            elif self._is_heard():
                message, *frames = one if isinstance(one, tuple) else (one,)
                if isinstance(message, str):
                    self.text(message, frames)
                else:
                    self.binary(message, frames)
        self.held = None
        if self._is_paused:
            self._is_paused = False
            self._client.resume()
