"""`Client.send_async`."""

from __future__ import annotations

from echoserver.exceptions import SendQueueFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

    from echoserver._core import Client

__all__ = ["send"]


async def send(client: Client, data: str | Buffer) -> int:
    """`client.send(data)` as soon as there is room."""
    while True:
        try:
            return client.send(data)
        except SendQueueFull:
            await client.drain()
