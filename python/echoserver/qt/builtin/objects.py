"""QObject: parents and children, names, `sender()`, an end that everybody hears of; and QThread, where it belongs."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

from echoserver.qt.builtin import loop, slots
from echoserver.qt.builtin.loop import Loop
from echoserver.qt.builtin.names import absent
from echoserver.qt.builtin.signals import Connection, Emitter, QMetaMethod, Signal, SignalInstance

if TYPE_CHECKING:
    from typing import Self

__all__ = ["QObject", "QThread", "isValid"]


class QObject(Emitter):
    """An object with signals. It lives as long as its parent, or else as Python refers to it, or until `deleteLater()`.

    It belongs to the thread that made it: its slots run there.
    """

    destroyed = Signal(Emitter)
    objectNameChanged = Signal(str)

    def __init__(self, parent: QObject | None = None, **settings: Any) -> None:
        """With properties and slots by name: `QTimer(interval=1000, timeout=tick)`."""
        if parent is not None and not isinstance(parent, QObject):
            raise TypeError(f"{type(self).__name__}: parent must be a QObject or None, not {type(parent).__name__}")
        self._qt_home = loop.here()
        self._qt_blocked = False
        self._qt_gone = False
        self._qt_arriving: set[Connection] = set()
        self._qt_name = ""
        self._qt_children: list[QObject] = []
        # A parent has its children, and not the other way round: dropping it deletes all.
        self._qt_parent: ref[QObject] | None = None
        if parent is not None:
            self.setParent(parent)
        for name, value in settings.items():
            self._qt_set(name, value)

    def _qt_set(self, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), Signal):
            getattr(self, name).connect(value)
            return
        setter = getattr(self, f"set{name[:1].upper()}{name[1:]}", None)
        if setter is None:
            raise AttributeError(f"{type(self).__name__} has no property or signal {name!r}")
        setter(value)

    def _qt_check(self) -> Self:
        """Itself, if it lives."""
        if self._qt_gone:
            raise RuntimeError(f"Internal C++ object ({type(self).__name__}) already deleted.")
        return self

    def __del__(self) -> None:
        if self.__dict__.get("_qt_gone") is False:
            self._qt_delete()

    # Its place

    def parent(self) -> QObject | None:
        """The object that it is deleted with."""
        found = self._qt_check()._qt_parent
        return None if found is None else found()

    def setParent(self, parent: QObject | None, /) -> None:
        """Gives it to another, which keeps it alive; None: to whoever has a reference."""
        self._qt_check()
        if parent is not None:
            parent._qt_check()
        self._qt_leave()
        if parent is not None:
            self._qt_parent = ref(parent)
            parent._qt_children.append(self)

    def _qt_leave(self) -> None:
        held, self._qt_parent = self._qt_parent, None
        parent = None if held is None else held()
        if parent is not None and self in parent._qt_children:
            parent._qt_children.remove(self)

    def children(self) -> list[QObject]:
        """Those that are deleted with it, the oldest first."""
        return list(self._qt_check()._qt_children)

    def objectName(self) -> str:
        """Its name, for whoever wants one."""
        return self._qt_check()._qt_name

    def setObjectName(self, name: str, /) -> None:
        """Names it."""
        if self._qt_check()._qt_name != name:
            self._qt_name = name
            self.objectNameChanged.emit(name)

    def thread(self) -> QThread:
        """The thread in which its slots run."""
        return _thread_of(self._qt_check()._qt_home)

    def moveToThread(self, thread: QThread, /) -> bool:
        """Has its slots run there from now on, and those of its children; False, and a line on stderr, if it can't be.

        To be called in the thread to which it belongs now; an object with a parent stays with it.
        """
        if self._qt_check()._qt_parent is not None or (
            self._qt_home is not loop.here() and self._qt_home is not thread._qt_loop
        ):
            print("QObject.moveToThread: only in its own thread, and not with a parent", file=sys.stderr)
            return False
        self._qt_move(thread._qt_loop)
        return True

    def _qt_move(self, home: Loop) -> None:
        self._qt_home = home
        for child in self._qt_children:
            child._qt_move(home)

    # Its signals and slots

    def sender(self) -> QObject | None:
        """Whose signal has called the slot of this object that runs; None outside of a slot.

        Also in a method that overrides one of a base class, where PySide6 says None.
        """
        if self._qt_gone:
            self._qt_check()
        found = slots.sender_to(self)
        return found if isinstance(found, QObject) and not found._qt_gone else None

    def blockSignals(self, block: bool, /) -> bool:
        """Has its signals call nobody; whether they did not before."""
        before, self._qt_check()._qt_blocked = self._qt_blocked, bool(block)
        return before

    def signalsBlocked(self) -> bool:
        """Whether its signals call nobody."""
        return self._qt_check()._qt_blocked

    def isSignalConnected(self, signal: QMetaMethod, /) -> bool:
        """Whether somebody is connected to it."""
        name = signal.name().data().decode()
        instance = getattr(self._qt_check(), name, None)
        return isinstance(instance, SignalInstance) and bool(instance.connections)

    @staticmethod
    def disconnect(connection: Connection, /) -> bool:
        """Ends it; whether there was something to end. Signals have a `disconnect` of their own."""
        return connection.cut()

    # Its end

    def deleteLater(self) -> None:
        """Deletes it when all that is under way has returned to the event loop."""
        if not self._qt_gone:
            self._qt_home.post_deletion(self._qt_delete)

    def _qt_delete(self) -> None:
        """Now: `destroyed` first, then its connections, its children, its place with its parent."""
        if self._qt_gone:
            return
        # By the class: the weak reference of the signal is dead already if nobody refers to this any more.
        type(self).destroyed.emit_from(self, self)
        self._qt_gone = True
        for instance in [value for value in vars(self).values() if isinstance(value, SignalInstance)]:
            for connection in instance.connections:
                connection.cut()
        for connection in list(self._qt_arriving):
            connection.cut()
        for child in list(self._qt_children):
            child._qt_delete()
        self._qt_children.clear()
        self._qt_leave()

    # For a type checker there is no such method, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if "_qt_gone" not in self.__dict__ and not name.startswith("__"):
                raise RuntimeError(f"'__init__' method of object's base class ({type(self).__name__}) not called.")
            return absent(type(self).__name__, name)


class QThread(QObject):
    """A thread: one of ours, which runs an event loop, or that of somebody else, as `currentThread()` gives it."""

    started = Signal()
    finished = Signal()

    def __init__(self, parent: QObject | None = None, **settings: Any) -> None:
        self._qt_loop = Loop()
        self._qt_loop.thread = ref(self)
        self._qt_thread: threading.Thread | None = None
        self._qt_code: int | None = None
        super().__init__(parent, **settings)

    @staticmethod
    def currentThread() -> QThread:
        """The one that asks."""
        return _thread_of(loop.here())

    def start(self) -> None:
        """Starts it; nothing if it runs."""
        if not self.isRunning():
            self._qt_code = None
            self._qt_thread = threading.Thread(target=self._qt_run, name=self.objectName() or type(self).__name__)
            self._qt_thread.start()

    def _qt_run(self) -> None:
        loop.settle(self._qt_loop)
        self.started.emit()
        slots.call(self.run, (), None, None)
        self.finished.emit()

    def run(self) -> None:
        """What it does; for subclasses."""
        self.exec()

    def exec(self) -> int:
        """Serves the objects that belong to it, in the thread itself; the exit code."""
        self._qt_loop.run(lambda: self._qt_code is not None)
        return self._qt_code or 0

    def exit(self, returnCode: int = 0, /) -> None:
        """Ends `exec()`. Any thread may."""
        if self._qt_code is None:
            self._qt_code = returnCode
        self._qt_loop.wake()

    def quit(self) -> None:
        """`exit(0)`."""
        self.exit()

    def wait(self, time: int | None = None, /) -> bool:
        """Waits for its end, `time` milliseconds at most; whether it has ended."""
        if self._qt_thread is not None:
            self._qt_thread.join(None if time is None else time / 1000)
        return not self.isRunning()

    def isRunning(self) -> bool:
        """Whether it runs."""
        return self._qt_thread is not None and self._qt_thread.is_alive()

    def isFinished(self) -> bool:
        """Whether it has run."""
        return self._qt_thread is not None and not self._qt_thread.is_alive()

    def loopLevel(self) -> int:
        """How many event loops run in it, one in the other."""
        return self._qt_loop.level


def _thread_of(home: Loop) -> QThread:
    found = home.thread() if isinstance(home.thread, ref) else home.thread
    if not isinstance(found, QThread):
        # A thread that somebody else has started.
        found = QThread.__new__(QThread)
        QObject.__init__(found)
        found._qt_loop, found._qt_thread, found._qt_code = home, None, None
        home.thread = found
    return found


def isValid(thing: object) -> bool:
    """As shiboken6's: whether it lives; True for what is no QObject."""
    return not (isinstance(thing, QObject) and thing._qt_gone)
