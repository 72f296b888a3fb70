"""Coroutines that the core needs: `Client.send_async`, and one around whatever else can be awaited."""

from __future__ import annotations

from echoserver.exceptions import SendQueueFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable

    from typing_extensions import Buffer

    from echoserver._core import Client

__all__ = ["awaited", "send"]


async def awaited(awaitable: Awaitable[object]) -> object:
    """What `awaitable` gives: a task, a future, an object with `__await__`."""
    return await awaitable


async def send(client: Client, data: str | Buffer) -> int:
    """`client.send(data)` as soon as there is room."""
    while True:
        try:
            return client.send(data)
        except SendQueueFull:
            await client.flush_async()
