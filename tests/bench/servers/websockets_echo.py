"""websockets on uvloop. argv: PORT."""

import contextlib
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def echo(socket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


async def main() -> None:
    async with serve(
        echo,
        "127.0.0.1",
        int(sys.argv[1]),
        compression=None,
        max_size=64 << 20,
        backlog=4096,
    ) as server:
        print("ready", flush=True)
        await server.serve_forever()


uvloop.run(main())
