"""A server that is down for a while: `EchoServer.down()`."""

from __future__ import annotations

from itertools import count

from echoserver._core import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Literal

    from echoserver._core import Server

__all__ = ["Down"]

_CLIENTS = ("reset", "close", "keep")

# Service Restart, in the registry of RFC 6455 section 11.7.
_RESTART = 1012

# Each has a number: it ends its own, and no other.
_outages = count(1)


class Down:
    """The time for which a server is down, as the block of a `with`."""

    def __init__(self, core: Server, clients: Literal["reset", "close", "keep"]) -> None:
        """`clients`: what becomes of those who are connected."""
        if clients not in _CLIENTS:
            raise ValueError(f'clients={shown(clients)}: must be "reset", "close" or "keep"')
        self._core, self._clients = core, clients
        self._outages: list[int] = []

    def __enter__(self) -> None:
        """Goes down. The address stays the server's."""
        outage = next(_outages)
        try:
            self._core.change("down", outage)
            if self._clients == "reset":
                self._core.reset()
            elif self._clients == "close":
                for client in self._core.clients():
                    client.close(_RESTART, "the server goes down")
        except BaseException:
            # The block will not run. It may be Ctrl-C, or what another signal's handler raises.
            self._core.change("up", outage)
            raise
        self._outages.append(outage)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Listens again."""
        self._core.change("up", self._outages[-1])
        # If that has failed it may be left once more.
        self._outages.pop()
