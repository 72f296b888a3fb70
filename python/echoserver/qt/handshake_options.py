"""QWebSocketHandshakeOptions: the subprotocols of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["QWebSocketHandshakeOptions"]


class QWebSocketHandshakeOptions:
    """What a client has offered."""

    def __init__(self, other: QWebSocketHandshakeOptions | None = None) -> None:
        """Empty, or a copy."""
        self._subprotocols: list[str] = [] if other is None else other.subprotocols()

    def subprotocols(self) -> list[str]:
        """Their names, in the client's order."""
        return list(self._subprotocols)

    def setSubprotocols(self, protocols: Iterable[str]) -> None:
        """Sets them."""
        self._subprotocols = list(protocols)

    def swap(self, other: QWebSocketHandshakeOptions) -> None:
        """Exchanges the two."""
        self._subprotocols, other._subprotocols = other._subprotocols, self._subprotocols

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QWebSocketHandshakeOptions) and self._subprotocols == other._subprotocols

    __hash__ = None  # type: ignore[assignment]
