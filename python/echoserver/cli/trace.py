"""`--trace`: what clients and the server say to each other, a line for each message."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

from echoserver import printing

if TYPE_CHECKING:
    from collections.abc import Callable

    from echoserver._core import Client

__all__ = ["callbacks"]

# Characters of a text, and bytes of a binary message, that are shown.
_MOST_CHARACTERS: Final = 200
_MOST_BYTES: Final = 64
# The path at which clients may ask for faults.
_FAULTS: Final = "/faults"


def callbacks(line: Callable[[str], None], options: dict[str, Any]) -> dict[str, Callable[..., None]]:
    """Callbacks of an EchoServer with these options, which pass a line for each event to `line`.

    A message is shown twice, as it came and as it goes back. Where a fault may change what goes out, that is not shown:
    it is decided later, and elsewhere.
    """

    def are_changed(client: Client) -> bool:
        return bool(options.get("faults")) or (options["fault_urls"] and client.path == _FAULTS)

    def event(client: Client, what: str) -> None:
        now = datetime.datetime.now().strftime("%H:%M:%S.%f")[:-3]
        host, port = client.peer[:2]
        # On a Unix socket nobody has a port.
        peer = f"[{host}]:{port}" if port and ":" in host else f"{host}:{port}" if port else host
        line(f"{now} #{client.id} {peer} {what}")

    def message(client: Client, what: str) -> None:
        event(client, f"-> {what}")
        if not are_changed(client):
            event(client, f"<- {what}")

    def on_connect(client: Client) -> None:
        target = f"{client.path}?{client.query}" if client.query else client.path
        agreed = [
            *([f"subprotocol {client.subprotocol}"] if client.subprotocol else []),
            *([client.extensions] if client.extensions else []),
            *(["faults: what goes back is not shown"] if are_changed(client) else []),
        ]
        event(client, "; ".join([f"opens {_shortened(target)}", *agreed]))

    def on_text(client: Client, text: str) -> None:
        message(client, f"text, {printing.counted(len(text), 'character')}: {_shortened(text)}")

    def on_binary(client: Client, data: bytes) -> None:
        rest = "..." if len(data) > _MOST_BYTES else ""
        message(client, f"binary, {printing.counted(len(data), 'byte')}: {data[:_MOST_BYTES].hex(' ')}{rest}")

    def on_disconnect(client: Client) -> None:
        reason = f" {_shortened(client.close_reason)}" if client.close_reason else ""
        event(client, f"closed {client.close_code}{reason}")

    return {"on_connect": on_connect, "on_text": on_text, "on_binary": on_binary, "on_disconnect": on_disconnect}


def _shortened(text: str) -> str:
    return printing.escaped(text[:_MOST_CHARACTERS]) + ("..." if len(text) > _MOST_CHARACTERS else "")
