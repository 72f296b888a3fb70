"""Our own server, in each of the ways that are compared."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arguments import parser

import echoserver

Callback = Callable[[Any, Any], Any]


async def coroutine(_client: Any, message: Any) -> Any:
    return message


CALLBACKS: dict[str | None, Callback | None] = {
    None: None,
    "noop": lambda _client, _message: None,
    "reply": lambda _client, message: message,
    "coroutine": coroutine,
}


def options(tls: Path | None, level: int | None) -> dict[str, Any]:
    """The options that are given only where they are measured."""
    made: dict[str, Any] = {}
    if tls:
        made["tls"] = echoserver.TLS(tls / "cert.pem", tls / "key.pem")
    if level is not None:
        made["compression"] = echoserver.Deflate(level=level)
    return made


def log_connections() -> None:
    """As `echoserver --log-format json` does, and to nowhere."""
    from echoserver.cli.log_format import JsonLines

    handler = logging.FileHandler(os.devnull, encoding="utf-8")
    handler.setFormatter(JsonLines())
    connections = logging.getLogger("echoserver.connections")
    connections.setLevel(logging.DEBUG)
    connections.addHandler(handler)


async def serve_async(server: echoserver.EchoServer) -> None:
    """Runs callbacks on the loop."""
    print("ready", flush=True)
    await server.serve_async()


def main() -> None:
    made = parser()
    made.add_argument("--callback", choices=[name for name in CALLBACKS if name])
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--asyncio", action="store_true", help="served on uvloop")
    made.add_argument("--pages", action="store_true", help="with health and metrics")
    made.add_argument("--lines", action="store_true", help="with a line for each connection in a log")
    args = made.parse_args()
    callback = CALLBACKS[args.callback]
    if args.lines:
        log_connections()
    server = echoserver.EchoServer(
        args.port,
        host="127.0.0.1",
        workers=args.workers,
        on_text=callback,
        on_binary=callback,
        health=args.pages,
        metrics=args.pages,
        **options(args.tls, args.deflate),
    )
    if args.asyncio:
        import uvloop

        uvloop.run(serve_async(server))
    else:
        print("ready", flush=True)
        server.serve()


main()
