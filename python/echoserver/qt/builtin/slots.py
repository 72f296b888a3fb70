"""Calling a slot: who sent, as `sender()` says it, and what becomes of what it raises."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from echoserver.qt.builtin import loop

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["arity", "call", "sender_to"]


class _Under(threading.local):
    """The slots under way in this thread: receiver and sender, the innermost last."""

    def __init__(self) -> None:
        self.way: list[tuple[object, object]] = []


_under = _Under()


def call(function: Callable[..., object], arguments: tuple[Any, ...], receiver: object, sender: object) -> None:
    """Calls a slot. An error goes to `sys.excepthook`, SystemExit and KeyboardInterrupt out of the event loop."""
    way = _under.way
    way.append((receiver, sender))
    try:
        function(*arguments)
    except Exception as error:  # Others go on.
        _report(error)
    except BaseException as error:
        loop.here().interrupt(error)
    finally:
        way.pop()


def sender_to(receiver: object) -> object:
    """Who sent what a slot of `receiver` is called for, in this thread; None outside of a slot of its."""
    for each, sender in reversed(_under.way):
        if each is receiver:
            return sender
    return None


def _report(error: Exception) -> None:
    # From the slot on, as who wrote it expects it.
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception:
        print("Error in sys.excepthook:", file=sys.stderr)
        traceback.print_exc()
        traceback.print_exception(error)


def arity(function: Callable[..., object]) -> int | None:
    """How many positional arguments a function takes; None for as many as there are, and for what does not tell."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 0x04:  # *args
        return None
    count: int = code.co_argcount
    return count
