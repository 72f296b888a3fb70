"""What the program says of a stop that takes a while: what it waits for, and for how long."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from echoserver import printing

if TYPE_CHECKING:
    from echoserver.server import EchoServer

__all__ = ["Progress"]

_log: Final = logging.getLogger("echoserver")
# Seconds that a stop may take in silence, and those between two lines that say how far it is.
_PATIENCE: Final = 1.0
_BETWEEN: Final = 5.0


class Progress:
    """A line when a stop takes longer than a second, one for each of its stages from then on, and one now and then."""

    def __init__(self, server: EchoServer, delay: float, rest: float) -> None:
        """The stop begins now: for `delay` seconds clients still come in, `rest` is for all that follows."""
        self._server, self._begun = server, time.monotonic()
        self._delay, self._rest = delay, rest
        self._was_draining, self._due = delay > 0, _PATIENCE
        self._is_new = True

    def is_overdue(self) -> bool:
        """Whether the stop has had all of its time, and some more."""
        return time.monotonic() - self._begun > self._delay + self._rest + _PATIENCE

    def look(self) -> None:
        """Says how far it is, if it is time for that."""
        since = time.monotonic() - self._begun
        is_draining = since < self._delay
        self._is_new |= is_draining is not self._was_draining
        self._was_draining = is_draining
        if since < _PATIENCE or not (self._is_new or since >= self._due):
            return
        count = self._server.client_count
        if not self._is_new:
            left = max(self._delay + self._rest - since, 0)
            _log.info("%s left, %.0f s at most", printing.counted(count, "client"), left)
        elif is_draining:
            text = "draining: for %g s clients still come in, though /healthz says 503; Ctrl-C again drops all of them"
            _log.info(text, self._delay)
        else:
            whom = printing.counted(count, "client") if count else "connections"
            _log.info("waiting up to %g s for %s to close; Ctrl-C again drops what is left", self._rest, whom)
        self._is_new, self._due = False, since + _BETWEEN
