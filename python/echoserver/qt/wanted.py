"""Whether somebody is connected to signals that few programs want, and that are made only then."""

from __future__ import annotations

__all__ = ["Wanted"]


class Wanted:
    """Of one `QWebSocket`."""

    __slots__ = ("frames", "written")

    def __init__(self) -> None:
        """Nobody is."""
        # To `textFrameReceived` and `binaryFrameReceived`.
        self.frames = False
        # To `bytesWritten`.
        self.written = False

    def note(self, signal: bytes) -> None:
        """Somebody was connected to the signal of that name."""
        if signal in {b"textFrameReceived", b"binaryFrameReceived"}:
            self.frames = True
        elif signal == b"bytesWritten":
            self.written = True
