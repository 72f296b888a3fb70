"""`aiohttp`."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from driving import Told, serve


async def main(case: dict[str, Any], told: Told) -> None:
    options: dict[str, Any] = {"heartbeat": case["heartbeat"]}
    if case["closing"] is not None:
        options["timeout"] = aiohttp.ClientWSTimeout(ws_close=case["closing"])  # pyright: ignore[reportCallIssue]
    async with (
        asyncio.timeout(case["limit"]) as opening,
        aiohttp.ClientSession() as session,
        session.ws_connect(case["url"], protocols=case["subprotocols"], **options) as ws,
    ):
        opening.reschedule(None)
        told.opened, told.subprotocol = True, ws.protocol
        async for message in ws:
            if message.type is aiohttp.WSMsgType.ERROR:
                told.error = type(message.data).__name__
                break
            told.messages.append(str(message.data))
            if message.data == "next":
                await ws.send_str(message.data)
            elif message.data == "close":
                await ws.close()
        told.code = ws.close_code


def talk(case: dict[str, Any], told: Told) -> None:
    asyncio.run(main(case, told))


serve(talk)
