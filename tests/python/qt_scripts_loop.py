"""The event loop: timers, descriptors, quitting."""

from __future__ import annotations

import socket
import threading

from echoserver.qt.QtCore import QCoreApplication, QEventLoop, QObject, QSocketNotifier, QTimer
from qt_scripts import Say, script


@script("7", "quit")
def exec_returns_the_code_of_exit(say: Say) -> None:
    application = QCoreApplication.instance()
    assert application is not None
    slot = lambda: say("quit")  # noqa: E731
    QTimer.singleShot(0, lambda: QCoreApplication.exit(7))
    say(application.exec())
    application.aboutToQuit.connect(slot)
    QTimer.singleShot(0, application.quit)
    application.exec()
    application.aboutToQuit.disconnect(slot)


@script("inner 3", "outer 0")
def a_loop_inside_of_a_slot_serves_others(say: Say) -> None:
    outer, inner = QEventLoop(), QEventLoop()

    def slot() -> None:
        QTimer.singleShot(0, lambda: inner.exit(3))
        say("inner", inner.exec())
        outer.quit()

    QTimer.singleShot(0, slot)
    say("outer", outer.exec())


@script("ended by quit")
def quitting_ends_the_loops_inside_too(say: Say) -> None:
    inner = QEventLoop()

    def slot() -> None:
        QTimer.singleShot(0, QCoreApplication.quit)
        inner.exec()

    QTimer.singleShot(0, slot)
    QCoreApplication.exec()
    say("ended by quit")


@script("0")
def a_thread_may_quit(say: Say) -> None:
    threads: list[threading.Thread] = []

    def slot() -> None:
        threads.append(threading.Thread(target=QCoreApplication.quit))
        threads[0].start()

    QTimer.singleShot(0, slot)
    say(QCoreApplication.exec())
    threads[0].join()


@script("True", "tick", "tick", "tick", "False", "-1")
def a_timer_ticks_until_it_is_stopped(say: Say) -> None:
    loop, timer = QEventLoop(), QTimer()
    ticks: list[int] = []

    def tick() -> None:
        say("tick")
        ticks.append(1)
        if len(ticks) == 3:
            timer.stop()
            loop.quit()

    timer.timeout.connect(tick)
    timer.start(1)
    say(timer.isActive())
    loop.exec()
    say(timer.isActive())
    say(timer.remainingTime())


@script("first", "second", "third")
def timers_ring_in_the_order_of_their_times(say: Say) -> None:
    loop = QEventLoop()
    # So far apart that a slow machine does not change it.
    QTimer.singleShot(150, loop.quit)
    QTimer.singleShot(100, lambda: say("third"))
    QTimer.singleShot(0, lambda: say("first"))
    QTimer.singleShot(50, lambda: say("second"))
    loop.exec()


@script("once", "False")
def a_single_shot_timer_rings_once(say: Say) -> None:
    loop, timer = QEventLoop(), QTimer(singleShot=True)
    timer.timeout.connect(lambda: say("once"))
    timer.timeout.connect(loop.quit)
    timer.start(0)
    loop.exec()
    say(timer.isActive())


@script("done")
def a_timer_that_nobody_refers_to_is_none(say: Say) -> None:
    loop = QEventLoop()
    timer = QTimer(interval=0)
    timer.timeout.connect(lambda: say("rang"))
    timer.start()
    del timer
    QTimer.singleShot(5, loop.quit)
    loop.exec()
    say("done")


@script("method")
def a_single_shot_of_a_method(say: Say) -> None:
    class Object(QObject):
        def slot(self) -> None:
            say("method")

    loop, one = QEventLoop(), Object()
    QTimer.singleShot(0, one.slot)
    QTimer.singleShot(5, loop.quit)
    loop.exec()


@script("read b'x'", "write", "disabled")
def a_descriptor_that_is_ready_is_told(say: Say) -> None:
    ours, theirs = socket.socketpair()
    loop = QEventLoop()
    reading = QSocketNotifier(ours.fileno(), QSocketNotifier.Type.Read)
    writing = QSocketNotifier(ours.fileno(), QSocketNotifier.Type.Write)
    writing.setEnabled(False)

    def read(*_: object) -> None:
        say("read", ours.recv(10))
        writing.setEnabled(True)

    def write(*_: object) -> None:
        say("write")
        writing.setEnabled(False)
        loop.quit()

    reading.activated.connect(read)
    writing.activated.connect(write)
    theirs.sendall(b"x")
    loop.exec()
    reading.setEnabled(False)
    theirs.sendall(b"y")
    QTimer.singleShot(5, loop.quit)
    loop.exec()
    say("disabled")
    for each in (reading, writing):
        each.setEnabled(False)
    ours.close()
    theirs.close()


@script("RuntimeError")
def there_is_one_application(say: Say) -> None:
    try:
        QCoreApplication([])
    except RuntimeError:
        say("RuntimeError")
