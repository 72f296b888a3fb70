"""A socket that listens already, and is handed over by its number."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Given"]

# Numbers of descriptors are C's `int`.
_MOST = 2**31


class Given:
    """What `QWebSocketServer.setSocketDescriptor()` was given, and closes when it listens no more."""

    def __init__(self, number: int) -> None:
        """OSError if it is no descriptor."""
        if not 0 <= number < _MOST:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self.number = number
        self._identity = self._identify()

    def _identify(self) -> tuple[int, int]:
        status = os.fstat(self.number)
        return status.st_dev, status.st_ino

    @contextmanager
    def opened(self) -> Iterator[socket.socket]:
        """It as Python's, while the block runs, and as it was if that raises. OSError if it is no socket."""
        is_blocking = os.get_blocking(self.number)
        given = socket.socket(fileno=self.number)
        try:
            yield given
        except BaseException:
            os.set_blocking(self.number, is_blocking)
            raise
        finally:
            given.detach()

    def close(self) -> None:
        """Closes it, unless somebody else has: the number may be another's by now.

        The core, which has a copy, keeps the identity from being another's.
        """
        with suppress(OSError):
            if self._identify() == self._identity:
                os.close(self.number)
