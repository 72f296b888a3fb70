"""What the clients of docs/clients.md meet: all that can be put into `handshakes`, all violations, and all faults."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from echoserver._core import FAULTS as TABLE
from echoserver.faults import FaultKind
from echoserver.testing import (
    Accept,
    Bandwidth,
    Close,
    Delay,
    Drop,
    Duplicate,
    Fragment,
    Freeze,
    HalfClose,
    Hang,
    Latency,
    NoCloseReply,
    NoPong,
    Replace,
    Reset,
    Response,
    Slice,
    Violate,
    WrongSubprotocol,
    violations,
)
from echoserver.testing.handshakes import Handshake
from fault_rows import example

__all__ = ["FAULTS", "HANDSHAKES", "SECTIONS", "UNSEEN", "VIOLATIONS", "Row"]


@dataclass(frozen=True)
class Row:
    """One case."""

    name: str
    good: str
    """What a client does that sees nothing of it."""
    handshake: Handshake | None = None
    """For `handshakes`, or for `server.fault()`."""
    is_fault: bool = False
    """Whether each request meets `handshake`, and not only the first."""
    faults: tuple[tuple[FaultKind, dict[str, Any]], ...] = ()
    """For `client.fault()`, each with its selectors, when the client is open."""
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
    heartbeat: float | None = None
    """Seconds after which the client pings, and within which it wants the pong; None leaves it as it is by default."""
    closing: float | None = None
    """Seconds that the client waits for the answer to its close frame; None leaves it as it is by default."""
    is_closing: bool = False
    """Whether the client is to close."""


# Rows that none of these clients sees, beside those of faults, which have acted all the same.
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


def _met(*faults: tuple[FaultKind, dict[str, Any]], told: str = "", good: str = "gets 'one'", **options: Any) -> Row:
    calls = [", ".join([_call(kind), *(f"{key}={value!r}" for key, value in keys.items())]) for kind, keys in faults]
    return Row(" and ".join(f"`fault({call})`" for call in calls) + told, good, faults=faults, **options)


def _call(kind: Any) -> str:
    """As one would write it: without defaults, and the first argument without its name."""
    given = [(one.name, getattr(kind, one.name)) for one in fields(kind) if getattr(kind, one.name) != one.default]
    arguments = [repr(value) if name == fields(kind)[0].name else f"{name}={value!r}" for name, value in given]
    return f"{type(kind).__name__}({', '.join(arguments)})"


def _pinged(kind: FaultKind) -> Row:
    told = ", with a ping each second in the client"
    return _met((kind, {}), told=told, good="hangs", heartbeat=1.0, closing=1.0)


# What faults are tried with that need selectors or clients of their own, or arguments that these see.
_TRIED = {
    "Drop": [_met((Drop(), {"times": 1}))],
    "Duplicate": [_met((Duplicate(), {"times": 1}))],
    "Replace": [_met((Replace("another"), {"times": 1}))],
    "Fragment": [_met((Fragment(1), {}))],
    "Close": [_met((Close(), {})), _met((Close(1011, reason="enough"), {}))],
    "Reset": [_met((Reset(), {})), _met((Fragment(2), {}), (Reset(), {"after": 1}))],
    "HalfClose": [_met((HalfClose(), {})), _met((Fragment(2), {}), (HalfClose(), {"after": 1}))],
    "Violate": [_met((Violate("reserved bit 1"), {"times": 1}))],
    "Latency": [_met((Latency(0.1), {})), _pinged(Latency(60))],
    "Bandwidth": [_met((Bandwidth(100), {})), _pinged(Bandwidth(1, direction="in"))],
    "Slice": [_met((Slice(1), {}))],
    "NoPong": [_pinged(NoPong())],
    "NoCloseReply": [
        _met(
            (NoCloseReply(), {}),
            told=", with a limit of 1 s in the client, which closes",
            good="reports 1000",
            closing=1.0,
            is_closing=True,
        )
    ],
    "Freeze": [_pinged(Freeze())],
}


def _faults() -> list[Row]:
    rows = []
    for fault in TABLE:
        name = fault["class"]
        if fault["opportunity"] == "request":
            # As they are tried in `handshakes`.
            tried = [
                replace(row, name=re.sub("`(.*)`", r"`fault(\1)`", row.name), is_fault=True)
                for row in HANDSHAKES
                if type(row.handshake).__name__ == name
            ]
        else:
            # A new kind joins by itself, as it is in its row. Of messages it is about the first, and not about "next".
            selectors = {"times": 1} if fault["opportunity"] == "message out" else {}
            tried = _TRIED.get(name) or [_met((example(name), selectors))]
        rows += [replace(row, section=fault["section"], strict=fault["strict"]) for row in tried]
    return rows


FAULTS = _faults()

# As the document has them.
SECTIONS = {"Handshakes": HANDSHAKES, "Violations": VIOLATIONS, "Faults": FAULTS}
