"""The stand-ins for Qt in a process: how it ends, what it lacks, and what many signals cost."""

from __future__ import annotations

import signal

import pytest

from qt_variants import BUILTIN, PYSIDE6, environment, needs
from support import FACTOR, finished, first_line, python

PRELUDE = """
import os, signal, socket, sys, threading
from echoserver.qt.QtCore import QByteArray, QCoreApplication, QEventLoop, QObject, QSocketNotifier, QTimer, Signal
app = QCoreApplication(sys.argv)
def ready():
    print("ready", flush=True)
QTimer.singleShot(0, ready)
"""


def run(code: str, variant: str = BUILTIN) -> tuple[int, str, str]:
    """Status, stdout and stderr of a program."""
    return finished(python(PRELUDE + code, env=environment(variant)), 60 * FACTOR)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("sys.exit(app.exec())", -signal.SIGINT),
        ("signal.signal(signal.SIGINT, lambda *_: app.exit(3)); sys.exit(app.exec())", 3),
        ("loop = QEventLoop(); QTimer.singleShot(0, loop.exec); sys.exit(app.exec())", -signal.SIGINT),
        ("try:\n    app.exec()\nexcept KeyboardInterrupt:\n    sys.exit(4)", 4),
    ],
)
def test_ctrl_c(end: str, status: int) -> None:
    process = python(PRELUDE + end, env=environment(BUILTIN))
    assert first_line(process) == "ready"
    process.send_signal(signal.SIGINT)
    assert finished(process)[0] == status


def test_a_signal_at_each_line_before_the_loop_waits() -> None:
    code = """
from echoserver.qt.builtin import loop

signal.signal(signal.SIGINT, lambda *_: app.exit(3))
lines, waits = open(loop.__file__).readlines(), False

def trace(frame, event, _):
    global left, runs, waits
    runs = runs or frame.f_code is loop.Loop.run.__code__
    if frame.f_code.co_filename != loop.__file__ or not runs or waits or left < 0:
        return None
    if event == "line":
        waits = "selector.select(" in lines[frame.f_lineno - 1]
        left -= 1
        if waits or left < 0:
            signal.raise_signal(signal.SIGINT)
    return trace

app.processEvents()
round = 0
while not waits:
    round += 1
    left, runs = round, False
    sys.settrace(trace)
    status = app.exec()
    sys.settrace(None)
    assert status == 3, status
print(round)
"""
    status, out, err = finished(python(PRELUDE + code, env=environment(BUILTIN)))
    assert status == 0, err
    assert int(out.split()[-1]) > 10


@pytest.mark.parametrize("other", [False, True])
def test_the_loop_hears_of_signals_and_leaves_them_to_others(other: bool) -> None:
    code = f"""
ours = socket.socketpair()
for end in ours:
    end.setblocking(False)
other = ours[0].fileno() if {other} else -1
signal.set_wakeup_fd(other)
seen = []
def look():
    seen.append(signal.set_wakeup_fd(-1))
    signal.set_wakeup_fd(seen[0])
    app.exit()
QTimer.singleShot(0, look)
app.exec()
assert (seen[0] == other) is {other}, seen
assert signal.set_wakeup_fd(-1) == other
"""
    status, _, err = run(code)
    assert status == 0, err


def test_ctrl_c_in_a_slot() -> None:
    code = """
QTimer.singleShot(0, lambda: os.kill(os.getpid(), signal.SIGINT))
QTimer.singleShot(0, lambda: print("another", flush=True))
sys.exit(app.exec())
"""
    status, _, err = run(code)
    assert status == -signal.SIGINT
    assert "KeyboardInterrupt" in err


@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
def test_a_slot_may_end_the_process(variant: str) -> None:
    needs(variant)
    assert run("QTimer.singleShot(0, lambda: sys.exit(5))\nsys.exit(app.exec())", variant)[0] == 5


@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
def test_an_error_in_a_slot_is_reported_as_any_other(variant: str) -> None:
    needs(variant)
    code = """
def slot():
    1 / 0
QTimer.singleShot(0, slot)
QTimer.singleShot(20, app.quit)
sys.exit(app.exec())
"""
    status, _, err = run(code, variant)
    assert status == 0
    assert err.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "in slot" in err
    assert "slots.py" not in err


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("QObject().startTimer(1)", "AttributeError: QObject has no 'startTimer': without PySide6, echoserver.qt has"),
        ("QByteArray(b'').toPercentEncoding()", "AttributeError: QByteArray has no 'toPercentEncoding': without"),
        ("import echoserver.qt.QtCore as core; core.QProcess", "AttributeError: QtCore has no 'QProcess': without"),
        ("from echoserver.qt.QtNetwork import QTcpSocket", "ImportError: QtNetwork has no 'QTcpSocket': without"),
        ("Signal([int], [str])", "TypeError: a signal with several signatures needs PySide6"),
        ("QEventLoop().exec() if app.shutdown() else app.exec()", "RuntimeError: QCoreApplication.exec(): make a"),
        ("t = QTimer(); t.setInterval(-1)", "ValueError: QTimer: an interval is 0 or more milliseconds, not -1"),
    ],
)
def test_what_is_not_there_says_so(code: str, error: str) -> None:
    status, _, err = run(code)
    assert status == 1
    assert err.splitlines()[-1].startswith(error)


def test_what_is_there_is_found_by_hasattr() -> None:
    code = """
import echoserver.qt.QtCore as core
assert hasattr(core, "QTimer") and not hasattr(core, "QProcess")
assert hasattr(QObject(), "sender") and not hasattr(QObject(), "startTimer")
assert not any(name.startswith("PySide6") for name in sys.modules)
"""
    assert run(code)[::2] == (0, "")


@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
def test_a_hundred_thousand_signals_leave_no_references(variant: str) -> None:
    needs(variant)
    code = """
import gc
class Source(QObject):
    text = Signal(str)
class Receiver(QObject):
    def slot(self, text):
        self.last = self.sender()
source, receiver, word = Source(), Receiver(), "a word of its own"
source.text.connect(receiver.slot)
source.text.connect(lambda text: None)
def counts():
    gc.collect()
    return [sys.getrefcount(each) for each in (None, True, word, source, receiver)]
for _ in range(100):
    source.text.emit(word)
before = counts()
for _ in range(100_000):
    source.text.emit(word)
after = counts()
assert all(abs(b - a) < 50 for a, b in zip(before, after)), (before, after)
"""
    assert run(code, variant)[::2] == (0, "")


def test_an_object_may_be_collected_while_another_is_connected() -> None:
    code = """
import gc
from echoserver.qt.QtCore import Qt

class Source(QObject):
    happened = Signal()

class Receiver(QObject):
    def hear(self):
        print("hears")

class Slot:
    def __call__(self):
        print("slot")

    def __eq__(self, other):
        gc.collect()
        return self is other

source, receiver = Source(), Receiver()
receiver.itself = receiver
receiver.destroyed.connect(lambda: print("collected"))
for slot in (receiver.hear, Slot()):
    source.happened.connect(slot)
gc.disable()
del receiver, slot
# Compared with the one that is there, under the lock of connections.
source.happened.connect(Slot(), Qt.ConnectionType.UniqueConnection)
source.happened.emit()
print(len(source.happened.connections))
"""
    process = python(PRELUDE + code, env=environment(BUILTIN))
    assert finished(process) == (0, "collected\nslot\nslot\n2\n", "")


def test_timers_that_are_set_again_and_again_are_not_kept() -> None:
    code = """
from echoserver.qt.builtin import loop
timer = QTimer()
for _ in range(10_000):
    timer.start(3_600_000)
assert loop.here().alarms < 1000, loop.here().alarms
"""
    assert run(code)[::2] == (0, "")


def test_a_loop_waits_without_work() -> None:
    # The thread's own time, of which waiting takes none.
    code = """
import time
QTimer.singleShot(300, app.quit)
app.exec()
assert time.thread_time() < 5, time.thread_time()
before = time.thread_time()
QTimer.singleShot(1000, app.quit)
app.exec()
assert time.thread_time() - before < 0.5
"""
    assert run(code)[::2] == (0, "")


def test_a_notifier_may_be_dropped_by_another_thread() -> None:
    code = """
ours, theirs = socket.socketpair()
theirs.send(b"x")
notifiers = [QSocketNotifier(ours.fileno(), QSocketNotifier.Type.Read)]
notifiers[0].activated.connect(lambda *_: print("activated", flush=True))
thread = threading.Thread(target=notifiers.clear)
thread.start()
thread.join()
QTimer.singleShot(20, app.quit)
app.exec()
ours.close()
theirs.close()
"""
    status, out, err = run(code)
    assert (status, out, err) == (0, "ready\n", "")


def test_a_descriptor_that_was_closed_can_come_again() -> None:
    code = """
for _ in range(3):
    ours, theirs = socket.socketpair()
    notifier = QSocketNotifier(ours.fileno(), QSocketNotifier.Type.Read)
    notifier.activated.connect(lambda *_: app.quit())
    theirs.send(b"x")
    app.exec()
    # Not disabled before, as it should be.
    ours.close()
    theirs.close()
    QTimer.singleShot(0, app.quit)
    app.exec()
    del notifier
"""
    assert run(code)[::2] == (0, "")
