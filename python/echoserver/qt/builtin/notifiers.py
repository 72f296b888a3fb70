"""QSocketNotifier: a descriptor in the event loop."""

from __future__ import annotations

import enum
import selectors
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from echoserver.qt.builtin import loop
from echoserver.qt.builtin.names import with_members
from echoserver.qt.builtin.objects import QObject
from echoserver.qt.builtin.signals import Signal

if TYPE_CHECKING:
    from echoserver.qt.builtin.loop import Loop

__all__ = ["QSocketNotifier"]


@with_members
class QSocketNotifier(QObject):
    """`activated(descriptor, type)` in each turn of the loop in which the descriptor is ready, while it is enabled."""

    class Type(enum.Enum):
        """What it waits for; the third of Qt, Exception, is not among them."""

        Read = 0
        Write = 1

    # The descriptor is an int, where PySide6 has a class for it.
    activated = Signal(object, object)

    def __init__(self, socket: int, type: Type, parent: QObject | None = None, **settings: Any) -> None:
        self._qt_descriptor = int(socket)
        self._qt_type = type
        self._qt_is_enabled = False
        super().__init__(parent, **settings)
        self.setEnabled(True)

    def _qt_delete(self) -> None:
        if self._qt_is_enabled:
            self._qt_end()
        super()._qt_delete()

    def _qt_move(self, home: Loop) -> None:
        was_enabled = self._qt_is_enabled
        if was_enabled:
            self._qt_end()
        super()._qt_move(home)
        # After that: it may run there at once.
        if was_enabled:
            home.post(partial(self.setEnabled, True))

    def socket(self) -> int:
        """The descriptor."""
        return self._qt_check()._qt_descriptor

    def type(self) -> Type:
        """What it waits for."""
        return self._qt_check()._qt_type

    def isEnabled(self) -> bool:
        """Whether it waits."""
        return self._qt_check()._qt_is_enabled

    def setEnabled(self, enable: bool, /) -> None:
        """Has it wait, or not; only in its own thread. To be disabled before the descriptor is closed."""
        self._qt_check()
        if self._qt_home is not loop.here():
            raise RuntimeError("QSocketNotifier.setEnabled(): a notifier is for the thread that made it")
        if self._qt_is_enabled == bool(enable):
            return
        self._qt_is_enabled = bool(enable)
        if enable:
            self._qt_home.watch(self._qt_descriptor, _EVENTS[self._qt_type], partial(_ring, ref(self)))
        else:
            self._qt_end()

    def _qt_ring(self) -> None:
        self.activated.emit(self._qt_descriptor, self._qt_type)

    def _qt_end(self) -> None:
        self._qt_is_enabled = False
        end = partial(self._qt_home.unwatch, self._qt_descriptor, _EVENTS[self._qt_type])
        # Whoever drops the last reference may be any thread.
        if self._qt_home is loop.here():
            end()
        else:
            self._qt_home.post(end)


def _ring(notifier: ref[QSocketNotifier]) -> None:
    # Not held by the loop: one that nobody refers to ends.
    found = notifier()
    if found is not None:
        found._qt_ring()


_EVENTS: Final = {
    QSocketNotifier.Type.Read: selectors.EVENT_READ,
    QSocketNotifier.Type.Write: selectors.EVENT_WRITE,
}
