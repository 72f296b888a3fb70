"""The kinds of faults, for `EchoServer.fault()`. Made from the core's table by `make faults`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from echoserver.faults import FaultKind

__all__ = [
    "BadAccept",
    "Bandwidth",
    "Close",
    "Drop",
    "Duplicate",
    "Fragment",
    "Freeze",
    "HalfClose",
    "Hang",
    "Latency",
    "NoCloseReply",
    "NoPong",
    "Replace",
    "Reset",
    "Slice",
    "Violate",
    "WrongExtension",
    "WrongSubprotocol",
]


@dataclass(frozen=True)
class Drop(FaultKind):
    """A message is not sent.

    Seen as: nothing. A strict client waits for it (RFC 6455 section 6.1). Its opportunity is a message that goes out;
    selectors: path, client, after, every, probability, times.
    """


@dataclass(frozen=True)
class Duplicate(FaultKind):
    """A message is sent again.

    Seen as: its frame, and that many more of them. A strict client gets it as often (RFC 6455 section 6.1). Its
    opportunity is a message that goes out; selectors: path, client, after, every, probability, times.
    """

    copies: int = 1
    """1 to 10 copies."""


@dataclass(frozen=True)
class Replace(FaultKind):
    """Another message is sent instead, text or bytes.

    Seen as: a frame with that payload. A strict client gets that (RFC 6455 section 6.1). Its opportunity is a message
    that goes out; selectors: path, client, after, every, probability, times.
    """

    data: str | bytes
    """Text or bytes, 1048576 bytes at most."""


@dataclass(frozen=True)
class Fragment(FaultKind):
    """A message is sent in frames of at most `size` bytes each.

    Seen as: a frame without FIN, and continuation frames. A strict client gets the whole message (RFC 6455 section
    5.4). Its opportunity is a frame, or a fragment of it, that goes out; selectors: path, client, after, every,
    probability, times.
    """

    size: int
    """1 to 1048576 bytes."""


@dataclass(frozen=True)
class Close(FaultKind):
    """Instead of a message a close frame is sent, and nothing after it.

    Seen as: a close frame with that code and reason. A strict client answers it, and closes (RFC 6455 section 7.1.2).
    Its opportunity is a message that goes out; selectors: path, client, after, every, probability, times.
    """

    code: int = 1000
    """1000 to 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455 section 7.4)."""

    reason: str = ""
    """At most 123 bytes in UTF-8 (RFC 6455 section 5.5)."""


@dataclass(frozen=True)
class Reset(FaultKind):
    """Instead of a frame TCP is reset.

    Seen as: RST, behind what was sent before and the client's TCP has taken. A strict client reports 1006 (RFC 6455
    section 7.1.5). Its opportunity is a frame, or a fragment of it, that goes out; selectors: path, client, after,
    every, probability, times.
    """


@dataclass(frozen=True)
class HalfClose(FaultKind):
    """Instead of a frame the server's half of TCP ends; it reads on, and throws away.

    Seen as: FIN, with TLS behind a close_notify; the client can still send. A strict client reports 1006, and closes
    (RFC 6455 section 7.1.5). Its opportunity is a frame, or a fragment of it, that goes out; selectors: path, client,
    after, every, probability, times.
    """


@dataclass(frozen=True)
class Violate(FaultKind):
    """Before a message bytes are sent that no server may send, those of `violations`.

    Seen as: these bytes, and then the message. A strict client closes with the code of the violation (RFC 6455 section
    7.1.7). Its opportunity is a message that goes out; selectors: path, client, after, every, probability, times.
    """

    name: str
    """The name of a violation: 'reserved bit 1', 'reserved bit 2', 'reserved bit 3', 'reserved data opcode', 'reserved
    control opcode', 'masked', 'length not minimal, 16 bits', 'length not minimal, 64 bits', 'length beyond 63 bits',
    'length of a terabyte', 'fragmented ping', 'fragmented close', 'ping of 126 bytes', 'continuation without a
    message', 'message inside a message', 'text that is no UTF-8', 'text that is a surrogate', 'text that ends in a
    character', 'fragments that are no UTF-8 together', 'close reason that is no UTF-8', 'close code 999', 'close code
    1005', 'close code 1006', 'close code 1015', 'close code 5000', 'close of one byte', 'compressed block of a reserved
    type', 'compressed reference to nothing', 'compressed message that is cut', 'compressed text that is no UTF-8',
    'compressed ping', 'compressed continuation', 'bomb of 16 MiB', 'bomb of 256 MiB', 'message after the close'."""


@dataclass(frozen=True)
class Latency(FaultKind):
    """Bytes arrive later; with `jitter` up to so much more, by chance, and in their order.

    Seen as: the same bytes, so much later. A strict client gets them; it closes, if that is too late for it (RFC 6455
    section 1.5). Its opportunity is bytes that move; selectors: path, client, after, probability.
    """

    seconds: float
    """0 to 60 seconds."""

    jitter: float = 0.0
    """0 to 60 seconds."""

    direction: Literal["in", "out", "both"] = "out"
    """'in', 'out' or 'both'."""


@dataclass(frozen=True)
class Bandwidth(FaultKind):
    """So many bytes pass in a second.

    Seen as: the same bytes, at that rate. A strict client gets them; it closes, if that is too late for it (RFC 6455
    section 1.5). Its opportunity is bytes that move; selectors: path, client, after, probability.
    """

    bytes_per_second: int
    """1 to 1073741824 bytes per second."""

    direction: Literal["in", "out", "both"] = "out"
    """'in', 'out' or 'both'."""


@dataclass(frozen=True)
class Slice(FaultKind):
    """Bytes pass in pieces of at most `size`, with a pause of `gap` after each.

    Seen as: the same bytes, in TCP segments of that size. A strict client gets them (RFC 6455 section 1.5). Its
    opportunity is bytes that move; selectors: path, client, after, probability.
    """

    size: int
    """1 to 1048576 bytes."""

    gap: float = 0.0
    """0 to 60 seconds."""

    direction: Literal["in", "out", "both"] = "out"
    """'in', 'out' or 'both'."""


@dataclass(frozen=True)
class NoPong(FaultKind):
    """Pings are not answered.

    Seen as: no pong. A strict client closes, if it waits for pongs (RFC 6455 section 5.5.2). Its opportunity is none:
    it lasts; selectors: path, client.
    """


@dataclass(frozen=True)
class NoCloseReply(FaultKind):
    """A close frame is not answered, and the connection not closed.

    Seen as: no close frame, and no FIN until the client's. A strict client closes TCP after a time of its own (RFC 6455
    section 7.1.1). Its opportunity is none: it lasts; selectors: path, client.
    """


@dataclass(frozen=True)
class Freeze(FaultKind):
    """Nothing is read or written, as by a server that hangs; nor are pings answered, or an end seen.

    Seen as: nothing, until it thaws. A strict client closes, if it waits for pongs (RFC 6455 section 5.5.2). Its
    opportunity is none: it lasts; selectors: path, client.
    """


@dataclass(frozen=True)
class Hang(FaultKind):
    """A request is not answered, and the connection not ended, until the client or the server goes.

    Seen as: nothing. A strict client fails after a time of its own (RFC 6455 section 4.1). Its opportunity is a good
    upgrade request; selectors: path, after, every, probability, times.
    """


@dataclass(frozen=True)
class BadAccept(FaultKind):
    """A request is accepted, but not for the client's key.

    Seen as: 101 with another `Sec-WebSocket-Accept`. A strict client fails (RFC 6455 section 4.1). Its opportunity is a
    good upgrade request; selectors: path, after, every, probability, times.
    """


@dataclass(frozen=True)
class WrongSubprotocol(FaultKind):
    """A request is accepted with a subprotocol that was not offered.

    Seen as: 101 with that `Sec-WebSocket-Protocol`. A strict client fails (RFC 6455 section 4.1). Its opportunity is a
    good upgrade request; selectors: path, after, every, probability, times.
    """

    name: str = "not-offered"
    """A token (RFC 9110 section 5.6.2)."""


@dataclass(frozen=True)
class WrongExtension(FaultKind):
    """A request is accepted with an extension that was not offered, and messages go on without it.

    Seen as: 101 with that `Sec-WebSocket-Extensions`. A strict client fails (RFC 6455 section 9.1). Its opportunity is
    a good upgrade request; selectors: path, after, every, probability, times.
    """

    value: str = "x-not-offered"
    """The value of a header line, without control characters, space at its ends, or what is beyond Latin-1 (RFC 9110
    section 5.5)."""
