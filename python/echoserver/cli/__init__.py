"""The program `echoserver`: an EchoServer from the command line, clients for a quick try and for a load."""

from __future__ import annotations

import sys

# Not from typing: see `import echoserver`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# The status of a client that Ctrl-C has ended.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program with `arguments` (default: those of the process) and returns its exit status.

    `send` or `load` as the first one is a client (`echoserver send --help`), which Ctrl-C ends with 130; everything
    else is the server: 0 after SIGTERM or Ctrl-C, 1 if it can't listen or serve. For a wrong argument it raises
    SystemExit with status 2. Signal handlers are set while the server runs, in the main thread, and put back.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given[:1] == ["send"]:
            from echoserver.cli import send

            return send.main(given[1:])
        if given[:1] == ["load"]:
            from echoserver.cli import load

            return load.main(given[1:])
    except KeyboardInterrupt:
        return _INTERRUPTED
    from echoserver.cli import run

    return run.main(given)
