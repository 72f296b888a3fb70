"""What systemd, or whoever else has started the program in that way, is told of it: sd_notify(3)."""

from __future__ import annotations

import logging
import os
from typing import Final

__all__ = ["READY", "STOPPING", "notify"]

READY: Final = "READY=1"
"""It serves."""

STOPPING: Final = "STOPPING=1"
"""It was asked to stop."""

_log: Final = logging.getLogger("echoserver")


def notify(state: str) -> None:
    """Says so to the socket that `NOTIFY_SOCKET` names, if there is one."""
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    import socket  # Few need it, and each start would wait for it.

    # "@" is how a NUL is written, with which names begin that are no paths (unix(7)).
    address = f"\0{name[1:]}" if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            # Nobody waits for one who does not listen.
            teller.setblocking(False)
            teller.sendto(state.encode(), address)
    except (OSError, AttributeError) as error:
        _log.warning("NOTIFY_SOCKET=%s can't be told %s: %s", name, state, error)
