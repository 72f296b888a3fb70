"""Starts a server as a user would, and ends it as an init system would."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

START_TIMEOUT = 10.0
STOP_TIMEOUT = 10.0


class ServerError(Exception):
    """The server did not start, or did not end in order."""


@contextmanager
def running(command: list[str]) -> Iterator[str]:
    """Yields the URL that the command prints as its first line.

    Raises ServerError, on leaving, unless SIGTERM ends the command with status 0.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout, "it is a pipe"
        patience = threading.Timer(START_TIMEOUT, process.kill)
        patience.start()
        url = process.stdout.readline().strip()
        patience.cancel()
        try:
            if not url.startswith("ws://"):
                raise ServerError(f"its first line should be a URL, is {url!r}: {' '.join(command)}")
            yield url
            process.terminate()
            status = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"the server still runs {STOP_TIMEOUT:g} s after SIGTERM") from error
        finally:
            process.kill()
    if status:
        raise ServerError(f"the server ended with status {status}")
