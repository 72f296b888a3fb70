"""`python -m echoserver.qt`: the program of Qt's echo server example, which says what is wrong and ends in order."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from echoserver.qt.echo import EchoServer
from echoserver.qt.QtCore import QCommandLineOption, QCommandLineParser, QCoreApplication, QSocketNotifier
from echoserver.qt.QtWebSockets import QWebSocketProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["main"]

_HIGHEST_PORT = 65535


def main(arguments: Sequence[str]) -> int:
    """Runs it with these arguments, of which the first is its name, until Ctrl-C or SIGTERM; the exit status."""
    application = QCoreApplication(list(arguments))
    application.setApplicationName("python -m echoserver.qt")
    parser = QCommandLineParser()
    parser.setApplicationDescription("The echo server of Qt's example. Serves until Ctrl-C or SIGTERM.")
    parser.addHelpOption()
    debug = QCommandLineOption(["d", "debug"], "Print the port, each message and each disconnect.")
    port = QCommandLineOption(["p", "port"], "Port to listen on; 0 takes a free one. Default: 1234.", "port", "1234")
    parser.addOption(debug)
    parser.addOption(port)
    parser.process(application)
    text = parser.value(port)
    if not (text.isascii() and text.isdigit() and int(text) <= _HIGHEST_PORT):
        return _failed(f"--port must be a number from 0 to {_HIGHEST_PORT}, not {text!r}")
    try:
        server = EchoServer(int(text), parser.isSet(debug), application)
    except OSError as error:
        return _failed(str(error))
    server.closed.connect(application.quit)
    sys.stdout.flush()
    with _at_signals(lambda: _leave(server)):
        return application.exec()


def _failed(message: str) -> int:
    print(f"python -m echoserver.qt: {message}", file=sys.stderr)
    return 1


def _leave(server: EchoServer) -> None:
    for client in list(server.m_clients):
        client.close(QWebSocketProtocol.CloseCode.CloseCodeGoingAway, "Connection closed")
    server.m_pWebSocketServer.close()


@contextmanager
def _at_signals(call: Callable[[], None]) -> Iterator[None]:
    """Has Ctrl-C and SIGTERM call it, in the event loop: Qt's sees no signal by itself."""
    reading, writing = socket.socketpair()
    for end in (reading, writing):
        end.setblocking(False)
    notifier = QSocketNotifier(reading.fileno(), QSocketNotifier.Type.Read)
    # As Python code runs in this slot, it runs the handler, too.
    notifier.activated.connect(lambda *_: reading.recv(4096))
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: call())
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        notifier.setEnabled(False)
        reading.close()
        writing.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
