"""websockets on uvloop."""

import contextlib

import uvloop
from arguments import context, parser
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(socket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


async def main() -> None:
    args = parser().parse_args()
    deflate = ServerPerMessageDeflateFactory(compress_settings={"level": args.deflate, "memLevel": 8})
    async with serve(
        echo,
        "127.0.0.1",
        args.port,
        compression=None,
        extensions=None if args.deflate is None else [deflate],
        max_size=64 << 20,
        backlog=4096,
        ssl=context(args.tls),
    ) as server:
        print("ready", flush=True)
        await server.serve_forever()


uvloop.run(main())
