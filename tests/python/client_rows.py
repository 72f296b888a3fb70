"""What the clients of docs/clients.md meet: all that can be put into `handshakes`, and all violations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from echoserver.testing import Accept, Delay, Hang, Response, WrongSubprotocol, violations
from echoserver.testing.handshakes import Handshake

__all__ = ["HANDSHAKES", "UNSEEN", "VIOLATIONS", "Row"]


@dataclass(frozen=True)
class Row:
    """One case."""

    name: str
    good: str
    """What a client does that sees nothing of it."""
    handshake: Handshake | None = None
    """For `handshakes`."""
    data: bytes = b""
    """For `send_raw()`, right after the 101."""
    section: str = ""
    """Where the rule is."""
    strict: str = ""
    """What a client does that is strict."""
    subprotocols: tuple[str, ...] = ()
    """That the client offers."""
    compression: bool = False
    """Whether it is for clients that have agreed to permessage-deflate."""
    limit: float | None = None
    """Seconds that the client is given for the handshake; None leaves it as it is by default."""


# Rows that none of these clients sees.
UNSEEN = {
    "`Accept({'X-Room': '7'})`",
    "length not minimal, 16 bits",
    "length not minimal, 64 bits",
    "message after the close",
}

_CONNECTS = "connects"
_ACCEPTS = "accepts it"


def _handshakes() -> list[Row]:
    rows = [
        Row("`Response(429, {'Retry-After': '2'})`", _CONNECTS, Response(429, {"Retry-After": "2"})),
        Row("`Response(503)`", _CONNECTS, Response(503)),
        Row("`Response(302, {'Location': '/other'})`", _CONNECTS, Response(302, {"Location": "/other"})),
        Row("`Accept({'X-Room': '7'})`", _CONNECTS, Accept({"X-Room": "7"})),
        Row("`Accept(subprotocol='b')`, of 'a' and 'b'", _CONNECTS, Accept(subprotocol="b"), subprotocols=("a", "b")),
        Row("`Delay(60)`, with a limit of 1 s in the client", _CONNECTS, Delay(60), limit=1.0),
        Row("`Hang()`, with a limit of 1 s in the client", _CONNECTS, Hang(), limit=1.0),
        Row("`WrongSubprotocol()`, of 'a'", _CONNECTS, WrongSubprotocol(), subprotocols=("a",)),
        Row("`WrongSubprotocol()`, of none", _CONNECTS, WrongSubprotocol()),
    ]
    known = {type(row.handshake) for row in rows}
    # A new kind joins by itself, if it needs no arguments.
    return [
        *rows,
        *(Row(f"`{kind.__name__}()`", _CONNECTS, kind()) for kind in get_args(Handshake) if kind not in known),
    ]


HANDSHAKES = _handshakes()

VIOLATIONS = [
    Row(
        name,
        # To end is no more than what the server asks for.
        "closes with 1000" if violation.code == 1000 else _ACCEPTS,
        data=violation.data,
        section=violation.section,
        strict=f"closes with {violation.code}",
        compression=violation.compression,
    )
    for name, violation in violations.items()
]
