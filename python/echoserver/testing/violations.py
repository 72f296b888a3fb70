"""What a server must not send: bytes for `Client.send_raw()`, each with its rule and what a strict client does.

    client.send_raw(violations["reserved bit 1"].data)

A strict client fails the connection (RFC 6455 section 7.1.7): it sends a close frame with the code that is given, and
closes. Each is complete in itself; nothing has to be sent before it, and what the server sends after it is read only by
clients that are not strict.

Those with `compression` are for clients that have agreed to permessage-deflate (RFC 7692), with a server that has
`compression="deflate"`; for others they begin with a reserved bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from echoserver import _core

__all__ = ["Violation", "violations"]


@dataclass(frozen=True)
class Violation:
    """Bytes that no server may send."""

    data: bytes
    """For `Client.send_raw()`."""
    section: str
    """The rule: a section of RFC 6455, or of RFC 7692 where it says so."""
    code: int
    """The close code with which a strict client fails the connection."""
    compression: bool = False
    """Whether permessage-deflate has to be agreed for it: `Client.extensions` is not empty then."""


violations: MappingProxyType[str, Violation] = MappingProxyType(
    {name: Violation(*facts) for name, facts in _core.violations().items()}
)
"""By name."""
