"""What a process has, most of it of the system; Linux only."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

__all__ = ["allocated", "descriptors", "forget_names", "resident", "threads", "trim"]


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


class _Info(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def allocated() -> int:
    """Bytes that malloc has given to this process and not got back; 0 where glibc can't be asked."""
    asked = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if not asked:
        return 0
    asked.restype = _Info
    info = asked()
    in_use: int = info.uordblks + info.hblkhd
    return in_use


def forget_names() -> None:
    """The interpreter forgets where it has looked up names, of which it keeps some thousands."""
    # As Python 3.13 calls it, and those before it do.
    for name in ("_clear_internal_caches", "_clear_type_cache"):
        if forget := getattr(sys, name, None):
            forget()
            return


def trim() -> None:
    """What is free goes back to the system, where glibc is asked to: what threads have left behind is no growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
