"""What a program sends to the client of a `QWebSocket`: in how many frames, and what becomes of what can't be sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from echoserver.exceptions import ClientClosed, SendQueueFull
from echoserver.qt.frames import fragments, wire_length

if TYPE_CHECKING:
    from echoserver._core import Client
    from echoserver.qt.wanted import Wanted

__all__ = ["Sending"]

_FRAME_SIZE = 512 * 1024
# A character has at most so many bytes in UTF-8.
_WIDEST = 4


class Sending:
    """No QObject: an attribute of one takes Python several times as long to find."""

    __slots__ = ("_awaited", "_unwritten", "client", "error", "frame_size", "is_aborted", "wanted")

    def __init__(self, client: Client, wanted: Wanted) -> None:
        """To that client."""
        self.client = client
        self.wanted = wanted
        self.frame_size = _FRAME_SIZE
        # Bytes that `bytesWritten` is to tell of, and those of them that are waited for.
        self._unwritten, self._awaited = 0, 0
        # What has gone wrong, and whether the connection was dropped here.
        self.error = ""
        self.is_aborted = False

    def send(self, data: str | bytes) -> int:
        """Sends a message, text for a `str` and else binary; its bytes, 0 if it is not connected."""
        if len(data) * _WIDEST > self.frame_size:
            payload = data.encode() if isinstance(data, str) else data
            if len(payload) > self.frame_size:
                return self._send_in_frames(payload, is_text=isinstance(data, str))
        try:
            sent = self.client.send(data)
        except (ClientClosed, SendQueueFull) as error:
            return self._give_up(error)
        if self.wanted.written:
            self._count(wire_length(sent))
        return sent

    def _send_in_frames(self, payload: bytes, *, is_text: bool) -> int:
        frames = fragments(payload, self.frame_size, is_text=is_text)
        try:
            self.client.send_raw(frames)
        except (ClientClosed, SendQueueFull) as error:
            return self._give_up(error)
        if self.wanted.written:
            self._count(len(frames))
        return len(payload)

    def ping(self, payload: bytes) -> None:
        """Sends a ping."""
        try:
            self.client.ping(payload)
        except (ClientClosed, SendQueueFull) as error:
            self._give_up(error)

    def abort(self) -> None:
        """Drops the connection."""
        self.is_aborted = True
        self.client.abort()

    def _give_up(self, error: ClientClosed | SendQueueFull) -> int:
        if isinstance(error, SendQueueFull):
            # It does not read, and the program does not look at `bytesToWrite`: what waits for it would only grow.
            logging.getLogger("echoserver").warning("QWebSocket of %s:%d dropped: %s", *self.client.peer, error)
            self.error = str(error)
            self.abort()
        return 0

    def _count(self, written: int) -> None:
        self._unwritten += written
        if not self._awaited:
            self._awaited, self._unwritten = self._unwritten, 0
            self.client._tell_written()

    def take_written(self) -> int:
        """What was waited for is on the wire: how many bytes that are."""
        written, self._awaited = self._awaited, 0
        if self._unwritten:
            self._count(0)
        return written
