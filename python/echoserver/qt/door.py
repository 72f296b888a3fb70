"""The Qt door: what a Qt event loop needs to run a server's callbacks in a that thread.

Messages don't pass through here: a socket notifier calls `_core.Reader` when something is queued.
"""

from __future__ import annotations

import os
import warnings
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet, ref

from echoserver._core import shown
from echoserver.qt._choice import is_valid
from echoserver.qt.QtCore import QCoreApplication, QObject, QSocketNotifier, QThread, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from echoserver._core import Client, Server

__all__ = ["Door", "Told"]

# Seconds that clients have for their good-bye when the notifier was deleted under the server.
_LOST_TIMEOUT = 0.5


class Told(Protocol):
    """Who hears of what no callback is called for."""

    def refused(self, event: str, reason: str) -> None:
        """Somebody did not get in; `event` as in the log, or "plain" for a request that asks for no WebSocket.

        The reason of "plain" and "refused" begins with the status.
        """

    def ponged(self, client: Client, payload: bytes) -> None:
        """A ping of ours was answered."""

    def written(self, client: Client) -> None:
        """What was sent to a client when `_tell_written` was called is on the wire."""

    def lost(self) -> None:
        """What watches for events was deleted with its parent: nothing follows."""


class _Loop:
    """What the core takes for its event loop: that of the thread to which the notifier belongs."""

    notifier: QSocketNotifier | None = None

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        """Calls it after so many seconds, in this thread."""
        # Qt wants a function.
        QTimer.singleShot(round(delay * 1000), lambda: call())  # noqa: PLW0108

    def is_running(self) -> bool:
        """Whether somebody runs it."""
        notifier = self.notifier
        return notifier is not None and is_valid(notifier) and notifier.thread().loopLevel() > 0


class Door:
    """A server in the event loop of this thread, from now until it has ended."""

    def __init__(self, core: Server, owner: object, parent: QObject | None, told: Told | None) -> None:
        """Has the loop run the callbacks of a server that is started; `owner` is that as its user has it, and kept.

        What watches for events is a child of `parent`, and goes with it to another thread.
        """
        self.loop = _Loop()
        self._core = core
        self._owner = owner
        self._told = told
        self._failure: BaseException | None = None
        self._is_over = False
        reader = core.attach(self.loop, None, self, is_watched=True, is_owned=False)
        fileno = reader.fileno()
        assert fileno is not None
        notifier = QSocketNotifier(fileno, QSocketNotifier.Type.Read, parent)
        # Until the server has ended, or the notifier is deleted, this keeps the reader, and with it all that is here.
        notifier.activated.connect(lambda *_: reader())
        notifier.destroyed.connect(partial(_lost, ref(self)))
        self.loop.notifier = notifier
        _doors.add(self)

    def take_failure(self) -> BaseException | None:
        """What has ended the server and has to come out; once."""
        failure, self._failure = self._failure, None
        return failure

    def leave(self) -> None:
        """Watches no more."""
        notifier, self.loop.notifier = self.loop.notifier, None
        if notifier is not None and is_valid(notifier):
            notifier.setEnabled(False)
            notifier.deleteLater()

    def leave_to_parent(self) -> None:
        """In a forked child the server is the parent's, and so is what the descriptor has to tell."""
        self._is_over = True
        notifier = self.loop.notifier
        # A loop of another thread is not here.
        if notifier is None or not is_valid(notifier) or notifier.thread() == QThread.currentThread():
            self.leave()

    # What the core calls, on the loop.

    def ended(self, failure: BaseException | None) -> None:
        """The server has ended; `failure` is what ended it, if that has to come out."""
        self._is_over = True
        self._failure = failure
        self.leave()

    def lost(self) -> None:
        """The notifier was deleted before the server was stopped."""
        if self._is_over:
            return
        self._is_over = True
        was_serving = self._core.is_serving
        self._core.abandon(_LOST_TIMEOUT)
        if self._told is not None:
            self._told.lost()
        elif was_serving:
            warnings.warn(
                f"{shown(self._owner)}: the object that it was started for was deleted while it served; stop it before",
                ResourceWarning,
                source=self._owner,
                stacklevel=2,
            )

    def refused(self, event: str, reason: str) -> None:
        """Somebody did not get in."""
        if self._told is not None:
            self._told.refused(event, reason)

    def ponged(self, client: Client, payload: bytes) -> None:
        """A ping was answered."""
        if self._told is not None:
            self._told.ponged(client, payload)

    def written(self, client: Client) -> None:
        """What somebody has asked about is on the wire."""
        if self._told is not None:
            self._told.written(client)


def _lost(door: ref[Door], *_: object) -> None:
    own = door()
    if own is not None:
        own.lost()


def check(*, is_async: bool) -> None:
    """RuntimeError if there can be no event loop, or none that a descriptor can wake; TypeError for coroutines."""
    if is_async:
        raise TypeError(
            "start_qt() calls plain functions; callbacks that are an `async def` need an asyncio event loop, such as "
            "that of PySide6.QtAsyncio: await serve_async() there"
        )
    if os.name != "posix":
        raise RuntimeError("start_qt() needs a system where Rust can lend a descriptor to be watched: not Windows, yet")
    if QCoreApplication.instance() is None:
        raise RuntimeError("start_qt() needs a QCoreApplication, which is to be made before")


def start(core: Server, owner: object, parent: QObject | None, told: Told | None) -> Door:
    """Starts a server in the event loop of this thread, after `check`; the arguments are those of `Door`."""
    core.start()
    try:
        return Door(core, owner, parent, told)
    except BaseException:
        core.abandon(0)
        raise


_doors: WeakSet[Door] = WeakSet()


def _leave_all_in_child() -> None:
    for door in tuple(_doors):
        door.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_in_child)
