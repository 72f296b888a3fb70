"""Starts a server as a user would, and ends it as an init system would."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

START_TIMEOUT = 10.0
STOP_TIMEOUT = 10.0


class ServerError(Exception):
    """The server did not start, or did not end in order."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def printed(process: subprocess.Popen[str]) -> str:
    """The URL that the command prints as its first line."""
    assert process.stdout, "it is a pipe"
    patience = threading.Timer(START_TIMEOUT, process.kill)
    patience.start()
    url = process.stdout.readline().strip()
    patience.cancel()
    if not url.startswith("ws://"):
        raise ServerError(f"its first line should be a URL, is {url!r}")
    return url


def connected(process: subprocess.Popen[str], port: int) -> str:
    """The URL of that port, as soon as the command listens on it."""
    end = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return f"ws://127.0.0.1:{port}"
    raise ServerError(f"nobody listens on port {port}")


@contextmanager
def running(command: list[str], port: int | None = None) -> Iterator[str]:
    """Yields the URL that the command prints as its first line; with a `port`, that of one that prints none.

    Raises ServerError, on leaving, unless SIGTERM ends the command with status 0.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            try:
                url = printed(process) if port is None else connected(process, port)
            except ServerError as error:
                raise ServerError(f"{error}: {' '.join(command)}") from None
            yield url
            process.terminate()
            status = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"the server still runs {STOP_TIMEOUT:g} s after SIGTERM") from error
        finally:
            process.kill()
    if status:
        raise ServerError(f"the server ended with status {status}")
