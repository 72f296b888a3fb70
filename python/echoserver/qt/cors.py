"""QWebSocketCorsAuthenticator: who decides about an origin."""

from __future__ import annotations

__all__ = ["QWebSocketCorsAuthenticator"]


class QWebSocketCorsAuthenticator:
    """What `QWebSocketServer.originAuthenticationRequired` asks: whether pages of an origin may connect."""

    def __init__(self, origin: str | QWebSocketCorsAuthenticator) -> None:
        """`origin` is that of the request (RFC 6455 section 10.2), "" without one; or another, to be copied."""
        self._allowed = True
        if isinstance(origin, QWebSocketCorsAuthenticator):
            self._origin: str = origin.origin()
            self._allowed = origin.allowed()
        elif isinstance(origin, str):
            self._origin = origin
        else:
            raise TypeError(f"QWebSocketCorsAuthenticator() takes a str, not {type(origin).__name__}")

    def origin(self) -> str:
        """The origin that is asked about."""
        return self._origin

    def allowed(self) -> bool:
        """Whether it may connect; True unless a slot says otherwise."""
        return self._allowed

    def setAllowed(self, allowed: bool) -> None:
        """Lets it in or not; 403 if not."""
        self._allowed = bool(allowed)

    def swap(self, other: QWebSocketCorsAuthenticator) -> None:
        """Exchanges the two."""
        self._origin, other._origin = other._origin, self._origin
        self._allowed, other._allowed = other._allowed, self._allowed
