"""Writing to stdout and stderr though nobody may read them: no end of the program waits for that."""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Stdout", "Writer"]

# Texts that may wait for a stderr that takes nothing; beyond it threads that are not the main one wait, too.
_MOST: Final = 1000
# Bytes that a pipe takes without those of another process between them.
_WHOLE: Final = getattr(select, "PIPE_BUF", 4096)
# Seconds between two looks for room, and those that the end leaves for what is not written.
_LOOK: Final = 0.05
_PATIENCE: Final = 0.5


class Writer:
    """Writes to a descriptor, in a thread of its own. Signals' handlers may call it, so it has no lock."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        """Begins with it; what `encoding` does not have is escaped."""
        self._descriptor, self._encoding = descriptor, encoding
        # Each with what tells that it is written.
        self._texts: queue.SimpleQueue[tuple[str, threading.Event] | None] = queue.SimpleQueue()
        self._is_ending = threading.Event()
        # How long whoever waits for room then does so since something was written.
        self._patience = _PATIENCE
        self._moved = 0.0
        self._thread = threading.Thread(target=self._write, name="echoserver-stderr", daemon=True)
        self._thread.start()

    def has_room(self) -> bool:
        """Waits until a text can be taken; not in the main thread: False where it can't.

        Once it is to end that is waited for only as long as somebody reads what is written.
        """
        while self._texts.qsize() >= _MOST:
            if _is_main() or (self._is_ending.is_set() and time.monotonic() - self._moved >= self._patience):
                return False
            time.sleep(_LOOK)
        return True

    def write(self, text: str) -> None:
        """Has it written after what came before.

        The main thread waits a moment for that, as what it prints to stdout next belongs below.
        """
        is_written = threading.Event()
        self._texts.put((text, is_written))
        if _is_main() and not self._is_ending.is_set():
            is_written.wait(_PATIENCE)

    def let_go(self) -> None:
        """From now on nobody waits for room that does not come in a moment; from the second call on nobody waits."""
        if self._is_ending.is_set():
            self._patience = 0
        self._moved = time.monotonic()
        self._is_ending.set()

    def end(self) -> None:
        """Leaves a moment for what is not written yet, and another after each part that is."""
        self.let_go()
        self._texts.put(None)
        while self._thread.is_alive() and time.monotonic() - self._moved < _PATIENCE:
            self._thread.join(_LOOK)

    def _write(self) -> None:
        is_last = False
        while not is_last:
            # All that waits: with a line each time, whoever makes the next ones has the interpreter between any two.
            waiting = [self._texts.get()]
            with suppress(queue.Empty):
                while waiting[-1] is not None:
                    waiting.append(self._texts.get_nowait())
            is_last = waiting[-1] is None
            piece = b""
            for text, _ in filter(None, waiting):
                line = text.encode(self._encoding, "backslashreplace")
                if len(piece) + len(line) > _WHOLE:
                    self._write_all(piece)
                    piece = b""
                piece += line
            self._write_all(piece)
            for _, is_written in filter(None, waiting):
                is_written.set()

    def _write_all(self, data: bytes) -> None:
        # Whatever stderr has become, it is not worth an echo.
        with suppress(OSError):
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                    self._moved = time.monotonic()
                except BlockingIOError:
                    # Whoever has the other end, too, has made it so.
                    select.select([], [self._descriptor], [])


class Stdout:
    """`sys.stdout`, as the main thread prints to it."""

    def __init__(self) -> None:
        """Whoever prints waits for room, until the end begins."""
        self._is_ending = False

    def on_signal(self) -> None:
        """For a signal's handler: from now on nobody waits for room."""
        self._is_ending = True

    def print(self, prints: Callable[[], None]) -> None:
        """Calls what prints a line or two once there is room. Where nobody reads them at the end, they go nowhere."""
        # Not in the write: a signal that comes just before that would not end it.
        while not _has_room(_LOOK):
            if self._is_ending:
                _drop()
        prints()

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """After it, what stdout could not take is not tried again when the interpreter ends."""
        try:
            yield
        finally:
            if sys.stdout is not None:
                try:
                    sys.stdout.flush()
                except OSError:
                    _drop()


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _has_room(seconds: float) -> bool:
    """Whether a page can be written now, or comes to be meanwhile; what can't be asked has room."""
    try:
        return bool(select.select([], [sys.stdout], [], seconds)[1])
    except (OSError, ValueError, TypeError):
        return True


def _drop() -> None:
    """From now on what is printed goes nowhere."""
    with open(os.devnull, "wb") as null, suppress(OSError):  # noqa: PTH123
        os.dup2(null.fileno(), sys.stdout.fileno())
