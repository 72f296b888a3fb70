"""That a server is not served, though an event loop runs in the thread that made it and clients wait: said once.

As when Qt's example is taken over as it is: `EchoServer(1234, True)`, then `app.exec()`.
"""

from __future__ import annotations

import select
import sys
import warnings
from typing import TYPE_CHECKING
from weakref import ref

from echoserver import threads
from echoserver._core import shown

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Protocol

    from echoserver._core import Server

    class _Made(Protocol):
        """An `EchoServer`."""

        @property
        def _core(self) -> Server: ...


__all__ = ["watch"]

# Seconds between two looks.
_INTERVAL = 1.0


def watch(server: _Made) -> None:
    """Has the loop of this thread, if there is one, look every second until somebody serves it, or it is gone."""
    reference = ref(server)
    if threads.loop_runs():
        asyncio = sys.modules["asyncio"]
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_later(_INTERVAL, look, "await serve_async(), or use `async with`")
    elif (qt := _running_qt()) is not None:

        def again() -> None:
            qt.QTimer.singleShot(round(_INTERVAL * 1000), lambda: look("call start_qt() before exec()"))
    else:
        return

    def look(advice: str) -> None:
        server = reference()
        if server is None or server._core.is_used:
            return
        if _is_readable(server._core.descriptors()):
            warnings.warn(
                f"{shown(server)}: clients wait, and nobody serves them: {advice}",
                RuntimeWarning,
                stacklevel=2,
                source=server,
            )
        else:
            again()

    again()


def _running_qt() -> ModuleType | None:
    """QtCore, if there is an application whose thread this is; whether its loop runs yet shows by the timer."""
    for name in threads.QT:
        qt = sys.modules.get(name)
        if qt is not None:
            application = qt.QCoreApplication.instance()
            if application is not None and application.thread() == qt.QThread.currentThread():
                return qt
    return None


def _is_readable(descriptors: list[int]) -> bool:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
