"""Whose signal is being emitted, by thread: for slots that `sender()` tells nothing."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from echoserver.qt._choice import chosen

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from echoserver.qt.QtCore import QObject

__all__ = ["emit", "emitter", "emitting"]


class _Now(threading.local):
    sender: QObject | None = None


_NOW = _Now()


def emit(sender: QObject, signal: Any, *arguments: object) -> None:
    """Emits a signal of `sender`, which the slots that it calls are told meanwhile."""
    before, _NOW.sender = _NOW.sender, sender
    try:
        signal.emit(*arguments)
    finally:
        _NOW.sender = before


def emitter(sender: QObject, signal: Any, *, is_noted: bool) -> Callable[..., object]:
    """What emits a signal of `sender` again and again; as `emit` does it if `is_noted`, else in less time.

    The stand-ins' `sender()` knows by itself.
    """
    if is_noted and chosen() == "pyside6":
        return partial(emit, sender, signal)
    emits: Callable[..., object] = signal.emit
    return emits


def emitting() -> QObject | None:
    """The socket or server of `QtWebSockets` whose signal called the slot that this thread is in; None outside one.

    Messages are noted only for who has asked its server for that.
    """
    return _NOW.sender
