"""QObject: who keeps whom, and the end."""

from __future__ import annotations

from echoserver.qt.QtCore import QCoreApplication, QEventLoop, QObject, Qt, QTimer, Signal
from qt_scripts import Say, script


class Named(QObject):
    pinged = Signal()

    def __init__(self, name: str, say: Say, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.say = say
        self.destroyed.connect(lambda: say("destroyed", name))

    def slot(self) -> None:
        self.say("slot of", self.objectName())


def turn() -> None:
    """One turn of an event loop, deletions included."""
    loop = QEventLoop()
    QTimer.singleShot(0, loop.quit)
    loop.exec()


@script("['a', 'b']", "True", "None", "['b']", "p")
def parents_and_children(say: Say) -> None:
    parent = QObject(objectName="p")
    a, b = QObject(parent), QObject(parent)
    a.setObjectName("a")
    b.setObjectName("b")
    say([child.objectName() for child in parent.children()])
    say(a.parent() is parent)
    a.setParent(None)
    say(a.parent())
    say([child.objectName() for child in parent.children()])
    found = b.parent()
    say(found and found.objectName())


@script("destroyed p", "destroyed a", "destroyed b", "RuntimeError")
def a_parent_takes_its_children_with_it(say: Say) -> None:
    parent = Named("p", say)
    child = Named("a", say, parent)
    Named("b", say, parent)
    del parent
    try:
        child.objectName()
    except RuntimeError:
        say("RuntimeError")


@script("dropped", "destroyed a", "kept by its parent", "destroyed p", "destroyed b")
def without_a_parent_it_lives_as_long_as_its_reference(say: Say) -> None:
    one = Named("a", say)
    say("dropped")
    del one
    parent = Named("p", say)
    Named("b", say, parent)
    say("kept by its parent")
    del parent


@script("slot of a", "later", "processed", "destroyed a", "RuntimeError", "RuntimeError", "harmless")
def deleted_later(say: Say) -> None:
    one, other = Named("a", say), Named("b", lambda *_: None)
    other.pinged.connect(one.slot)
    one.deleteLater()
    other.pinged.emit()
    say("later")
    QCoreApplication.processEvents()
    say("processed")
    turn()
    try:
        one.objectName()
    except RuntimeError:
        say("RuntimeError")
    try:
        one.pinged.emit()
    except RuntimeError:
        say("RuntimeError")
    other.pinged.emit()
    say("harmless")


@script("slot of a", "first", "second", "destroyed a")
def deleting_in_a_slot_drops_no_slots(say: Say) -> None:
    one = Named("a", say)
    one.pinged.connect(one.slot)
    one.pinged.connect(one.deleteLater)
    one.pinged.connect(lambda: say("first"))
    one.pinged.connect(lambda: say("second"))
    one.pinged.emit()
    turn()


@script("inner loop", "destroyed a")
def a_loop_inside_of_a_slot_deletes_nothing_of_before(say: Say) -> None:
    one = Named("a", say)
    outer = QEventLoop()

    def slot() -> None:
        one.deleteLater()
        turn()
        say("inner loop")
        QTimer.singleShot(0, outer.quit)

    QTimer.singleShot(0, slot)
    outer.exec()
    turn()


@script("RuntimeError")
def without_its_constructor_it_is_none(say: Say) -> None:
    class Forgetful(QObject):
        def __init__(self) -> None:
            pass

    try:
        Forgetful().objectName()
    except RuntimeError:
        say("RuntimeError")


@script("x", "1", "AttributeError")
def properties_and_slots_by_name(say: Say) -> None:
    timer = QTimer(objectName="x", singleShot=True, interval=1)
    say(timer.objectName())
    say(timer.interval())
    try:
        QObject(nonsense=1)
    except AttributeError:
        say("AttributeError")


@script("x", "y")
def a_change_of_the_name_is_told(say: Say) -> None:
    one = QObject()
    one.objectNameChanged.connect(say)
    one.setObjectName("x")
    one.setObjectName("x")
    one.setObjectName("y")


@script("AttributeError")
def what_is_not_there_is_an_error(say: Say) -> None:
    try:
        _ = QObject().noSuchThing  # type: ignore[attr-defined]
    except AttributeError:
        say("AttributeError")


@script("slot 0", "slot 1", "slot 2", "end")
def a_queued_slot_that_has_the_others_called_is_the_last(say: Say) -> None:
    class Sender(QObject):
        number = Signal(int)

    def slot(number: int) -> None:
        say(f"slot {number}")
        if number == 0:
            QCoreApplication.processEvents()

    sender = Sender()
    sender.number.connect(slot, Qt.ConnectionType.QueuedConnection)
    for number in range(3):
        sender.number.emit(number)
    turn()
    say("end")
