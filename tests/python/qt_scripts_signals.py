"""Signals and slots of one thread."""

from __future__ import annotations

import sys
from typing import Any

from echoserver.qt.QtCore import QByteArray, QCoreApplication, QObject, Qt, Signal, Slot
from qt_scripts import Say, script


class Source(QObject):
    nothing = Signal()
    text = Signal(str)
    pair = Signal(int, str)
    data = Signal(QByteArray)
    anything = Signal(object)


class Hooked:
    """Keeps what `sys.excepthook` is told, for a `with`."""

    def __init__(self, say: Say) -> None:
        self.say = say

    def __enter__(self) -> None:
        self.before = sys.excepthook
        sys.excepthook = lambda kind, error, _: self.say(f"hook: {kind.__name__}: {error}")

    def __exit__(self, *_: object) -> None:
        sys.excepthook = self.before


@script("a x", "b x", "a x", "c")
def slots_run_in_the_order_of_their_connection(say: Say) -> None:
    source = Source()
    a = lambda text: say("a", text)  # noqa: E731
    source.text.connect(a)
    source.text.connect(lambda text: say("b", text))
    source.text.connect(a)
    source.text.connect(lambda: say("c"))
    source.text.emit("x")


@script("one 1", "both 1 x", "default 1 x", "all (1, 'x')", "none")
def surplus_arguments_are_cut(say: Say) -> None:
    source = Source()
    source.pair.connect(lambda number: say("one", number))
    source.pair.connect(lambda number, text: say("both", number, text))
    source.pair.connect(lambda number, text, more="": say("default", number, text + more))
    source.pair.connect(lambda *arguments: say("all", arguments))
    source.pair.connect(lambda: say("none"))
    source.pair.emit(1, "x")


@script("TypeError", "TypeError", "TypeError")
def what_is_no_slot_or_no_signal_is_refused(say: Say) -> None:
    source = Source()
    for call in (
        lambda: source.text.connect("no"),
        lambda: source.text.emit(),  # noqa: PLW0108
        lambda: source.text("x"),  # type: ignore[operator]
    ):
        try:
            call()
            say("nothing")
        except TypeError:
            say("TypeError")


@script("True", "x", "True", "y", "False", "False")
def disconnecting(say: Say) -> None:
    source = Source()

    def slot(text: str) -> None:
        say(text)

    source.text.connect(slot)
    source.text.connect(slot)
    say(source.text.disconnect(slot))
    source.text.emit("x")
    source.text.connect(slot)
    say(source.text.disconnect())
    source.text.connect(slot)
    source.text.emit("y")
    source.text.disconnect(slot)
    try:
        say(bool(source.text.disconnect(slot)))
    except (RuntimeError, SystemError):
        # PySide6 warns of it, which is an error here.
        say("False")
    try:
        say(bool(source.text.disconnect()))
    except (RuntimeError, SystemError):
        say("False")


@script("True", "x", "True", "False")
def a_connection_can_be_ended(say: Say) -> None:
    source = Source()
    connection = source.text.connect(say)
    say(bool(connection))
    source.text.emit("x")
    say(QObject.disconnect(connection))
    say(bool(connection))
    source.text.emit("y")


@script("first x", "second x", "second y")
def a_slot_may_disconnect_itself_and_others_run(say: Say) -> None:
    source = Source()

    def first(text: str) -> None:
        say("first", text)
        source.text.disconnect(first)

    source.text.connect(first)
    source.text.connect(lambda text: say("second", text))
    source.text.emit("x")
    source.text.emit("y")


@script("first", "second")
def who_is_connected_in_a_slot_is_called_next_time(say: Say) -> None:
    source = Source()
    source.nothing.connect(lambda: say("first"), Qt.ConnectionType.SingleShotConnection)
    source.nothing.connect(lambda: source.nothing.connect(lambda: say("second")),
                           Qt.ConnectionType.SingleShotConnection)  # fmt: skip
    source.nothing.emit()
    source.nothing.emit()


@script("once")
def a_single_shot_is_one(say: Say) -> None:
    source = Source()
    source.nothing.connect(lambda: say("once"), Qt.ConnectionType.SingleShotConnection)
    source.nothing.emit()
    source.nothing.emit()


@script("slot 1", "slot 2")
def a_signal_can_be_connected_to_a_signal(say: Say) -> None:
    first, second = Source(), Source()
    first.pair.connect(second.pair)
    first.nothing.connect(second.nothing)
    second.pair.connect(lambda number: say("slot", number))
    second.nothing.connect(lambda: say("slot 2"))
    first.pair.emit(1, "x")
    first.nothing.emit()


@script("method x", "gone", "plain x", "gone")
def methods_are_held_weakly(say: Say) -> None:
    class Plain:
        def slot(self, text: str) -> None:
            say("plain", text)

    class Object(QObject):
        def slot(self, text: str) -> None:
            say("method", text)

    for kind in (Object, Plain):
        source, receiver = Source(), kind()
        source.text.connect(receiver.slot)
        source.text.emit("x")
        del receiver
        source.text.emit("y")
        say("gone")
    source = Source()
    source.text.connect(Plain().slot)
    source.text.emit("z")


@script("hook: ValueError: a", "after", "hook: KeyError: 'b'")
def what_a_slot_raises_goes_to_the_hook_and_others_run(say: Say) -> None:
    def failing() -> None:
        raise ValueError("a")

    def failing_too() -> None:
        raise KeyError("b")

    source = Source()
    source.nothing.connect(failing)
    source.nothing.connect(lambda: say("after"))
    source.nothing.connect(failing_too)
    with Hooked(say):
        source.nothing.emit()


@script("hook: TypeError", "after")
def a_slot_that_wants_more_is_an_error_in_it(say: Say) -> None:
    source = Source()
    source.nothing.connect(lambda one: say(one))  # noqa: PLW0108
    source.nothing.connect(lambda: say("after"))
    with Hooked(lambda text: say(text[:15])):
        source.nothing.emit()


class Receiver(QObject):
    """Says who sends."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self.say = say

    def who(self) -> str:
        found = self.sender()
        return "nobody" if found is None else found.objectName()

    @Slot()
    def decorated(self) -> None:
        self.say("decorated", self.who())

    def plain(self) -> None:
        self.say("plain", self.who())

    def emits(self) -> None:
        inner = Source(objectName="inner")
        inner.nothing.connect(self.plain)
        inner.nothing.emit()
        self.say("again", self.who())

    def raises(self) -> None:
        raise ValueError(self.who())


class Overriding(Receiver):
    @Slot()
    def decorated(self) -> None:
        self.say("overridden", self.who())


@script(
    "decorated outer", "plain outer", "plain inner", "again outer", "hook: ValueError: outer", "nobody", "lambda nobody"
)
def sender_is_who_emits(say: Say) -> None:
    source = Source(objectName="outer")
    receiver = Receiver(say)
    source.nothing.connect(receiver.decorated)
    source.nothing.connect(receiver.plain)
    source.nothing.connect(receiver.emits)
    source.nothing.connect(receiver.raises)
    with Hooked(say):
        source.nothing.emit()
    say(receiver.who())
    source.nothing.disconnect()
    source.nothing.connect(lambda: say("lambda", receiver.who()))
    source.nothing.emit()


@script(
    "overridden outer",
    pyside6=["overridden nobody"],
    why="PySide6's sender() is None in a method that overrides one of a base class",
)
def sender_in_a_method_that_overrides_one(say: Say) -> None:
    source = Source(objectName="outer")
    receiver = Overriding(say)
    source.nothing.connect(receiver.decorated)
    source.nothing.emit()


@script("QByteArray b'x'", "QByteArray b''", "float", "None")
def arguments_come_as_what_the_signal_says(say: Say) -> None:
    class More(QObject):
        number = Signal(float)

    source = Source()
    source.data.connect(lambda data: say(type(data).__name__, data))
    source.data.emit(QByteArray(b"x"))
    source.data.emit(b"")
    more = More()
    more.number.connect(lambda number: say(type(number).__name__))
    more.number.emit(1)
    source.anything.connect(say)
    source.anything.emit(None)


@script(
    "TypeError",
    pyside6=["slot ''"],
    why="PySide6 prints a line and calls the slot with an empty value",
)
def an_argument_of_another_type(say: Say) -> None:
    source = Source()
    source.text.connect(lambda text: say("slot", repr(text)))
    try:
        source.text.emit(b"bytes")
    except TypeError:
        say("TypeError")


@script("blocked", "False", "y", "True")
def signals_can_be_blocked(say: Say) -> None:
    source = Source()
    source.text.connect(say)
    before = source.blockSignals(True)
    source.text.emit("x")
    say("blocked")
    say(before)
    source.blockSignals(False)
    source.text.emit("y")
    say(source.blockSignals(True) is False)


@script("connected to text", "connected to nothing", "True", "True", "disconnected from text", "False")
def an_object_hears_who_is_connected(say: Say) -> None:
    # PySide6 tells it more than once.
    told: dict[str, Any] = {}

    class Curious(Source):
        def connectNotify(self, signal: Any) -> None:  # noqa: N802
            told["connected to " + bytes(signal.name()).decode()] = signal

        def disconnectNotify(self, signal: Any) -> None:  # noqa: N802
            told["disconnected from " + bytes(signal.name()).decode()] = signal

    source = Curious()
    slot = lambda _: None  # noqa: E731
    source.text.connect(slot)
    source.text.connect(lambda _: None)
    text = told.pop("connected to text")
    say("connected to text")
    source.nothing.connect(lambda: None)
    assert "connected to nothing" in told
    say("connected to nothing")
    say(source.isSignalConnected(text))
    source.text.disconnect(slot)
    say(source.isSignalConnected(text))
    source.text.disconnect()
    assert "disconnected from text" in told
    say("disconnected from text")
    say(source.isSignalConnected(text))


@script("True", "False", "once")
def a_unique_connection_is_one(say: Say) -> None:
    class Object(QObject):
        def slot(self) -> None:
            say("once")

    source, receiver = Source(), Object()
    say(bool(source.nothing.connect(receiver.slot, Qt.ConnectionType.UniqueConnection)))
    say(bool(source.nothing.connect(receiver.slot, Qt.ConnectionType.UniqueConnection)))
    source.nothing.emit()


@script("emitted", "x", "processed", "y")
def a_queued_slot_runs_later(say: Say) -> None:
    source = Source()
    source.text.connect(say, Qt.ConnectionType.QueuedConnection)
    source.text.emit("x")
    say("emitted")
    QCoreApplication.processEvents()
    say("processed")
    source.text.emit("y")
    source.text.disconnect()
    QCoreApplication.processEvents()
