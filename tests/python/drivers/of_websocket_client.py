"""`websocket-client`."""

from __future__ import annotations

from typing import Any

import websocket
from driving import Told, serve


def talk(case: dict[str, Any], told: Told) -> None:
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
    finally:
        # Without a close frame, so that one that the server sees is the client's own.
        ws.shutdown()  # type: ignore[no-untyped-call]


serve(talk)
