"""picows on uvloop: the listener sends the frame's payload straight back."""

import uvloop
from arguments import context, parser
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind in {WSMsgType.TEXT, WSMsgType.BINARY}:
            transport.send(kind, frame.get_payload_as_memoryview())
        elif kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


async def main() -> None:
    args = parser().parse_args()
    server = await ws_create_server(
        lambda _request: Echo(),
        "127.0.0.1",
        args.port,
        max_frame_size=64 << 20,
        backlog=4096,
        ssl=context(args.tls),
    )
    print("ready", flush=True)
    await server.serve_forever()


uvloop.run(main())
