"""One conversation under a fault by chance, on a raw socket: what has to come is known before, and compared.

Of a kind that `_MADE` does not have that is not known: it has to act, and the conversation to be over.

No test: fault_soak.py has many of them at once.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import fault_rows
import test_faults_requests
from echoserver import Accept, Response
from echoserver._core import FAULTS
from echoserver.testing import (
    BadAccept,
    Bandwidth,
    Close,
    Delay,
    Drop,
    Duplicate,
    Fault,
    Fragment,
    Freeze,
    HalfClose,
    Hang,
    Latency,
    NoCloseReply,
    NoPong,
    Replace,
    Reset,
    Slice,
    Violate,
    WrongExtension,
    WrongSubprotocol,
    violations,
)
from support import RawClient, eventually, frame

__all__ = ["KINDS", "Faulty", "Ledger", "talk"]

_DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
_EMPTY_BLOCK = b"\x00\x00\xff\xff"
_CLOSE = b"\x88\x02\x03\xe8"
_PONG = b"\x8a\x03end"
KINDS = [row["class"] for row in FAULTS]
"""All faults there are."""


@dataclass
class Ledger:
    """What became of the messages that were sent, and which faults have acted."""

    messages: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, hits: int, messages: Counter[str]) -> None:
        """After a conversation."""
        with self.lock:
            self.hits[kind] += hits
            self.messages.update(messages)


_ROWS: list[Any] = [*fault_rows.ROWS, *test_faults_requests.ROWS]
_NAMES = [one for one, violation in violations.items() if len(violation.data) < 1000]
# Those of which is known what comes, each with values by chance.
_MADE: dict[str, Callable[[random.Random], Any]] = {
    "Drop": lambda _: Drop(),
    "Duplicate": lambda chance: Duplicate(chance.randint(1, 3)),
    "Replace": lambda chance: Replace("another" if chance.random() < 0.5 else b"\xff" * 300),
    "Fragment": lambda chance: Fragment(chance.randint(1, 50)),
    "Close": lambda chance: Close(chance.choice([1000, 1011, 4000]), "enough"),
    "Reset": lambda _: Reset(),
    "HalfClose": lambda _: HalfClose(),
    "Violate": lambda chance: Violate(chance.choice(_NAMES)),
    "Latency": lambda chance: Latency(chance.random() / 20, chance.random() / 20, _direction(chance)),
    "Bandwidth": lambda chance: Bandwidth(chance.randint(100_000, 10_000_000), _direction(chance)),
    "Slice": lambda chance: Slice(chance.randint(50, 5000), chance.random() / 1000, _direction(chance)),
    "NoPong": lambda _: NoPong(),
    "NoCloseReply": lambda _: NoCloseReply(),
    "Freeze": lambda _: Freeze(),
    "Response": lambda chance: Response(chance.choice([404, 429, 503]), {"Retry-After": "1"}, "later"),
    "Accept": lambda _: Accept({"X-Room": "7"}, "b"),
    "Delay": lambda chance: Delay(chance.random() / 20),
    "Hang": lambda _: Hang(),
    "BadAccept": lambda _: BadAccept(),
    "WrongSubprotocol": lambda _: WrongSubprotocol(),
    "WrongExtension": lambda _: WrongExtension(),
}


def _direction(chance: random.Random) -> Any:
    return chance.choice(["in", "out", "both"])


def _kind(name: str, chance: random.Random) -> Any:
    """A fault of that class, by chance; a new one as it is in its row."""
    made = _MADE.get(name)
    return made(chance) if made else next(row.fault for row in _ROWS if type(row.fault).__name__ == name)


@dataclass
class _Plan:
    """What a conversation is to be, and what has to come of it."""

    kind: Any
    said: list[bytes]
    after: int
    every: int
    hits: int = 0

    def is_hit(self, index: int) -> bool:
        """Whether the fault acts on this message, the first of which is 0."""
        count = index + 1 - self.after
        return count > 0 and count % self.every == 0

    def due(self) -> tuple[list[Any], str]:
        """What comes, as (opcode, payload) of messages and as bytes of others, and what is the end of it."""
        found: list[Any] = []
        for index, text in enumerate(self.said):
            if not self.is_hit(index):
                found.append((1, text))
                continue
            self.hits += 1
            match self.kind:
                case Drop():
                    pass
                case Duplicate(copies):
                    found += [(1, text)] * (1 + copies)
                case Replace(data):
                    found.append((1, data.encode()) if isinstance(data, str) else (2, data))
                case Violate(name):
                    found += [violations[name].data, (1, text)]
                case Close() | Reset() | HalfClose():
                    return found, type(self.kind).__name__
                case _:
                    # Cut, but whole for whoever reads messages.
                    found.append((1, text))
        return found, ""


class Faulty(Protocol):
    """A server, here or elsewhere."""

    @property
    def port(self) -> int:
        """Where it listens."""
        raise NotImplementedError

    @property
    def fault(self) -> Callable[..., Any]:
        """Sets a fault."""
        raise NotImplementedError


def talk(server: Faulty, number: int, chance: random.Random, context: ssl.SSLContext | None, ledger: Ledger) -> None:
    """Connects, talks and goes, under one fault or two. AssertionError for anything that is not as it has to be."""
    kind = _kind(chance.choice(KINDS), chance)
    name = type(kind).__name__
    opportunity = next(row["opportunity"] for row in FAULTS if row["class"] == name)
    is_counted = opportunity in ("message out", "frame out")
    after, every = (chance.randint(0, 5), chance.randint(1, 3)) if is_counted else (0, 1)
    # Compressed they are shorter than a fragment, or not; that is no question here.
    said = [bytes(chance.choices(b"abc ", k=chance.randint(60, 2000))) for _ in range(chance.randint(5, 30))]
    plan = _Plan(kind, said, after, every)
    path = f"/{number}"
    with contextlib.ExitStack() as stack:
        if chance.random() < 0.5:
            # Nothing that is told from what comes.
            beside = [one for one in ("Latency", "Slice", "Bandwidth") if one in _MADE]
            stack.enter_context(server.fault(_kind(chance.choice(beside), chance), path=path))
        selectors: dict[str, Any] = {"after": after, "every": every} if is_counted else {}
        fault = stack.enter_context(server.fault(kind, path=path, **selectors))
        is_deflated = chance.random() < 0.5
        lines = ["Sec-WebSocket-Protocol: a, b", *[f"Sec-WebSocket-Extensions: {_DEFLATE}"] * is_deflated]
        raw = stack.enter_context(RawClient(server.port, *lines, path=path, context=context))
        # Before the fault ends: what it holds would go on.
        stack.callback(raw.file.close)
        if opportunity == "request" and not _is_opened(raw, kind, fault):
            ledger.add(name, fault.hits, Counter())
            return
        if opportunity != "request":
            raw.opened()
        if name not in _MADE:
            messages = _unknown(raw, plan, fault, opportunity)
            ledger.add(name, fault.hits, messages)
            return
        messages = _conversation(raw, plan, fault)
        assert name == "Fragment" or fault.hits == (plan.hits if is_counted else 1), (fault, plan.hits)
    ledger.add(name, fault.hits, messages)


def _is_opened(raw: RawClient, kind: Any, fault: Fault) -> bool:
    """Whether there is a 101, which says what it has to."""
    if isinstance(kind, Hang) or type(kind).__name__ not in _MADE:
        eventually(lambda: fault.hits)
        return False
    status, headers = raw.status(), raw.headers
    assert fault.hits == 1
    match kind:
        case Response():
            assert (status, headers["retry-after"], raw.file.read()) == (kind.status, "1", b"later")
            return False
        case Accept():
            assert (headers["x-room"], headers["sec-websocket-protocol"]) == ("7", "b")
        case BadAccept():
            assert headers["sec-websocket-accept"].startswith("A")
        case WrongSubprotocol(name):
            assert headers["sec-websocket-protocol"] == name
        case WrongExtension(value):
            assert headers["sec-websocket-extensions"] == value
            del headers["sec-websocket-extensions"]
    assert status == 101
    return True


def _conversation(raw: RawClient, plan: _Plan, fault: Fault) -> Counter[str]:
    """Says all of it, reads what comes, and what has become of the messages."""
    due, end = plan.due()
    # It may be over before all of it is said. OpenSSL has an error of its own for that.
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        raw.socket.sendall(b"".join(frame(1, text) for text in plan.said))
    if isinstance(plan.kind, Freeze):
        eventually(lambda: fault.hits)
        fault.stop()
    reader = _Reader(raw, is_deflated="sec-websocket-extensions" in raw.headers)
    come = 0
    try:
        for one in due:
            if isinstance(one, bytes):
                assert raw.file.read(len(one)) == one
            else:
                got = reader.message()
                assert got == one, (plan.kind, got, one)
                come += 1
        _ended(raw, plan, end)
    except (ConnectionError, ssl.SSLEOFError):
        # A reset may overtake what has been sent before it.
        assert end == "Reset", plan.kind
        end = ""
    assert end != "Reset", "no reset has come"
    return Counter(sent=len(plan.said), come=come, hit=plan.hits)


def _unknown(raw: RawClient, plan: _Plan, fault: Fault, opportunity: str) -> Counter[str]:
    """Says all of it and closes, and reads whatever comes until the end."""
    got = b""
    said = [*(frame(1, text) for text in plan.said), frame(9, b"end"), frame(8, _CLOSE[2:])]
    # TLS has errors of its own where bytes are others.
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        raw.socket.sendall(b"".join(said))
        if opportunity in ("bytes", "state"):
            # It may keep the connection from its end.
            eventually(lambda: fault.hits)
            fault.stop()
        while more := raw.file.read1():
            got += more
    if opportunity in ("message out", "frame out"):
        plan.due()
        assert fault.hits >= (plan.hits > 0), fault
    if opportunity == "message out" and got.endswith(_PONG + _CLOSE):
        assert fault.hits == plan.hits, (fault, plan.hits)
    return Counter(sent=len(plan.said), hit=plan.hits)


def _ended(raw: RawClient, plan: _Plan, end: str) -> None:
    match end:
        case "Close":
            payload = plan.kind.code.to_bytes(2) + plan.kind.reason.encode()
            assert raw.file.read(2 + len(payload)) == bytes([0x88, len(payload)]) + payload
            raw.send(8, payload)
            assert raw.file.read() == b""
        case "HalfClose":
            assert raw.file.read() == b""
        case "Reset":
            assert raw.file.read() == b"", "more has come than was sent before the reset"
            raise ConnectionResetError
        case _:
            with contextlib.suppress(BrokenPipeError):
                raw.send(9, b"end")
                raw.send(8, b"\x03\xe8")
            if isinstance(plan.kind, NoCloseReply):
                assert raw.file.read(len(_PONG)) == _PONG
                _shut_down(raw)
                assert raw.file.read() == b""
            else:
                rest = b"" if isinstance(plan.kind, NoPong) else _PONG
                assert raw.file.read() == rest + _CLOSE


def _shut_down(raw: RawClient) -> None:
    """The client's half of TCP ends, below TLS."""
    with socket.socket(fileno=socket.dup(raw.socket.fileno())) as below:
        below.shutdown(socket.SHUT_WR)


@dataclass
class _Reader:
    raw: RawClient
    is_deflated: bool

    def message(self) -> tuple[int, bytes]:
        """The next one, whatever it is made of."""
        first, payload = self._frame()
        opcode, is_last = first & 0x0F, first & 0x80
        while not is_last:
            then, more = self._frame()
            assert then & 0x7F == 0
            payload, is_last = payload + more, then & 0x80
        if first & 0x40:
            assert self.is_deflated
            payload = zlib.decompressobj(-15).decompress(payload + _EMPTY_BLOCK)
        return opcode, payload

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._bytes(2)
        size = {126: 2, 127: 8}.get(second, 0)
        length = int.from_bytes(self._bytes(size)) if size else second
        return first, self._bytes(length)

    def _bytes(self, count: int) -> bytes:
        found = self.raw.file.read(count)
        if len(found) < count:
            # With TLS the end of TCP may be told so.
            raise ConnectionError("the end came before that")
        return found
