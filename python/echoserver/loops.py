"""asyncio event loops: which one runs here, what it can, and waiting on it with a limit."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["can_watch", "ends_within", "running_loop"]


def running_loop(call: str) -> asyncio.AbstractEventLoop:
    """The loop that runs in this thread; RuntimeError, naming the call, if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"{call} needs a running asyncio event loop; elsewhere, such as under trio, use start()"
        ) from None


def can_watch(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it can watch a descriptor: a Proactor loop, Windows' usual one, can't, nor that of PySide6.QtAsyncio."""
    if os.name != "posix":
        return False
    with socket.socket() as tried:
        try:
            loop.add_reader(tried, int)
            loop.remove_reader(tried)
        except NotImplementedError:
            return False
    return True


async def ends_within(awaitable: Awaitable[None], seconds: float | None) -> bool:
    """Whether it ends in that time; it is cancelled if not."""
    waiting = asyncio.ensure_future(awaitable)
    try:
        ended, _ = await asyncio.wait({waiting}, timeout=seconds)
        for one in ended:
            one.result()
        return bool(ended)
    finally:
        waiting.cancel()
