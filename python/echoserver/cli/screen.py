"""What the program says on stderr: lines, and on a terminal one more below them that is written anew."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from echoserver.cli.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Screen"]

# Back to the beginning of the line, and nothing on it.
_ERASE = "\r\x1b[K"


class Screen(logging.Handler):
    """`sys.stderr`. All of it may be called by any thread, and in handlers of signals; what can't be written is not."""

    def __init__(self, lines: logging.Formatter | None = None) -> None:
        """With nothing below the lines. What is logged has the form of `lines`, for programs, or one for people."""
        super().__init__()
        self.setFormatter(lines or logging.Formatter("echoserver: %(message)s"))
        self._is_for_people = lines is None
        # Of its own: that of a handler is for records.
        self._turn = threading.RLock()
        self._below = ""
        self._writer: Writer | None = None
        # Lines that it had no room for.
        self._unwritten = 0

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Meanwhile a thread of its own writes, so that nobody waits for it: stderr may be a pipe that nobody reads."""
        try:
            self._writer = Writer(sys.stderr.fileno(), sys.stderr.encoding)
        except (OSError, ValueError, AttributeError):
            # It is closed, or an object of somebody's who reads it.
            yield
            return
        try:
            yield
        finally:
            with self._turn:
                if self._unwritten:
                    self._write(f"{self.format(_unlogged(self._unwritten))}\n")
                writer, self._writer = self._writer, None
            writer.end()

    def let_go(self) -> None:
        """From now on no thread waits for one who does not read; from the second call on none waits at all."""
        if self._writer is not None:
            self._writer.let_go()

    def createLock(self) -> None:  # noqa: N802  # logging's name.
        """None: there is `_turn`."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override, unused-ignore]
        """As logging has it, but for its lock."""
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks who can see a line change."""
        with suppress(Exception):  # It is closed, or no file at all.
            return self._is_for_people and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes what is logged."""
        self.line(self.format(record))

    def line(self, text: str) -> None:
        """Writes a line."""
        # Not in turn: whoever waits for room would keep the main thread, which ends that.
        has_room = self._has_room()
        with self._turn:
            if has_room:
                self._write(f"{text}\n")
            else:
                self._unwritten += 1

    def show_below(self, text: str) -> None:
        """Writes a line below all others, in place of the one that was there; "" for none. For terminals."""
        with suppress(OSError, ValueError, AttributeError):  # It may be closed, or no file at all.
            # One that is longer would be two; some terminals don't know how long that is.
            text = text[: (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1]
        if not self._has_room():
            return
        with self._turn:
            if text != self._below:
                before, self._below = self._below, text
                self._write("", is_below=bool(before))

    def _has_room(self) -> bool:
        return self._writer is None or self._writer.has_room()

    def _write(self, text: str, *, is_below: bool | None = None) -> None:
        is_below = bool(self._below) if is_below is None else is_below
        text = f"{_ERASE if is_below else ''}{text}{self._below}"
        if self._writer is not None:
            self._writer.write(text)
            return
        with suppress(Exception):  # Whatever stderr has become, it is not worth an echo.
            sys.stderr.write(text)
            sys.stderr.flush()


def _unlogged(count: int) -> logging.LogRecord:
    """What is said of so many lines that were not."""
    said = {"event": "unlogged", "count": count}
    text = "%d lines were not written, since nobody has read those before"
    return logging.makeLogRecord({"levelname": "WARNING", "msg": text, "args": (count,), "echoserver": said})
