"""Signal, SignalInstance, Slot: connecting, and emitting in order, across threads and in later turns of the loop."""

from __future__ import annotations

import enum
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from weakref import ref

from echoserver.qt.builtin import loop, slots
from echoserver.qt.builtin.byte_array import QByteArray
from echoserver.qt.builtin.names import with_members

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType
    from typing import Self

    from echoserver.qt.builtin.loop import Loop

    _Function = TypeVar("_Function", bound=Callable[..., object])

__all__ = ["Connection", "ConnectionType", "Emitter", "QMetaMethod", "QMetaObject", "Signal", "SignalInstance", "Slot"]


class ConnectionType(enum.IntFlag):
    """When a slot is called; the last two are added to one of the others."""

    AutoConnection = 0
    DirectConnection = 1
    QueuedConnection = 2
    BlockingQueuedConnection = 3
    UniqueConnection = 0x80
    SingleShotConnection = 0x100


_AUTO: Final = 0
_DIRECT: Final = 1
_BLOCKING: Final = 3
_KIND: Final = 3
# Connecting and disconnecting replace a tuple; who emits reads it once. Whoever has the lock may collect objects as
# garbage, whose connections end then.
_changing = threading.RLock()


class Emitter:
    """What signals need to know of the object that has them, and of one whose methods are slots."""

    _qt_home: Loop
    _qt_blocked: bool
    # Connections to its methods.
    _qt_arriving: set[Connection]
    _qt_gone: bool

    def connectNotify(self, signal: QMetaMethod) -> None:
        """Somebody was connected to `signal`; for subclasses."""

    def disconnectNotify(self, signal: QMetaMethod) -> None:
        """Somebody was disconnected from `signal`; for subclasses."""


class QMetaMethod:
    """A signal by its name, as `connectNotify` is told it."""

    def __init__(self, signal: Signal | None = None) -> None:
        self._signal = signal

    @staticmethod
    def fromSignal(signal: SignalInstance) -> QMetaMethod:
        """That of a signal of an object."""
        return QMetaMethod(signal.signal)

    def name(self) -> QByteArray:
        """Its name."""
        return QByteArray(self._signal.name.encode() if self._signal else b"")

    def isValid(self) -> bool:
        """Whether it is one at all."""
        return self._signal is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QMetaMethod) and self._signal is other._signal

    def __hash__(self) -> int:
        return hash(self._signal)


class Connection:
    """One slot of one signal of one object. True until it is disconnected."""

    __slots__ = (
        "__weakref__",
        "_cut",
        "_function",
        "_has_home",
        "_instance",
        "_is_once",
        "_kind",
        "_receiver",
        "key",
    )

    def __init__(self, instance: SignalInstance, slot: Any, type: int) -> None:
        self._instance: SignalInstance | None = instance
        self._kind = type & _KIND
        self._is_once = bool(type & ConnectionType.SingleShotConnection)
        self._receiver: ref[Any] | None = None
        # Whether the receiver is an object that belongs to a thread.
        self._has_home = False
        method: MethodType | None = slot if hasattr(slot, "__func__") and hasattr(slot, "__self__") else None
        if isinstance(slot, SignalInstance):
            target = slot.source()
            self._function: Callable[..., object] = slot.signal.emit_from
            self._cut: int | None = len(slot.signal.types)
            self._receiver, self._has_home = ref(target), True
            self.key: tuple[object, object] = (id(target), slot.signal)
        elif method is not None:
            # As in Qt a method is held weakly, a function is not.
            receiver = method.__self__
            self._function = method.__func__
            count = slots.arity(method.__func__)
            self._cut = count if count is None else max(0, count - 1)
            self._receiver, self._has_home = ref(receiver, partial(_forget, ref(self))), isinstance(receiver, Emitter)
            self.key = (id(receiver), method.__func__)
        else:
            self._function = slot
            self._cut = slots.arity(slot)
            self.key = (None, slot)

    def __bool__(self) -> bool:
        return self._instance is not None

    def deliver(self, here: Loop, source: Emitter, arguments: tuple[Any, ...]) -> None:
        """Calls the slot, or has it called in its own thread."""
        if self._instance is None:
            return
        if self._is_once:
            self.cut()
        if self._cut is not None and len(arguments) > self._cut:
            arguments = arguments[: self._cut]
        kind = self._kind
        held = self._receiver
        receiver = None if held is None else held()
        # A slot runs in its object's thread; a function, and a method of something else, in the signal's.
        home = source._qt_home if receiver is None or not self._has_home else receiver._qt_home
        if kind == _DIRECT or (kind == _AUTO and home is here):
            if held is None:
                slots.call(self._function, arguments, None, source)
            elif receiver is not None and not (self._has_home and receiver._qt_gone):
                slots.call(self._function, (receiver, *arguments), receiver, source)
        elif kind != _BLOCKING:
            home.post(partial(self._call_later, source, arguments))
        elif home is here:
            raise RuntimeError("BlockingQueuedConnection: the slot's thread is the one that emits and would wait")
        else:
            done = threading.Event()

            def call() -> None:
                try:
                    self._call_later(source, arguments)
                finally:
                    done.set()

            home.post(call)
            done.wait()

    def _call_later(self, source: Emitter, arguments: tuple[Any, ...]) -> None:
        if self._receiver is None:
            slots.call(self._function, arguments, None, source)
            return
        # Nobody has kept it meanwhile, and it may have been deleted.
        receiver = self._receiver()
        if receiver is not None and not (self._has_home and receiver._qt_gone):
            slots.call(self._function, (receiver, *arguments), receiver, source)

    def arrive(self, is_there: bool) -> None:
        """Has the receiver know it, so that it ends with it; or forget it."""
        receiver = self._receiver and self._receiver()
        if isinstance(receiver, Emitter):
            (receiver._qt_arriving.add if is_there else receiver._qt_arriving.discard)(self)

    def cut(self) -> bool:
        """Ends it; whether there was something to end."""
        with _changing:
            instance, self._instance = self._instance, None
            if instance is None:
                return False
            instance.change(lambda connections: tuple(each for each in connections if each is not self))
        self.arrive(is_there=False)
        instance.tell(is_connected=False)
        return True


def _forget(connection: ref[Connection], _: object) -> None:
    found = connection()
    if found is not None:
        found.cut()


class QMetaObject:
    """Only what `connect` returns."""

    Connection = Connection


class SignalInstance:
    """A signal of an object."""

    __slots__ = ("_source", "connections", "signal")

    def __init__(self, signal: Signal, source: Emitter) -> None:
        self.signal = signal
        self._source = ref(source)
        self.connections: tuple[Connection, ...] = ()

    def source(self) -> Emitter:
        """The object; RuntimeError if it is gone."""
        source = self._source()
        if source is None or source._qt_gone:
            raise RuntimeError(f"Signal source has been deleted: {self.signal.name}")
        return source

    def connect(self, slot: Any, /, type: int = ConnectionType.AutoConnection) -> Connection:
        """Has `slot` called, with as many of the arguments as it takes; a method is held weakly, all else strongly.

        Any thread may connect. What is returned is true, and false for UniqueConnection if there is one already.
        """
        if not (callable(slot) or isinstance(slot, SignalInstance)):
            raise TypeError(f"connect() takes a callable or a signal, not {slot!r}")
        self.source()
        made = Connection(self, slot, int(type))
        with _changing:
            if type & ConnectionType.UniqueConnection and any(each.key == made.key for each in self.connections):
                made._instance = None
                return made
            self.change(lambda connections: (*connections, made))
        made.arrive(is_there=True)
        self.tell(is_connected=True)
        return made

    def change(self, to: Callable[[tuple[Connection, ...]], tuple[Connection, ...]]) -> None:
        """Has others; who calls it holds `_changing`. What is collected as garbage meanwhile may end one of them."""
        while True:
            before = self.connections
            after = to(before)
            if self.connections is before:
                self.connections = after
                return

    def disconnect(self, slot: Any = None, /) -> bool:
        """Ends one connection to `slot`, or a Connection, or without one all; whether there was one."""
        self.source()
        if slot is None:
            # Each, also after one that has ended meanwhile.
            ended = [each.cut() for each in self.connections]
            return any(ended)
        if isinstance(slot, Connection):
            return slot.cut()
        if isinstance(slot, SignalInstance):
            key: tuple[object, object] = (id(slot.source()), slot.signal)
        elif hasattr(slot, "__func__") and hasattr(slot, "__self__"):
            key = (id(slot.__self__), slot.__func__)
        else:
            key = (None, slot)
        for each in self.connections:
            if each.key == key:
                return each.cut()
        return False

    def emit(self, *arguments: Any) -> None:
        """Calls the slots in the order in which they were connected, or has their threads do it. Any thread may."""
        source = self._source()
        self.emit_from(self.source() if source is None or source._qt_gone else source, arguments)

    def emit_from(self, source: Emitter, arguments: tuple[Any, ...]) -> None:
        """The same of its object, which may have no reference left but this one."""
        signal = self.signal
        if len(arguments) != signal.count:
            raise signal.miscounted(arguments)
        connections = self.connections
        if connections and not source._qt_blocked:
            if not signal.takes_all:
                arguments = signal.fitting(arguments)
            here = loop.local.loop
            for connection in connections:
                connection.deliver(here, source, arguments)

    def tell(self, *, is_connected: bool) -> None:
        """Tells the object that somebody was connected, or disconnected."""
        source = self._source()
        if source is not None and not source._qt_gone:
            (source.connectNotify if is_connected else source.disconnectNotify)(QMetaMethod(self.signal))


class Signal:
    """A signal of a class of QObjects, with the types of its arguments."""

    def __init__(self, *types: type | str, name: str | None = None, arguments: list[str] | None = None) -> None:
        if any(isinstance(each, (list, tuple)) for each in types):
            raise TypeError(
                "a signal with several signatures needs PySide6: here a Signal has one, such as Signal(str)"
            )
        # For a type given by name any value does.
        self.types: tuple[type, ...] = tuple(object if isinstance(each, str) else each for each in types)
        self.count = len(self.types)
        self.takes_all = all(each is object for each in self.types)
        self.name = name or ""
        self._attribute = self.name
        self.arguments = arguments or []

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name
        self.name = self.name or name

    @overload
    def __get__(self, instance: None, owner: object = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: object = None) -> SignalInstance: ...
    def __get__(self, instance: object, owner: object = None) -> Self | SignalInstance:
        if instance is None:
            return self
        if not isinstance(instance, Emitter):
            raise TypeError(f"{self.name}: only a QObject can have a signal, and {type(instance).__name__} is none")
        _ = instance._qt_home  # Raises what is to be said if its constructor was not called.
        # From now on the attribute of the object is found before that of the class.
        made: SignalInstance = vars(instance).setdefault(self._attribute, SignalInstance(self, instance))
        return made

    def emit_from(self, source: Emitter, *arguments: Any) -> None:
        """Emits that of `source`."""
        instance: SignalInstance | None = vars(source).get(self._attribute)
        if instance is None:
            # Nobody was ever connected to it.
            if len(arguments) != self.count:
                raise self.miscounted(arguments)
            return
        instance.emit_from(source, arguments)

    def miscounted(self, arguments: tuple[Any, ...]) -> TypeError:
        """What to say of more or fewer arguments than there should be."""
        return TypeError(f"{self.name}() only accepts {self.count} argument(s), {len(arguments)} given!")

    def fitting(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """They as what the signal says."""
        for position, (value, wanted) in enumerate(zip(arguments, self.types, strict=True)):
            if type(value) is not wanted and not isinstance(value, wanted):
                fitting = _fitting(value, wanted, self.name)
                arguments = (*arguments[:position], fitting, *arguments[position + 1 :])
        return arguments


def _fitting(value: Any, wanted: type, name: str) -> object:
    """`value` as what the signal says; TypeError if it can't be. PySide6 gives slots an empty value then."""
    if wanted is QByteArray and isinstance(value, (bytes, bytearray, memoryview)):
        return QByteArray(value)
    if wanted is float and isinstance(value, int):
        return float(value)
    if wanted is int and isinstance(value, float):
        return int(value)
    # A null pointer.
    if value is None and issubclass(wanted, Emitter):
        return None
    raise TypeError(f"{name}: {value!r} is no {wanted.__name__}")


class Slot:
    """Marks a method as a slot. What it says is not needed here: the method's own signature is."""

    def __init__(self, *types: type | str, name: str | None = None, result: type | str | None = None) -> None:
        self.types, self.name, self.result = types, name, result

    def __call__(self, function: _Function) -> _Function:
        """The method as it is."""
        return function


with_members(QMetaObject)
