"""What the next clients get instead of a plain 101: `EchoTestServer.handshakes`, and what can be put into it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

from echoserver._core import Accept, Response, checked_name, checked_value, shown
from echoserver.testing.faults import Reset

__all__ = ["BadAccept", "Delay", "Handshake", "Handshakes", "Hang", "WrongExtension", "WrongSubprotocol"]


@dataclass(frozen=True)
class Hang:
    """Nothing: the connection stays open, and the request without an answer, until the client or the server ends it."""


@dataclass(frozen=True)
class BadAccept:
    """101, with a `Sec-WebSocket-Accept` that does not answer the client's key (RFC 6455 section 4.1, point 4)."""


@dataclass(frozen=True)
class WrongSubprotocol:
    """101, with a subprotocol that the client has not offered (RFC 6455 section 4.1, point 6)."""

    name: str = "not-offered"
    """What the response says, a token."""

    def __post_init__(self) -> None:
        checked_name(self.name)


@dataclass(frozen=True)
class WrongExtension:
    """101, with an extension that the client has not offered (RFC 6455 sections 4.1, point 5, and 9.1). None is spoken.

    A client that offers permessage-deflate takes that one, and messages are not compressed, which it allows.
    """

    value: str = "x-not-offered"
    """What the response says: names, each with its parameters."""

    def __post_init__(self) -> None:
        checked_value(self.value)


@dataclass(frozen=True)
class Delay:
    """What `then` is, `seconds` later; without it what the server does anyway. `open_timeout` counts from there."""

    seconds: float
    then: Handshake | None = None

    def __post_init__(self) -> None:
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int | float):
            raise TypeError(f"seconds={shown(self.seconds)}: must be a number of seconds")
        if not 0 <= self.seconds <= _MAX_DELAY:
            raise ValueError(f"seconds={shown(self.seconds)}: must be 0 to {_MAX_DELAY}")
        if self.then is not None:
            _check(self.then)


Handshake: TypeAlias = Accept | BadAccept | Delay | Hang | Reset | Response | WrongExtension | WrongSubprotocol
"""An answer to an upgrade request."""

_KINDS = (Accept, BadAccept, Delay, Hang, Reset, Response, WrongExtension, WrongSubprotocol)

# An hour: longer is not a test.
_MAX_DELAY = 3600


class Handshakes(deque[Handshake]):
    """A deque of answers, of which each good upgrade request takes the first, before `on_handshake` is asked.

    Those that the server refuses by itself take none; when it is empty, all is as without it. TypeError for what is no
    answer, where it is put in.
    """

    def append(self, entry: Handshake, /) -> None:
        """Adds one at the end."""
        super().append(_check(entry))

    def appendleft(self, entry: Handshake, /) -> None:
        """Adds one before all others."""
        super().appendleft(_check(entry))

    def extend(self, entries: Iterable[Handshake], /) -> None:
        """Adds them at the end, or none of them."""
        super().extend([_check(entry) for entry in entries])

    def extendleft(self, entries: Iterable[Handshake], /) -> None:
        """Adds them before all others, the last one first; or none of them."""
        super().extendleft([_check(entry) for entry in entries])

    def insert(self, index: int, entry: Handshake, /) -> None:
        """Adds one at a place."""
        super().insert(index, _check(entry))

    def __setitem__(self, index: SupportsIndex, entry: Handshake, /) -> None:  # type: ignore[override]
        super().__setitem__(index, _check(entry))

    def __iadd__(self, entries: Iterable[Handshake], /) -> Handshakes:
        self.extend(entries)
        return self

    def draw(self) -> tuple[str, object] | None:
        """The first, for the core, which takes it out."""
        try:
            return _for_core(self.popleft())
        except IndexError:
            return None


def _check(entry: Handshake) -> Handshake:
    if isinstance(entry, _KINDS):
        return entry
    kinds = ", ".join(kind.__name__ for kind in _KINDS)
    what = f"the class {entry.__name__}, not one of its objects" if isinstance(entry, type) else shown(entry)
    raise TypeError(f"handshakes takes {kinds}, not {what}")


# What the core calls those that have nothing to say.
_WORDS: dict[type, str] = {Hang: "hang", Reset: "reset", BadAccept: "bad accept"}


def _for_core(entry: Handshake | None) -> tuple[str, object] | None:
    match entry:
        case None:
            return None
        case WrongSubprotocol(name):
            return "wrong subprotocol", name
        case WrongExtension(value):
            return "wrong extension", value
        case Delay(seconds, then):
            return "delay", (seconds, _for_core(then))
        case _:
            return _WORDS.get(type(entry), "decision"), entry
