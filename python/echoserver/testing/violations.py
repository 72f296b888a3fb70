"""What a server must not send: bytes for `Client.send_raw()`, each with its rule and what a strict client does.

    client.send_raw(violations["reserved bit 1"].data)

A strict client fails the connection (RFC 6455 section 7.1.7): it sends a close frame with the code that is given, and
closes. Each is complete in itself; nothing has to be sent before it, and what the server sends after it is read only by
clients that are not strict.

Those with `compression` are for clients that have agreed to permessage-deflate (RFC 7692), with a server that has
`compression="deflate"`; for others they begin with a reserved bit.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["Violation", "violations"]

_FIN = 0x80
_RSV1, _RSV2, _RSV3 = 0x40, 0x20, 0x10
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_MASK = 0x80
_SHORT, _MEDIUM, _LONG = 125, 126, 127


@dataclass(frozen=True)
class Violation:
    """Bytes that no server may send."""

    data: bytes
    """For `Client.send_raw()`."""
    section: str
    """The rule: a section of RFC 6455, or of RFC 7692 where it says so."""
    code: int
    """The close code with which a strict client fails the connection."""
    compression: bool = False
    """Whether permessage-deflate has to be agreed for it: `Client.extensions` is not empty then."""


def _frame(first: int, payload: bytes = b"") -> bytes:
    """A server's frame in its shortest form."""
    if len(payload) <= _SHORT:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 1 << 16:
        return struct.pack("!BBH", first, _MEDIUM, len(payload)) + payload
    return struct.pack("!BBQ", first, _LONG, len(payload)) + payload


def _close(code: int, reason: bytes = b"") -> bytes:
    return _frame(_FIN | _CLOSE, code.to_bytes(2) + reason)


_PROTOCOL, _INVALID, _TOO_BIG = 1002, 1007, 1009

# The first bytes of a character of four.
_CUT = "\N{GRINNING FACE}".encode()[:2]


def _deflated(data: bytes, dictionary: bytes = b"") -> bytes:
    """A compressed message (RFC 7692 section 7.2.1); with `dictionary` one that refers to what was not sent."""
    # With fixed codes, so that a part of it inflates to a part.
    deflate = zlib.compressobj(wbits=-15, strategy=zlib.Z_FIXED, zdict=dictionary)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_EMPTY_BLOCK)


def _bomb(size: int) -> bytes:
    """A compressed message of `size` zeros, a thousandth as long. It is one block again and again."""
    deflate = zlib.compressobj(wbits=-15)
    block = deflate.compress(bytes(_BLOCK)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return (block * (size // _BLOCK)).removesuffix(_EMPTY_BLOCK)


_EMPTY_BLOCK = b"\x00\x00\xff\xff"
_BLOCK = 1 << 16
_LONG_TEXT = b"compressed, and long enough for a reference to what was before it"

violations: MappingProxyType[str, Violation] = MappingProxyType(
    {
        "reserved bit 1": Violation(_frame(_FIN | _RSV1 | _TEXT, b"rsv1"), "5.2", _PROTOCOL),
        "reserved bit 2": Violation(_frame(_FIN | _RSV2 | _TEXT, b"rsv2"), "5.2", _PROTOCOL),
        "reserved bit 3": Violation(_frame(_FIN | _RSV3 | _TEXT, b"rsv3"), "5.2", _PROTOCOL),
        "reserved data opcode": Violation(_frame(_FIN | 3, b"opcode 3"), "5.2", _PROTOCOL),
        "reserved control opcode": Violation(_frame(_FIN | 11, b"opcode 11"), "5.2", _PROTOCOL),
        "masked": Violation(
            bytes([_FIN | _TEXT, _MASK | 4])
            + b"\1\2\3\4"
            + bytes(a ^ b for a, b in zip(b"mask", b"\1\2\3\4", strict=True)),
            "5.1",
            _PROTOCOL,
        ),
        "length not minimal, 16 bits": Violation(
            struct.pack("!BBH", _FIN | _TEXT, _MEDIUM, 5) + b"short", "5.2", _PROTOCOL
        ),
        "length not minimal, 64 bits": Violation(
            struct.pack("!BBQ", _FIN | _TEXT, _LONG, 5) + b"short", "5.2", _PROTOCOL
        ),
        "length beyond 63 bits": Violation(struct.pack("!BBQ", _FIN | _BINARY, _LONG, 1 << 63), "5.2", _PROTOCOL),
        "length of a terabyte": Violation(struct.pack("!BBQ", _FIN | _BINARY, _LONG, 1 << 40), "7.4.1", _TOO_BIG),
        "fragmented ping": Violation(_frame(_PING, b"no FIN"), "5.5", _PROTOCOL),
        "fragmented close": Violation(_frame(_CLOSE, (1000).to_bytes(2)), "5.5", _PROTOCOL),
        "ping of 126 bytes": Violation(_frame(_FIN | _PING, bytes(126)), "5.5", _PROTOCOL),
        "continuation without a message": Violation(_frame(_FIN | _CONTINUATION, b"of what"), "5.4", _PROTOCOL),
        "message inside a message": Violation(
            _frame(_TEXT, b"not over") + _frame(_FIN | _TEXT, b"another"), "5.4", _PROTOCOL
        ),
        "text that is no UTF-8": Violation(_frame(_FIN | _TEXT, b"\xff\xfe"), "8.1", _INVALID),
        "text that is a surrogate": Violation(_frame(_FIN | _TEXT, b"\xed\xa0\x80"), "8.1", _INVALID),
        "text that ends in a character": Violation(_frame(_FIN | _TEXT, _CUT), "8.1", _INVALID),
        "fragments that are no UTF-8 together": Violation(
            _frame(_TEXT, _CUT) + _frame(_FIN | _CONTINUATION, b"?"), "8.1", _INVALID
        ),
        "close reason that is no UTF-8": Violation(_close(1000, b"\xff"), "5.5.1", _INVALID),
        "close code 999": Violation(_close(999), "7.4.2", _PROTOCOL),
        "close code 1005": Violation(_close(1005), "7.4.1", _PROTOCOL),
        "close code 1006": Violation(_close(1006), "7.4.1", _PROTOCOL),
        "close code 1015": Violation(_close(1015), "7.4.1", _PROTOCOL),
        "close code 5000": Violation(_close(5000), "7.4.2", _PROTOCOL),
        "close of one byte": Violation(_frame(_FIN | _CLOSE, b"\3"), "5.5.1", _PROTOCOL),
        "compressed block of a reserved type": Violation(
            _frame(_FIN | _RSV1 | _TEXT, b"\x07"), "RFC 7692 7.2.2", _INVALID, compression=True
        ),
        "compressed reference to nothing": Violation(
            _frame(_FIN | _RSV1 | _TEXT, _deflated(_LONG_TEXT, _LONG_TEXT)),
            "RFC 7692 7.2.2",
            _INVALID,
            compression=True,
        ),
        "compressed message that is cut": Violation(
            _frame(_FIN | _RSV1 | _TEXT, _deflated(_LONG_TEXT)[:20]), "RFC 7692 7.2.2", _INVALID, compression=True
        ),
        "compressed text that is no UTF-8": Violation(
            _frame(_FIN | _RSV1 | _TEXT, _deflated(b"\xff\xfe")), "8.1", _INVALID, compression=True
        ),
        "compressed ping": Violation(
            _frame(_FIN | _RSV1 | _PING, _deflated(b"ping")), "RFC 7692 6", _PROTOCOL, compression=True
        ),
        "compressed continuation": Violation(
            _frame(_RSV1 | _TEXT, _deflated(_LONG_TEXT)[:20])
            + _frame(_FIN | _RSV1 | _CONTINUATION, _deflated(_LONG_TEXT)[20:]),
            "RFC 7692 6",
            _PROTOCOL,
            compression=True,
        ),
        "bomb of 256 MiB": Violation(
            _frame(_FIN | _RSV1 | _BINARY, _bomb(256 << 20)), "7.4.1", _TOO_BIG, compression=True
        ),
        "message after the close": Violation(_close(1000) + _frame(_FIN | _TEXT, b"late"), "5.5.1", 1000),
    }
)
"""By name."""
