"""A message in several frames, for `QWebSocket.setOutgoingFrameSize()` and the signals that tell of frames."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["fragments", "parts", "wire_length"]

_FIN = 0x80
# Lengths from here on have a field of 16 bits, and those beyond that one of 64 (section 5.2).
_LONG = 126
_CONTINUATION, _TEXT, _BINARY = 0, 1, 2


def fragments(payload: bytes, size: int, *, is_text: bool) -> bytes:
    """The frames of a message, none of them longer than `size` (RFC 6455 section 5.4)."""
    view = memoryview(payload)
    parts: list[bytes | memoryview] = []
    opcode = _TEXT if is_text else _BINARY
    for start in range(0, len(payload), size):
        part = view[start : start + size]
        is_last = start + size >= len(payload)
        parts += (_header(opcode | _FIN if is_last else opcode, len(part)), part)
        opcode = _CONTINUATION
    return b"".join(parts)


def _header(first: int, length: int) -> bytes:
    if length < _LONG:
        return bytes((first, length))
    if length < 2**16:
        return bytes((first, _LONG)) + length.to_bytes(2)
    return bytes((first, _LONG + 1)) + length.to_bytes(8)


def parts(message: str | bytes, lengths: Sequence[int]) -> Iterator[tuple[str | bytes, bool]]:
    """Of a message that came in frames of these lengths, what each had of it, and whether it was the last.

    Without lengths it is one frame. A character that two frames share is in the later one.
    """
    if not lengths:
        yield message, True
        return
    payload = message.encode() if isinstance(message, str) else message
    decoder = codecs.getincrementaldecoder("utf-8")()
    end = 0
    for number, length in enumerate(lengths, 1):
        start, end = end, end + length
        part = payload[start:end]
        yield decoder.decode(part) if isinstance(message, str) else part, number == len(lengths)


def wire_length(length: int) -> int:
    """Of the frame of a message of that length."""
    return len(_header(_FIN, length)) + length
