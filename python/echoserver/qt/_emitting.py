"""Whose signal is being emitted, by thread: for slots that `sender()` tells nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echoserver.qt.QtCore import QObject

__all__ = ["NOW", "emitting"]


class _Now(threading.local):
    sender: QObject | None = None


# Who emits a signal notes that here, and puts back what was there before.
NOW = _Now()


def emitting() -> QObject | None:
    """The socket or server of `QtWebSockets` whose signal called the slot that this thread is in; None outside one."""
    return NOW.sender
