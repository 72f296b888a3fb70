"""Each fault of messages, bytes and states, and what is seen of it on a raw socket.

test_faults.py tries each, from Python and by URL. What else is tried with all faults, such as the soak, takes a new one
from here.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from echoserver._core import FAULTS
from echoserver.faults import FaultKind
from echoserver.testing import (
    Bandwidth,
    Close,
    Drop,
    Duplicate,
    EchoTestServer,
    Fault,
    Fragment,
    Freeze,
    HalfClose,
    Latency,
    NoCloseReply,
    NoPong,
    Replace,
    Reset,
    Slice,
    Violate,
    violations,
)
from support import TIMEOUT, RawClient, eventually

# What the client says: a message, and a ping whose pong comes after all that the message has brought.
END = b"\x8a\x03end"


@dataclass
class Scene:
    """A client on which a fault is tried, and one beside it on which none is."""

    server: EchoTestServer
    raw: RawClient
    other: RawClient
    fault: Fault | None

    def round_trip(self) -> None:
        """What was sent before has been seen by the server, and so has this."""
        for _ in range(3):
            self.other.send(1, b"other")
            assert self.other.receive() == (1, b"other")

    def is_silent(self) -> bool:
        """Whether nothing is there to be read."""
        return not select.select([self.raw.socket], [], [], 0)[0]

    def below(self) -> socket.socket:
        """The client's socket, below TLS."""
        below = socket.socket(fileno=os.dup(self.raw.socket.fileno()))
        below.settimeout(TIMEOUT)
        return below

    def peeked(self) -> bytes:
        """What has come of bytes, as they are on the wire; they stay."""
        with self.below() as below:
            return below.recv(1000, socket.MSG_PEEK)


# What is below the messages. So short ones are not compressed, but could be.
OVER: dict[str, dict[str, Any]] = {
    "plain": {},
    "tls": {"tls": "self-signed"},
    "deflate": {"compression": "deflate"},
    "tls and deflate": {"tls": "self-signed", "compression": "deflate"},
}


@dataclass
class Row:
    """A fault, and what comes of it: `talk` says what was seen, `check` whether it is that."""

    fault: FaultKind
    talk: Callable[[Scene], Any]
    check: Callable[[Any], bool]
    rest: bytes = b""
    """What it holds up, and what comes when it ends."""
    over: tuple[str, ...] = tuple(OVER)
    """What it is tried over: TLS does not let through what makes other bytes of its own."""

    @property
    def text(self) -> str:
        """As it is asked for by URL; empty if it can't be."""
        return as_text(self.fault)


def as_text(kind: Any) -> str:
    """The kind of fault as text; empty if it has values that there are only in Python."""
    row = next(row for row in FAULTS if row["class"] == type(kind).__name__)
    given = {one["name"]: getattr(kind, one["name"], None) for one in row["parameters"]}
    if any(not isinstance(value, str | int | float) for value in given.values()):
        return ""
    first, *others = [quote(str(value), safe="") for value in given.values()] or [""]
    keys = [f",{key}:{value}" for key, value in zip(list(given)[1:], others, strict=True)]
    return "".join([row["name"], f"={first}" * bool(given), *keys])


def example(name: str) -> FaultKind:
    """The first fault of that class."""
    return next(row.fault for row in ROWS if type(row.fault).__name__ == name)


def said(scene: Scene) -> bytes:
    """All that comes for "one", as it is on the wire; with TLS within it."""
    scene.raw.send(1, b"one")
    scene.raw.send(9, b"end")
    got = b""
    while not got.endswith(END):
        got += scene.raw.file.read(1)
    return got.removesuffix(END)


def pinged(scene: Scene) -> tuple[int, bytes]:
    """What comes first for a ping and a message."""
    scene.raw.send(9)
    scene.raw.send(1, b"one")
    return scene.raw.receive()


def closed(scene: Scene) -> bytes:
    """All that comes for "one" and the client's close."""
    scene.raw.send(1, b"one")
    scene.raw.send(8, b"\x03\xe8")
    return scene.raw.file.read()


def ended(scene: Scene) -> str:
    """What becomes of TCP."""
    scene.raw.send(1, b"one")
    try:
        # TLS may not tell one end from another.
        scene.peeked()
    except ConnectionResetError:
        return "reset"
    return "data" if scene.raw.file.read(1) else "end"


def half_closed(scene: Scene) -> bool:
    """Whether the server's half ends, and what the client sends is still read."""
    if ended(scene) != "end":
        return False
    before = scene.server.stats().bytes_received
    sent = 100 * b"x"
    with scene.below() as below:
        below.sendall(sent)
    eventually(lambda: scene.server.stats().bytes_received == before + len(sent))
    return scene.server.client_count == 2


def held_up(scene: Scene) -> tuple[bool, bool]:
    """Whether the server has got a message, and whether nothing comes for it."""
    scene.raw.send(1, b"one")
    scene.round_trip()
    return scene.server.accepted[0].received == ["one"], scene.is_silent()


def begun(scene: Scene) -> int:
    """How many bytes come first, below TLS."""
    scene.raw.send(1, b"one" * 10)
    first = scene.peeked()
    # What has come is counted then.
    scene.round_trip()
    return len(first)


def unanswered(scene: Scene) -> tuple[bool, int, bytes]:
    """Whether nothing comes for a close frame, the close code when the client has gone, and what else has come."""
    scene.raw.send(8, b"\x03\xe9bye")
    scene.round_trip()
    is_silent = scene.is_silent()
    with scene.below() as below:
        below.shutdown(socket.SHUT_WR)
    return is_silent, scene.server.accepted[0].wait_closed(TIMEOUT), scene.raw.file.read()


WHOLE = b"\x81\x03one"
LONG = b"\x81\x1e" + b"one" * 10

ROWS = [
    Row(Drop(), said, lambda got: got == b""),
    Row(Duplicate(), said, lambda got: got == 2 * WHOLE),
    Row(Duplicate(10), said, lambda got: got == 11 * WHOLE),
    Row(Replace("another"), said, lambda got: got == b"\x81\x07another"),
    Row(Replace(b"\xff"), said, lambda got: got == b"\x82\x01\xff"),
    Row(Fragment(1), said, lambda got: got == b"\x01\x01o\x00\x01n\x80\x01e"),
    Row(Fragment(2), said, lambda got: got == b"\x01\x02on\x80\x01e"),
    Row(Close(), closed, lambda got: got == b"\x88\x02\x03\xe8"),
    Row(Close(4000, "enough"), closed, lambda got: got == b"\x88\x08\x0f\xa0enough"),
    Row(Reset(), ended, lambda how: how == "reset"),
    Row(HalfClose(), half_closed, bool),
    *(
        Row(Violate(name), said, (violation.data + WHOLE).__eq__)
        for name, violation in violations.items()
        if name != "bomb of 256 MiB"
    ),
    Row(Violate("length-not-minimal-16-bits"), said, lambda got: got == b"\x81\x7e\x00\x05short" + WHOLE),
    Row(Latency(60), held_up, lambda seen: seen == (True, True), WHOLE),
    Row(Latency(60, direction="in"), held_up, lambda seen: seen == (False, True), WHOLE),
    Row(Latency(30, jitter=30, direction="both"), held_up, lambda seen: seen == (False, True), WHOLE),
    Row(Bandwidth(1), begun, lambda size: size < 10, LONG),
    Row(Bandwidth(1, direction="in"), held_up, lambda seen: seen == (False, True), WHOLE),
    Row(Slice(2, 60), begun, lambda size: size == 2, LONG),
    Row(Slice(2, 60, "in"), held_up, lambda seen: seen == (False, True), WHOLE),
    Row(NoPong(), pinged, lambda got: got == (1, b"one")),
    Row(NoCloseReply(), unanswered, lambda seen: seen == (True, 1001, b"")),
    Row(Freeze(), held_up, lambda seen: seen == (False, True), WHOLE),
]


@contextlib.contextmanager
def asking(query: str, *, over: str) -> Iterator[Scene]:
    """A client that has asked for faults by URL."""
    with EchoTestServer(**OVER[over], fault_urls=True) as server:
        context = server.ssl_context() if "tls" in OVER[over] else None
        offers = ["Sec-WebSocket-Extensions: permessage-deflate"] * ("compression" in OVER[over])
        with RawClient(server.port, *offers, path=f"/faults?{query}", context=context).opened() as raw:
            server.accept()
            with RawClient(server.port, *offers, path="/faults", context=context).opened() as other:
                yield Scene(server, raw, other, None)
