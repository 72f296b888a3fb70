"""Our own server on an event loop. argv: PORT [plain | async | iterate] [uvloop | asyncio] [WORKERS]."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from echoserver import EchoServer

Message = str | bytes


async def reply(_client: Any, message: Message) -> Message:
    return message


async def echo(client: Any) -> None:
    async for message in client:
        client.send(message)


async def main(port: str, kind: str, workers: str) -> None:
    callbacks: dict[str, Callable[[Any, Any], Any] | None] = {
        "plain": lambda _client, message: message,
        "async": reply,
        "iterate": None,
    }
    callback = callbacks[kind]
    server = EchoServer(
        int(port),
        host="127.0.0.1",
        workers=int(workers),
        on_text=callback,
        on_binary=callback,
    )
    clients = aiter(server) if kind == "iterate" else None
    async with server, asyncio.TaskGroup() as group:
        print("ready", flush=True)
        if clients:
            async for client in clients:
                group.create_task(echo(client))
        await server.wait_closed_async()


def run(port: str, kind: str = "plain", loop: str = "uvloop", workers: str = "1") -> None:
    factory = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}[loop]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(port, kind, workers))


run(*sys.argv[1:])
