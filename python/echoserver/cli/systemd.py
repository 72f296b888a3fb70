"""What systemd, or whoever else starts the program in that way, hands to it, and is told of it.

sd_listen_fds(3) and sd_notify(3).
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

__all__ = ["READY", "STOPPING", "notify", "sockets"]

READY: Final = "READY=1"
"""It serves."""

STOPPING: Final = "STOPPING=1"
"""It was asked to stop."""

_log: Final = logging.getLogger("echoserver")
# The first descriptor that is handed over.
_FIRST: Final = 3


@contextmanager
def sockets(options: dict[str, Any]) -> Iterator[None]:
    """Meanwhile a server with these options listens on the sockets that were handed over, if any were.

    ValueError if they are none, or options say where to listen as well.
    """
    with ExitStack() as found:
        handed = [found.enter_context(one) for one in _sockets()]
        if handed:
            for name in ("port", "host", "uds", "reuse_port"):
                if name in options:
                    raise ValueError(
                        f"{name}={options[name]!r}: systemd has handed over sockets to listen on (LISTEN_FDS)"
                    )
            options["sock"] = handed
        yield


def _sockets() -> Iterator[socket.socket]:
    """Those that were handed to this process, and to no other. Children neither hear of them nor get them."""
    process, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    if process != str(os.getpid()) or not count:
        return
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if not count.isdecimal():
        raise ValueError(f"LISTEN_FDS={count!r}: must be a number")
    import socket  # Few need it, and each start would wait for it.

    for number in range(_FIRST, _FIRST + int(count)):
        try:
            os.set_inheritable(number, False)
            one = socket.socket(fileno=number)
        except OSError as error:
            raise ValueError(f"LISTEN_FDS={count}: descriptor {number} is no socket: {error}") from None
        yield one


def notify(state: str) -> None:
    """Says so to the socket that `NOTIFY_SOCKET` names, if there is one."""
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    import socket  # As above.

    # "@" is how a NUL is written, with which names begin that are no paths (unix(7)).
    address = f"\0{name[1:]}" if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            # Nobody waits for one who does not listen.
            teller.setblocking(False)
            teller.sendto(state.encode(), address)
    except (OSError, AttributeError) as error:
        _log.warning("NOTIFY_SOCKET=%s can't be told %s: %s", name, state, error)
