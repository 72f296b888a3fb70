"""What the next clients get instead of a plain 101: `EchoTestServer.handshakes`, and what can be put into it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

from echoserver._core import Accept, Response
from echoserver.faults import FaultKind, not_taken
from echoserver.testing.faults import BadAccept, Hang, Reset, WrongExtension, WrongSubprotocol

__all__ = ["Delay", "Handshake", "Handshakes"]


@dataclass(frozen=True)
class Delay(FaultKind):
    """What `then` is, `seconds` later; without it what the server does anyway. `open_timeout` counts from there."""

    seconds: float
    then: Handshake | None = None

    def __post_init__(self) -> None:
        if self.then is not None:
            _check(self.then)
        super().__post_init__()


Handshake: TypeAlias = Accept | BadAccept | Delay | Hang | Reset | Response | WrongExtension | WrongSubprotocol
"""An answer to an upgrade request."""

_KINDS = (Accept, BadAccept, Delay, Hang, Reset, Response, WrongExtension, WrongSubprotocol)


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

    def draw(self) -> Handshake | None:
        """The first, which is taken out; None when there is none."""
        try:
            return self.popleft()
        except IndexError:
            return None


def _check(entry: Handshake) -> Handshake:
    if isinstance(entry, _KINDS):
        return entry
    raise not_taken("handshakes", (kind.__name__ for kind in _KINDS), entry)
