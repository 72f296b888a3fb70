"""Threads of the operating system's, also where those of `threading` are green: gevent's or eventlet's."""

from __future__ import annotations

import _thread
import sys
import threading
from types import BuiltinFunctionType

from echoserver._core import Thread

# Not from typing, which takes long to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["are_green", "has_signals", "loop_runs", "make"]


def are_green() -> bool:
    """Whether those of `threading` share one of the operating system's, which a wait in Rust would stop for all."""
    return not isinstance(_thread.start_new_thread, BuiltinFunctionType)


def has_signals() -> bool:
    """Whether signal handlers run in this thread; True also where that can't be told."""
    return are_green() or threading.current_thread() is threading.main_thread()


def loop_runs() -> bool:
    """Whether an asyncio loop runs in this thread; who runs one has imported it."""
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None


def make(target: Callable[[], object], name: str) -> threading.Thread | Thread:
    """A daemon thread that is to call `target`."""
    if are_green():
        return Thread(target, name)
    return threading.Thread(target=target, name=name, daemon=True)
