"""`websocket-client`: its connection, and its `WebSocketApp` where it is to ping."""

from __future__ import annotations

from typing import Any

import websocket
from driving import Told, serve


def talk(case: dict[str, Any], told: Told) -> None:
    if case["heartbeat"] is None:
        connection(case, told)
    else:
        app(case, told)


def connection(case: dict[str, Any], told: Told) -> None:
    ws = websocket.create_connection(case["url"], timeout=case["limit"], subprotocols=case["subprotocols"] or None)
    told.opened, told.subprotocol = True, ws.subprotocol
    ws.settimeout(None)
    try:
        while True:
            opcode, data = ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return
            message = data.decode() if opcode == websocket.ABNF.OPCODE_TEXT else data
            told.messages.append(str(message))
            if message == "next":
                ws.send(message)
            elif message == "close":
                ws.close(timeout=case["closing"])
                return
    finally:
        # Without a close frame, so that one that the server sees is the client's own.
        ws.shutdown()  # type: ignore[no-untyped-call]


def app(case: dict[str, Any], told: Told) -> None:
    def on_open(_: websocket.WebSocketApp) -> None:
        told.opened = True

    def on_message(app: websocket.WebSocketApp, message: str) -> None:
        told.messages.append(message)
        if message == "next":
            app.send(message)

    def on_error(_: websocket.WebSocketApp, error: Exception) -> None:
        told.error = type(error).__name__

    def on_close(_: websocket.WebSocketApp, code: int | None, __: str | None) -> None:
        told.code = code

    seconds = case["heartbeat"]
    client = websocket.WebSocketApp(
        case["url"], on_open=on_open, on_message=on_message, on_error=on_error, on_close=on_close
    )
    # It asks each `ping_timeout` whether the last ping is older than that, and has no pong: before the next one goes.
    client.run_forever(ping_interval=seconds, ping_timeout=0.4 * seconds)


serve(talk)
