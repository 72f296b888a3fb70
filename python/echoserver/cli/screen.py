"""What the program says on stderr: lines, and on a terminal one more below them that is written anew."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress

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
        with self._turn:
            self._write(f"{text}\n")

    def show_below(self, text: str) -> None:
        """Writes a line below all others, in place of the one that was there; "" for none. For terminals."""
        with suppress(OSError):
            # One that is longer would be two; some terminals don't know how long that is.
            text = text[: (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1]
        with self._turn:
            if text != self._below:
                before, self._below = self._below, text
                self._write("", is_below=bool(before))

    def _write(self, text: str, *, is_below: bool | None = None) -> None:
        is_below = bool(self._below) if is_below is None else is_below
        with suppress(Exception):  # Whatever stderr has become, it is not worth an echo.
            sys.stderr.write(f"{_ERASE if is_below else ''}{text}{self._below}")
            sys.stderr.flush()
