"""`websockets`, its client in threads."""

from __future__ import annotations

from typing import Any

from driving import Told, serve
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect


def talk(case: dict[str, Any], told: Told) -> None:
    limit = {} if case["limit"] is None else {"open_timeout": case["limit"]}
    with connect(case["url"], subprotocols=case["subprotocols"] or None, **limit) as ws:
        told.opened, told.subprotocol = True, ws.subprotocol
        try:
            while True:
                message = ws.recv()
                told.messages.append(str(message))
                if message == "next":
                    ws.send(message)
        except ConnectionClosedOK:
            return


serve(talk)
