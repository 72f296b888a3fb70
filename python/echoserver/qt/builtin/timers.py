"""QTimer."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from echoserver.qt.builtin import loop, slots
from echoserver.qt.builtin.objects import QObject
from echoserver.qt.builtin.signals import Emitter, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from echoserver.qt.builtin.loop import Alarm, Loop

__all__ = ["QTimer"]


class QTimer(QObject):
    """`timeout`, again and again or once, in the thread that made it."""

    timeout = Signal()

    def __init__(self, parent: QObject | None = None, **settings: Any) -> None:
        self._qt_interval = 0
        self._qt_is_single = False
        self._qt_alarm: Alarm | None = None
        super().__init__(parent, **settings)

    def _qt_delete(self) -> None:
        if self._qt_alarm is not None:
            self._qt_alarm.call_off()
            self._qt_alarm = None
        super()._qt_delete()

    def _qt_move(self, home: Loop) -> None:
        alarm, self._qt_alarm = self._qt_alarm, None
        super()._qt_move(home)
        if alarm is not None:
            alarm.call_off()
            home.post(self.start)

    def start(self, msec: int | None = None, /) -> None:
        """From now on, again if it runs; every `msec` milliseconds if given, else every `interval()`."""
        self._qt_check()
        if self._qt_home is not loop.here():
            raise RuntimeError("QTimer.start(): a timer is started in the thread that made it")
        if msec is not None:
            self.setInterval(msec)
        self.stop()
        self._qt_set_alarm(time.monotonic())

    def _qt_set_alarm(self, since: float) -> None:
        self._qt_alarm = self._qt_home.at(since + self._qt_interval / 1000, partial(_ring, ref(self)))

    def _qt_ring(self) -> None:
        alarm, self._qt_alarm = self._qt_alarm, None
        if not self._qt_is_single and alarm is not None:
            # From when it was due, so that it keeps its pace; what was missed is not made up for.
            now = time.monotonic()
            self._qt_set_alarm(now if alarm.due + self._qt_interval / 1000 <= now else alarm.due)
        self.timeout.emit()

    def stop(self) -> None:
        """Ends it."""
        alarm, self._qt_alarm = self._qt_check()._qt_alarm, None
        if alarm is not None:
            alarm.call_off()

    def isActive(self) -> bool:
        """Whether it runs."""
        return self._qt_check()._qt_alarm is not None

    def interval(self) -> int:
        """In milliseconds; 0 is in each turn of the loop."""
        return self._qt_check()._qt_interval

    def setInterval(self, msec: int, /) -> None:
        """Sets it; one that runs begins anew."""
        if msec < 0:
            raise ValueError(f"QTimer: an interval is 0 or more milliseconds, not {msec}")
        self._qt_check()._qt_interval = int(msec)
        if self.isActive():
            self.start()

    def remainingTime(self) -> int:
        """Milliseconds until it rings; -1 if it does not run."""
        alarm = self._qt_check()._qt_alarm
        return -1 if alarm is None else max(0, round((alarm.due - time.monotonic()) * 1000))

    def isSingleShot(self) -> bool:
        """Whether it rings once."""
        return self._qt_check()._qt_is_single

    def setSingleShot(self, single: bool, /) -> None:
        """Has it ring once, or again and again."""
        self._qt_check()._qt_is_single = bool(single)

    @staticmethod
    def singleShot(msec: int, /, *rest: Any) -> None:
        """`singleShot(msec, function)` or `(msec, context, function)`: calls it once, in this thread's loop.

        Not if the context, or the QObject whose method it is, is gone then.
        """
        *context, function = rest
        if not callable(function):
            raise TypeError(f"QTimer.singleShot() takes a function, not {function!r}")
        # A method of a QObject has that for a context.
        owner = context[0] if context else getattr(function, "__self__", None)
        loop.here().at(time.monotonic() + max(0, msec) / 1000, partial(_once, owner, function))


def _ring(timer: ref[QTimer]) -> None:
    # Not held by the loop: a timer that nobody refers to ends.
    found = timer()
    if found is not None:
        found._qt_ring()


def _once(owner: object, function: Callable[[], object]) -> None:
    if not (isinstance(owner, Emitter) and owner._qt_gone):
        slots.call(function, (), owner, None)
