"""The program `echoserver`: an EchoServer from the command line."""

from __future__ import annotations

import argparse
import inspect
import io
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from echoserver import cli_tls
from echoserver._core import __version__
from echoserver.compression import Deflate
from echoserver.exceptions import BindError
from echoserver.server import EchoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

__all__ = ["main"]

_DEFLATE: Final[dict[str, bool | int]] = asdict(Deflate())
_DEFAULTS: Final = {name: each.default for name, each in inspect.signature(EchoServer).parameters.items()}
_UNITS: Final = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30
}  # fmt: skip
# Options of the API whose names differ here: each use of them adds one value, or they name a value.
_SINGULAR: Final = {"subprotocols": "subprotocol", "origins": "origin", "compression": "deflate"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program with `arguments` (default: those of the process) and returns its exit status.

    0 after SIGTERM or Ctrl-C, 1 if the address can't be listened on. For a wrong argument it raises SystemExit with
    status 2. Signal handlers are set while it runs, in the main thread, and put back.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    if options.pop("allow_missing_origin"):
        options.setdefault("origins", []).append(None)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # So that lines reach a pipe when they happen, and no message is beyond the terminal's encoding.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    stop = _Stop()
    with _signals(stop), cli_tls.logged():
        try:
            cli_tls.take_options(options)
            server = EchoServer(**options)
        except BindError as error:
            print(f"{parser.prog}: {_sentence(error, **_DEFAULTS | options)}", file=sys.stderr)
            return 1
        except OSError as error:
            option, _, reason = str(error.strerror).partition(": ")
            parser.error(_in_terms_of_the_command_line(f"{option}={error.filename!r}: {reason}"))
        except (TypeError, ValueError, OverflowError) as error:
            parser.error(_in_terms_of_the_command_line(str(error)))
        print(server.url, flush=True)
        with cli_tls.served(server):
            stop.serve(server)
    return 0


class _Stop:
    """Ends the server in order at the first signal; at the second one the process ends at once, as without handlers."""

    def __init__(self) -> None:
        self._server: EchoServer | None = None
        self._is_asked = False

    def serve(self, server: EchoServer) -> None:
        self._server = server
        if self._is_asked:
            server.stop()
            return
        try:
            server.serve()
        except RuntimeError:
            # Asked to stop in the moment before it served.
            if not self._is_asked:
                raise

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
        signal.signal(number, signal.SIG_DFL)
        if self._server is not None:
            self._server.stop()


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # One that is ignored stays so: a shell wants that for what it runs in the background.
    numbers = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _sentence(error: BindError, *, port: int, host: str | None, **_others: object) -> str:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error).rpartition(": ")[2]
    return f"cannot listen on port {port} of {host or 'all interfaces'}: {reason}"


def _in_terms_of_the_command_line(message: str) -> str:
    """`open_timeout=0: must be ...` becomes `argument --open-timeout: 0: must be ...`."""
    option, equals, rest = message.partition("=")
    if not equals or option not in _DEFAULTS.keys() | cli_tls.FILES:
        return message
    flag = _SINGULAR.get(option, option).replace("_", "-")
    return f"argument --{flag}: {rest}"


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 0xFFFF:  # noqa: PLR2004  # What a port is.
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535, 0 for a free one")
    return port


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+) ?([kKmMgG]?[iI]?[bB]?)", text, re.ASCII)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size: a number of bytes, or one with kB, MB, GB, KiB, MiB, GiB"
        )
    return int(match[1]) * unit


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _deflate(text: str) -> Deflate:
    parameters: dict[str, Any] = {}
    for each in text.split(","):
        name, equals, value = (part.strip() for part in each.partition("="))
        known = _DEFLATE.get(name)
        if known is None:
            raise argparse.ArgumentTypeError(f"{name!r} is no parameter: there are {', '.join(_DEFLATE)}")
        if name in parameters:
            raise argparse.ArgumentTypeError(f"{name} is given twice")
        if isinstance(known, bool):
            if equals:
                raise argparse.ArgumentTypeError(f"{name} takes no value")
            parameters[name] = True
            continue
        try:
            parameters[name] = _size(value) if name == "threshold" else _count(value)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{name}: {error}") from None
    return Deflate(**parameters)


def _shown(value: object, unit: str) -> str:
    if isinstance(value, int) and unit == "SIZE":
        for name in ("GiB", "MiB", "KiB"):
            if value and value % _UNITS[name.lower()] == 0:
                return f"{value // _UNITS[name.lower()]} {name}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echoserver",
        usage="%(prog)s [options]",
        description="A WebSocket server that sends back what it gets. Prints its URL, serves until Ctrl-C or SIGTERM.",
        epilog="SIZE is a number of bytes, also with a unit: 64MiB, 100kB. SECONDS may have a fraction.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )

    def add(group: Any, option: str, text: str, kind: Callable[[str], object], unit: str, *flags: str) -> None:
        value = _DEFAULTS[option]
        # None means something else for each option, so its help says what.
        default = "" if value is None else f" (default: {_shown(value, unit)})"
        names = (*flags, "--" + option.replace("_", "-"))
        group.add_argument(*names, type=kind, metavar=unit, help=text + default)

    group = parser.add_argument_group("listening")
    add(group, "port", "port to listen on; 0 takes a free one", _port, "PORT", "-p")
    add(group, "host", "name or address to listen on (default: all interfaces, IPv4 and IPv6)", str, "HOST")

    group = parser.add_argument_group("who may connect")
    group.add_argument(
        "--origin",
        action="append",
        dest="origins",
        metavar="ORIGIN",
        help="admit this Origin, to the letter; may be repeated (default: every one)",
    )
    group.add_argument(
        "--allow-missing-origin",
        action="store_true",
        default=False,
        help="with --origin: admit requests without Origin, too",
    )
    group.add_argument(
        "--subprotocol",
        action="append",
        dest="subprotocols",
        metavar="NAME",
        help="support this subprotocol; may be repeated (default: none)",
    )
    add(group, "max_connections", "clients at a time; others get 503 (default: no limit)", _count, "COUNT")

    group = parser.add_argument_group("compression")
    group.add_argument(
        "--deflate",
        nargs="?",
        type=_deflate,
        const=Deflate(),
        dest="compression",
        metavar="PARAMETERS",
        help="agree to permessage-deflate; with, separated by commas: server_no_context_takeover, "
        "client_no_context_takeover, server_max_window_bits=9..15, client_max_window_bits=9..15, level=0..9, "
        "threshold=SIZE (default: no compression)",
    )
    cli_tls.add_arguments(parser)

    group = parser.add_argument_group("limits")
    add(group, "max_message_size", "longest message; longer ones get 1009", _size, "SIZE")
    add(group, "memory_limit", "what all connections together may keep; beyond it 1013", _size, "SIZE")
    add(group, "max_send_queue", "what may wait to be sent to one client", _size, "SIZE")

    group = parser.add_argument_group("timeouts")
    add(group, "open_timeout", "for the upgrade request", _seconds, "SECONDS")
    add(group, "close_timeout", "for the closing handshake, and for the end of the server", _seconds, "SECONDS")
    add(group, "idle_timeout", "without a byte from the client (default: none)", _seconds, "SECONDS")
    add(group, "ping_interval", "between keepalive pings (default: no pings)", _seconds, "SECONDS")
    add(group, "ping_timeout", "for the answer to a keepalive ping", _seconds, "SECONDS")

    group = parser.add_argument_group("the server itself")
    group.add_argument("-d", "--debug", action="store_true", help="print the port, each message and each disconnect")
    add(group, "workers", "threads that serve clients (default: one per core, at most 4)", _count, "COUNT")
    add(group, "server_name", "the Server header; empty leaves it out", str, "NAME")
    group.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser
