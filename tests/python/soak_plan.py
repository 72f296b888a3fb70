"""What the clients of the soak ask for, and what has to come of it: known to both sides."""

from __future__ import annotations

from support import TIMEOUT

Message = str | bytes

# What a message may ask of its callback, and how often it does.
ACTIONS = {
    "echo": 450,
    "replace": 120,
    "nothing": 80,
    "raise": 40,
    "wrong": 20,
    "sleep": 10,
    "send": 80,
    "flush": 15,
    "ping": 20,
    "look": 10,
    "thread": 80,
    "broadcast": 3,
    "shout": 3,
    "close": 1,
    "abort": 1,
    "close_later": 1,
    "abort_later": 1,
}

# For them a callback sends nothing: the first two are given to on_error.
REPORTED = ("raise", "wrong")
SILENT = (*REPORTED, "nothing")

# What on_connect is asked to do by the path.
PATHS = {"/": 90, "/raise": 4, "/close": 3, "/abort": 3}

CLOSED_IN_CONNECT, CLOSED_BY_THREAD, LEAVING = 4900, 4901, 4950

# For an answer that has to come, however busy the machine is.
PATIENCE = 4 * TIMEOUT


class PlannedError(Exception):
    """What callbacks raise because they were asked to."""


def replacement(seq: int) -> Message:
    return f"replaced {seq}" if seq % 2 else f"replaced {seq}".encode()


def closing(seq: int) -> tuple[int, str]:
    return 4000 + seq % 900, f"closed at {seq}, tschüß"
