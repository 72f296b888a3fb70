"""Clients of Unix sockets, and what else the tests of these share."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from websockets.sync.client import unix_connect

from support import TIMEOUT, RawClient

__all__ = ["connects", "echoes", "leave_stale", "names", "raw"]

URL = "ws://localhost/room?name=Ann"


def raw(path: str, **options: Any) -> RawClient:
    return RawClient(0, host=path, **options)


def echoes(path: str, **options: Any) -> bool:
    with unix_connect(path, URL, compression=None, open_timeout=TIMEOUT, **options) as ws:
        ws.send("here")
        return bool(ws.recv(TIMEOUT) == "here")


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


def names(path: str) -> list[str]:
    """What is where that is."""
    return [file.name for file in Path(path).parent.iterdir()]


def leave_stale(path: str) -> None:
    """The socket of a server that is gone."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
        stale.listen()
