"""Signals across threads: a slot runs in its object's thread, a function in the signal's."""

from __future__ import annotations

import threading
from collections.abc import Callable

from echoserver.qt.QtCore import QEventLoop, QObject, Qt, QThread, QTimer, Signal
from qt_scripts import Say, script


class Source(QObject):
    text = Signal(str)
    done = Signal()


def where() -> str:
    return "main" if threading.current_thread() is threading.main_thread() else "worker"


def in_worker(work: Callable[[], None]) -> None:
    """Runs it in a thread, and a loop here until it has ended and all that it has posted has been done."""
    loop, end = QEventLoop(), Source()
    end.done.connect(loop.quit)

    def run() -> None:
        work()
        end.done.emit()

    thread = threading.Thread(target=run)
    thread.start()
    loop.exec()
    thread.join()


class Object(QObject):
    def __init__(self, say: Say) -> None:
        super().__init__()
        self.say = say

    def slot(self, text: str) -> None:
        found = self.sender()
        self.say("method", text, where(), found.objectName() if found else "nobody")

    def end(self) -> None:
        QThread.currentThread().quit()


@script("lambda x main", "method x main s", "lambda y main", "method y main s")
def what_a_worker_emits_runs_in_the_main_thread(say: Say) -> None:
    source, receiver = Source(objectName="s"), Object(say)
    source.text.connect(lambda text: say("lambda", text, where()))
    source.text.connect(receiver.slot)

    def work() -> None:
        source.text.emit("x")
        source.text.emit("y")

    in_worker(work)


@script(
    "method x worker s",
    "lambda x worker",
    pyside6=["method x worker nobody", "lambda x worker"],
    why="Qt's sender() is None in a slot that runs in another thread than its object's",
)
def a_direct_slot_runs_where_it_is_emitted(say: Say) -> None:
    source, receiver = Source(objectName="s"), Object(say)
    source.text.connect(receiver.slot, Qt.ConnectionType.DirectConnection)
    source.text.connect(lambda text: say("lambda", text, where()), Qt.ConnectionType.DirectConnection)
    in_worker(lambda: source.text.emit("x"))


@script("method x main s", "emitted")
def a_blocking_one_is_waited_for(say: Say) -> None:
    source, receiver = Source(objectName="s"), Object(say)
    source.text.connect(receiver.slot, Qt.ConnectionType.BlockingQueuedConnection)

    def work() -> None:
        source.text.emit("x")
        say("emitted")

    in_worker(work)


@script("10000 True")
def nothing_is_lost_of_what_workers_emit(say: Say) -> None:
    source = Source()
    came: list[int] = []
    source.text.connect(lambda text: came.append(int(text)))

    def work() -> None:
        def emit(first: int) -> None:
            for number in range(first, 10000, 4):
                source.text.emit(str(number))

        threads = [threading.Thread(target=emit, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    in_worker(work)
    in_order = all(
        [number for number in came if number % 4 == rest] == list(range(rest, 10000, 4)) for rest in range(4)
    )
    say(len(came), in_order)


@script("True", "method x worker s", "True True")
def an_object_can_move_to_a_thread(say: Say) -> None:
    source, receiver, thread, loop = Source(objectName="s"), Object(say), QThread(), QEventLoop()
    say(receiver.thread() is QThread.currentThread() or receiver.thread() == QThread.currentThread())
    receiver.moveToThread(thread)
    source.text.connect(receiver.slot)
    source.text.connect(receiver.end)
    thread.finished.connect(loop.quit)
    thread.start()
    source.text.emit("x")
    loop.exec()
    say(thread.wait(), thread.isFinished())


@script("worker", "done")
def a_timer_moves_with_its_parent(say: Say) -> None:
    parent, thread, loop = QObject(), QThread(), QEventLoop()
    timer = QTimer(parent, singleShot=True, interval=0)

    def rang() -> None:
        say(where())
        thread.quit()

    timer.timeout.connect(rang, Qt.ConnectionType.DirectConnection)
    timer.start()
    parent.moveToThread(thread)
    thread.finished.connect(loop.quit)
    thread.start()
    loop.exec()
    thread.wait()
    say("done")
