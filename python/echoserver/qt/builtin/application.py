"""QCoreApplication and QEventLoop: running what there is to do, in the main thread or inside of a slot."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, ClassVar

from echoserver.qt.builtin import loop
from echoserver.qt.builtin.objects import QObject
from echoserver.qt.builtin.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from echoserver.qt.builtin.loop import Loop

__all__ = ["QCoreApplication", "QEventLoop"]


class _Round:
    """One `exec()`: its exit code, once somebody has given it."""

    def __init__(self, home: Loop) -> None:
        self.home = home
        self.code: int | None = None

    def run(self) -> int:
        self.home.run(lambda: self.code is not None)
        return self.code or 0

    def end(self, code: int) -> None:
        if self.code is None:
            self.code = code
        self.home.wake()


# Those under way in the main thread, which `QCoreApplication.exit()` ends all.
_rounds: list[_Round] = []


def _exec(made: _Round) -> int:
    """Runs it. What a slot or Ctrl-C raises (SystemExit, KeyboardInterrupt) comes out."""
    if not loop.is_main():
        return made.run()
    _rounds.append(made)
    try:
        return made.run()
    finally:
        _rounds.remove(made)


class QEventLoop(QObject):
    """A loop inside of a slot: all others are served while `exec()` waits."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._qt_round: _Round | None = None

    def exec(self) -> int:
        """Serves until `exit()` or `quit()`; the exit code."""
        if self._qt_check()._qt_round is not None:
            raise RuntimeError("QEventLoop.exec(): it runs already")
        self._qt_round = _Round(loop.here())
        try:
            return _exec(self._qt_round)
        finally:
            self._qt_round = None

    def exit(self, returnCode: int = 0, /) -> None:
        """Ends `exec()`, if it runs. Any thread may."""
        if self._qt_round is not None:
            self._qt_round.end(returnCode)

    def quit(self) -> None:
        """`exit(0)`."""
        self.exit()

    def isRunning(self) -> bool:
        """Whether `exec()` runs."""
        return self._qt_round is not None and self._qt_round.code is None

    def processEvents(self) -> bool:
        """Does what there is to do, and does not wait. True, as who asks does not want to know."""
        loop.here().turn()
        return True


class QCoreApplication(QObject):
    """The one application of the process. `exec()` belongs into the main thread; Ctrl-C comes out of it."""

    aboutToQuit = Signal()

    _qt_instance: ClassVar[QCoreApplication | None] = None
    _qt_texts: ClassVar[dict[str, str]] = {}

    def __init__(self, args: Sequence[str] = (), /, **settings: str) -> None:
        if QCoreApplication._qt_instance is not None:
            raise RuntimeError("there is a QCoreApplication already, see QCoreApplication.instance()")
        self._qt_arguments = list(args)
        super().__init__(None, **settings)
        QCoreApplication._qt_instance = self

    def _qt_delete(self) -> None:
        if QCoreApplication._qt_instance is self:
            QCoreApplication._qt_instance = None
        super()._qt_delete()

    def shutdown(self) -> None:
        """Deletes it, so that there can be another."""
        self._qt_delete()

    @staticmethod
    def instance() -> QCoreApplication | None:
        """The one there is."""
        return QCoreApplication._qt_instance

    @staticmethod
    def exec() -> int:
        """Serves until `quit()` or `exit()`; the exit code. SystemExit of a slot, and KeyboardInterrupt, come out."""
        application = QCoreApplication._qt_instance
        if application is None:
            raise RuntimeError("QCoreApplication.exec(): make a QCoreApplication first")
        if not loop.is_main():
            raise RuntimeError("QCoreApplication.exec() is for the main thread; others can use a QEventLoop")
        try:
            return _exec(_Round(loop.here()))
        finally:
            application.aboutToQuit.emit()

    @staticmethod
    def exit(retcode: int = 0, /) -> None:
        """Ends `exec()`, and all loops inside of it; nothing if it does not run. Any thread may."""
        for each in list(_rounds):
            each.end(retcode)

    @staticmethod
    def quit() -> None:
        """`exit(0)`."""
        QCoreApplication.exit()

    @staticmethod
    def processEvents() -> None:
        """Does what there is to do in this thread, and does not wait."""
        loop.here().turn()

    @staticmethod
    def arguments() -> list[str]:
        """What it was made with."""
        application = QCoreApplication._qt_instance
        return [] if application is None else list(application._qt_arguments)

    @staticmethod
    def applicationName() -> str:
        """As it was set, or the file's that runs."""
        own = (QCoreApplication.arguments() or sys.argv)[:1]
        return QCoreApplication._qt_texts.get("name", os.path.basename(own[0]) if own else "")  # noqa: PTH119

    @staticmethod
    def setApplicationName(name: str, /) -> None:
        """Sets it."""
        QCoreApplication._qt_texts["name"] = name

    @staticmethod
    def applicationVersion() -> str:
        """As it was set, or ""."""
        return QCoreApplication._qt_texts.get("version", "")

    @staticmethod
    def setApplicationVersion(version: str, /) -> None:
        """Sets it."""
        QCoreApplication._qt_texts["version"] = version
