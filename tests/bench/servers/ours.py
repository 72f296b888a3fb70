"""Our own server. argv: PORT [native | callback-noop | callback-reply] [WORKERS]."""

import sys
from collections.abc import Callable
from typing import Any

from echoserver import EchoServer

Callback = Callable[[Any, Any], Any]

CALLBACKS: dict[str, Callback | None] = {
    "native": None,
    "callback-noop": lambda _client, _message: None,
    "callback-reply": lambda _client, message: message,
}


def main(port: str, kind: str = "native", workers: str = "1") -> None:
    callback = CALLBACKS[kind]
    server = EchoServer(
        int(port),
        host="127.0.0.1",
        workers=int(workers),
        on_text=callback,
        on_binary=callback,
    )
    print("ready", flush=True)
    server.serve()


main(*sys.argv[1:])
