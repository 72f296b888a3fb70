"""What is printed to `sys.stdout`: one line at a time, and never an exception for what that is or has become."""

from __future__ import annotations

import io
import logging
import sys

from echoserver._core import shown

__all__ = ["by_lines", "counted", "escaped", "event", "is_broken", "is_terminal", "line", "listening"]

# What clients send may be as long as it likes; a terminal shows the beginning of it.
_ON_A_TERMINAL = 200

# Written out: what moves the cursor, ends a line or turns the direction of what is around it.
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {code: repr(chr(code))[1:-1] for code in _CONTROLS}

# The stream that could not be written to.
_broken: object = None


def event(name: str, value: str | bytes) -> None:
    """Prints a line of the example, such as `Message received: hello`.

    Control characters are written out, so that `value` stays one line and does nothing to a terminal, where it is
    shortened, too.
    """
    most = _ON_A_TERMINAL if is_terminal() else len(value)
    beginning = value[:most]
    shown = repr(beginning) if isinstance(beginning, bytes) else escaped(beginning)
    if len(value) > most:
        shown += f"... ({len(value):,} {'bytes' if isinstance(value, bytes) else 'characters'})"
    line(f"{name}: {shown}")


def by_lines() -> None:
    """From now on each line reaches a pipe when it is printed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def escaped(text: str) -> str:
    """`text` with its control characters written out."""
    return text.translate(_ESCAPES)


def counted(count: int, noun: str) -> str:
    """So many of them, as in "1,000 clients"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def listening(port: int) -> None:
    """Prints the first line of the example."""
    line(f"Echoserver listening on port {port}")


def line(text: str) -> None:
    """Prints a line; what the stream's encoding does not have is escaped.

    Without a stream it does nothing. One that can't be written to, being closed, full or broken, is not tried again,
    which is logged once, as a warning.
    """
    global _broken  # noqa: PLW0603  # There is one stdout.
    stream = sys.stdout
    if stream is None or stream is _broken:
        return
    text += "\n"
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except BlockingIOError:
        # A terminal or pipe that another program has set so: the next line may find room.
        return
    except Exception as error:  # Whatever it is, printing is not worth an echo.
        _broken = stream
        logging.getLogger("echoserver").warning("sys.stdout: %s; nothing more is printed", _reason(error))


def is_broken() -> bool:
    """Whether `line` has found that it can't be written to."""
    return _broken is not None and sys.stdout is _broken


def is_terminal() -> bool:
    """Whether that is a terminal."""
    try:
        return sys.stdout.isatty()
    except Exception:  # It is closed, or no file at all.
        return False


def _reason(error: Exception) -> str:
    try:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    except Exception:  # It is one of whoever has made the stream.
        return shown(error)
