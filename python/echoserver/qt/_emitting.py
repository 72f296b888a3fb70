"""Whose signal is being emitted, by thread: for slots that `sender()` tells nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from echoserver.qt.QtCore import QObject

__all__ = ["emit", "emitting"]


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


def emitting() -> QObject | None:
    """The socket or server of `QtWebSockets` whose signal called the slot that this thread is in; None outside one."""
    return _NOW.sender
