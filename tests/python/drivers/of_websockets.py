"""`websockets`, its client in threads."""

from __future__ import annotations

import logging
from typing import Any

from driving import Told, serve
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect


def talk(case: dict[str, Any], told: Told) -> None:
    names = {
        "open_timeout": case["limit"],
        "ping_interval": case["heartbeat"],
        "ping_timeout": case["heartbeat"],
        "close_timeout": case["closing"],
    }
    options = {name: value for name, value in names.items() if value is not None}
    with connect(case["url"], subprotocols=case["subprotocols"] or None, **options) as ws:
        told.opened, told.subprotocol = True, ws.subprotocol
        try:
            while True:
                message = ws.recv()
                told.messages.append(str(message))
                if message == "next":
                    ws.send(message)
                elif message == "close":
                    ws.close()
        except ConnectionClosedOK:
            return
        finally:
            told.code = ws.close_code


# Of a pong that does not come it logs a traceback.
logging.getLogger("websockets").addHandler(logging.NullHandler())
serve(talk)
