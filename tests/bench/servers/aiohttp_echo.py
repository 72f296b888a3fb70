"""aiohttp on uvloop. Its compression level is its own: 1."""

import asyncio

import uvloop
from aiohttp import WSMsgType, web
from arguments import context, parser

args = parser().parse_args()


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=args.deflate is not None, max_msg_size=64 << 20)
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def main() -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", args.port, backlog=4096, ssl_context=context(args.tls))
    await site.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
