"""Threads of the operating system's, also where those of `threading` are green: gevent's or eventlet's."""

from __future__ import annotations

import _thread
import sys
import threading
import warnings
from types import BuiltinFunctionType

from echoserver._core import Thread

# Not from typing, which takes long to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "QT",
    "are_green",
    "check_workers",
    "has_signals",
    "leave_to_others",
    "loop_runs",
    "make",
    "warn_of_loop",
    "way_out_of_loop",
]

QT = ("PySide6.QtCore", "echoserver.qt.builtin.QtCore")
"""Modules that a Qt event loop may be known from: Qt's, and what stands in for it."""

# Seconds that are enough to find out whether a green thread can leave its thread to others.
_INSTANT = 0.0001

# The green threads that leave theirs to others now.
_waiting: set[int] = set()


def are_green() -> bool:
    """Whether those of `threading` share one of the operating system's, which a wait in Rust would stop for all."""
    return not isinstance(_thread.start_new_thread, BuiltinFunctionType)


def leave_to_others(seconds: float) -> bool:
    """Other green threads of this one run meanwhile; False where they can't, as in a signal handler of the hub's.

    Nor in one that has interrupted this very function: the end of that wait would come to the handler's, and only once.
    """
    thread = _thread.get_ident()
    if thread in _waiting:
        return False
    try:
        _waiting.add(thread)
        _wait_green(seconds)
    except Exception:
        # Somebody may have raised it in this green thread, as timeouts do: where it is the hub's, it comes again.
        try:
            _wait_green(_INSTANT)
        except Exception:
            return False
        raise
    finally:
        _waiting.discard(thread)
    return True


def _wait_green(seconds: float) -> None:
    # A lock is green wherever threads are; `time.sleep` need not be.
    lock = _thread.allocate_lock()
    lock.acquire()
    try:
        lock.acquire(True, seconds)
    except BaseException as error:
        # The end of an earlier wait of ours, if an interrupt came just before it: gevent throws it at the next one. It
        # is known by its time.
        if type(error).__name__ != "Timeout" or getattr(error, "seconds", None) != seconds:
            raise


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


def way_out_of_loop() -> str | None:
    """What to do instead of waiting in this thread, if an event loop runs here."""
    if loop_runs():
        return "use `async with`, or await server.stop_async()"
    if trio := sys.modules.get("trio"):
        try:
            trio.lowlevel.current_task()
        except RuntimeError:
            return None
        return "await trio.to_thread.run_sync(server.stop) instead"
    return None


def warn_of_loop(server: str, dropped: int, way_out: str) -> None:
    """Warns whoever called this package that the wait for the end of `server` held up the loop of its clients."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "echoserver":
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"{server}: stop() held up the event loop of this thread, so that its clients could not answer; {dropped} "
        f"dropped: {way_out}",
        RuntimeWarning,
        stacklevel=level,
    )


def check_workers(is_driven: bool, call: str) -> None:
    """ValueError if there are none, as `is_driven` says: nobody would serve the clients while an event loop runs."""
    if is_driven:
        raise ValueError(
            f"workers=0: {call} needs an event loop, which has its thread for itself, and without workers the thread "
            f"that runs the callbacks serves the clients, too: give workers=1, or use plain callbacks with serve() or "
            f"start()"
        )
