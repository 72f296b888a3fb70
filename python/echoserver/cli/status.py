"""How the server is doing, told once in a second: as a line on a terminal, or as JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from echoserver import printing

if TYPE_CHECKING:
    from echoserver.cli.screen import Screen
    from echoserver.server import EchoServer

__all__ = ["Status"]

# Seconds.
_BETWEEN: Final = 1.0


class Status:
    """What is said of a server: where it is, then, whenever it is looked at a second later, how it is, and its end."""

    def __init__(self, server: EchoServer, screen: Screen, *, is_json: bool) -> None:
        """Nothing is said before `begin()`."""
        self._server, self._screen, self._is_json = server, screen, is_json
        self._is_shown = not is_json and screen.is_terminal
        self._told = time.monotonic(), self._counts()

    def begin(self, ca_file: str | None) -> None:
        """Says where the server is."""
        if self._is_json:
            self._object("listening", url=self._server.url, ca_file=ca_file)
            return
        printing.line(self._server.url)
        if ca_file:
            printing.line(f"CA certificate: {ca_file}")

    def look(self) -> None:
        """Says how it is, if a second has gone by and somebody wants to know."""
        if not (self._is_json or self._is_shown):
            return
        now = time.monotonic()
        before, counted = self._told
        if now - before < _BETWEEN:
            return
        counts = self._counts()
        self._told = now, counts
        rates = [(new - old) / (now - before) for new, old in zip(counts, counted, strict=True)]
        messages, received, sent = rates
        clients = self._server.client_count
        if self._is_json:
            self._object(
                "status",
                clients=clients,
                messages_per_second=round(messages, 3),
                bytes_received_per_second=round(received, 3),
                bytes_sent_per_second=round(sent, 3),
            )
            return
        in_and_out = f"{received / 1e6:,.1f} MB/s in, {sent / 1e6:,.1f} MB/s out"
        self._screen.show_below(f"{printing.counted(clients, 'client')}, {messages:,.0f} messages/s, {in_and_out}")

    def end(self) -> None:
        """Says what it has done, after its end."""
        self._screen.show_below("")
        if self._is_json:
            messages, received, sent = self._counts()
            opened = self._server.stats().clients_opened
            self._object("stopped", clients=opened, messages=messages, bytes_received=received, bytes_sent=sent)

    def _counts(self) -> tuple[int, int, int]:
        stats = self._server.stats()
        messages = stats.text_messages_received + stats.binary_messages_received
        return messages, stats.bytes_received, stats.bytes_sent

    def _object(self, event: str, **members: Any) -> None:
        import json

        printing.line(json.dumps({"event": event, **members}))
