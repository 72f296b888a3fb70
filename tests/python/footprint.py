"""What a process has of the system; Linux only."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["descriptors", "resident", "threads", "trim"]


def descriptors(process: int | str = "self") -> int:
    """Open ones."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def threads(process: int | str = "self") -> int:
    """The operating system's."""
    return len(list(Path(f"/proc/{process}/task").iterdir()))


def resident(process: int | str = "self") -> int:
    """Bytes of memory."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def trim() -> None:
    """What is free goes back to the system, where glibc is asked to: what threads have left behind is no growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
