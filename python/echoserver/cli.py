"""The program `echoserver`: an EchoServer from the command line."""

from __future__ import annotations

import argparse
import errno
import inspect
import io
import logging
import os
import queue
import re
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from echoserver import cli_tls, printing
from echoserver._core import __version__, shown
from echoserver.compression import Deflate
from echoserver.exceptions import BindError
from echoserver.server import EchoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    # Numbers of signals, and None when the server has ended.
    _Events: TypeAlias = queue.SimpleQueue[int | None]

__all__ = ["main"]

_log: Final = logging.getLogger("echoserver")
# Seconds that a stop may take before it says what it waits for.
_PATIENCE: Final = 1.0
_WAYS_OUT: Final = {
    errno.EADDRINUSE: "-p 0 takes a free port",
    errno.EACCES: "-p 0 takes a port that anybody may have",
    errno.EMFILE: "`ulimit -n` allows more",
}

_DEFLATE: Final[dict[str, bool | int]] = asdict(Deflate())
_DEFAULTS: Final = {name: each.default for name, each in inspect.signature(EchoServer).parameters.items()}
_UNITS: Final = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30
}  # fmt: skip
# Options of the API whose names differ here: each use of them adds one value, or they name a value.
_SINGULAR: Final = {"subprotocols": "subprotocol", "origins": "origin", "compression": "deflate"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program with `arguments` (default: those of the process) and returns its exit status.

    0 after SIGTERM or Ctrl-C, 1 if it can't listen or serve. For a wrong argument it raises SystemExit with status 2.
    Signal handlers are set while it runs, in the main thread, and put back.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    if options.pop("allow_missing_origin"):
        options.setdefault("origins", []).append(None)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # So that lines reach a pipe when they happen.
        sys.stdout.reconfigure(line_buffering=True)
    events: _Events = queue.SimpleQueue()
    with logged(), _signals(events), _stdout_let_go():
        try:
            cli_tls.take_options(options)
            server = EchoServer(**options, on_closed=lambda: events.put(None))
        except BindError as error:
            port, host = options.get("port", _DEFAULTS["port"]), options.get("host", "all interfaces")
            return _failed(f"listen on port {port} of {host}", error)
        except OSError as error:
            if error.filename is None:
                return _failed("serve", error)
            option, _, reason = str(error.strerror).partition(": ")
            parser.error(_in_terms_of_the_command_line(f"{option}={shown(error.filename)}: {reason}"))
        except (TypeError, ValueError, OverflowError) as error:
            parser.error(_in_terms_of_the_command_line(str(error)))
        try:
            with cli_tls.served(server) as ca_file:
                server.start()
                # Each client needs a descriptor.
                os.close(os.open(os.devnull, os.O_RDONLY))
                _log.info("listening on %s; Ctrl-C stops it", options.get("host", "all interfaces, IPv4 and IPv6"))
                printing.line(server.url)
                if ca_file:
                    printing.line(f"CA certificate: {ca_file}")
                stuck = _run(server, events, options.get("close_timeout", _DEFAULTS["close_timeout"]))
            if stuck is not None:
                signal.signal(stuck, signal.SIG_DFL)
                os.kill(os.getpid(), stuck)
        except (OSError, RuntimeError) as error:
            server.stop(0)
            return _failed("serve", error)
    return 0


def _run(server: EchoServer, events: _Events, close_timeout: float) -> int | None:
    """Until a signal comes, then until the end; after a second signal that is at once.

    Returns the signal if printing is stuck, since nobody takes what is on stdout.
    """
    number = events.get()
    if number is not None:
        server._core.stop(None)
        try:
            again = _ended(server, events, close_timeout)
        except queue.Empty:
            again = number
        if again is not None:
            try:
                server.stop(0)
            except TimeoutError:
                return again
    server.wait_closed()
    return None


def _ended(server: EchoServer, events: _Events, close_timeout: float) -> int | None:
    """What happens while the server stops: None for its end. `queue.Empty` if nothing does in time."""
    with suppress(queue.Empty):
        return events.get(timeout=_PATIENCE)
    count = len(server.clients)
    whom = f"{count} client{'s' * (count != 1)}" if count else "connections"
    _log.info("waiting up to %g s for %s to close; Ctrl-C again drops what is left", close_timeout, whom)
    return events.get(timeout=min(close_timeout, threading.TIMEOUT_MAX))


@contextmanager
def logged() -> Iterator[None]:
    """Meanwhile, what the server logs from INFO on goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("echoserver: %(message)s"))
    level = _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.setLevel(level)
        _log.removeHandler(handler)


@contextmanager
def _signals(events: _Events) -> Iterator[None]:
    """Meanwhile, the first two signals that end a program are events; from the third on they end it as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 2:  # noqa: PLR2004
            for one in numbers:
                signal.signal(one, signal.SIG_DFL)
        events.put(number)

    # One that is ignored stays so: a shell wants that for what it runs in the background.
    numbers = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def _stdout_let_go() -> Iterator[None]:
    """After it, what stdout could not take is not tried again when the interpreter ends."""
    try:
        yield
    finally:
        if sys.stdout is not None:
            try:
                sys.stdout.flush()
            except OSError:
                with open(os.devnull, "wb") as null, suppress(OSError):  # noqa: PTH123
                    os.dup2(null.fileno(), sys.stdout.fileno())


def _failed(what: str, error: OSError | RuntimeError) -> int:
    """Says so in a sentence, with a way out where there is one; the exit status."""
    number = error.errno if isinstance(error, OSError) else None
    # Behind what the core says of it there is the system's reason, in Rust's form.
    reason = (getattr(error, "strerror", None) or str(error)).rpartition(": ")[2].partition(" (os error")[0]
    way_out = _WAYS_OUT.get(number or 0)
    _log.error("cannot %s: %s%s", what, reason, f"; {way_out}" if way_out else "")
    return 1


def _in_terms_of_the_command_line(message: str) -> str:
    """`open_timeout=0: must be ...` becomes `argument --open-timeout: 0: must be ...`."""
    option, equals, rest = message.partition("=")
    if not equals or option not in _DEFAULTS.keys() | cli_tls.FILES:
        return message
    # Here one leaves an option out instead.
    rest = re.sub(", or None( .*)?$", "", rest)
    flag = _SINGULAR.get(option, option).replace("_", "-")
    return f"argument --{flag}: {rest}"


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 0xFFFF:  # noqa: PLR2004  # What a port is.
        raise argparse.ArgumentTypeError(f"{shown(text)} is no port: 0 to 65535, 0 for a free one")
    return port


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+) ?([kKmMgG]?[iI]?[bB]?)", text, re.ASCII)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is no size: a number of bytes, or one with kB, MB, GB, KiB, MiB, GiB"
        )
    return int(match[1]) * unit


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number of seconds") from None


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number") from None


def _deflate(text: str) -> Deflate:
    parameters: dict[str, Any] = {}
    for each in text.split(","):
        name, equals, value = (part.strip() for part in each.partition("="))
        known = _DEFLATE.get(name)
        if known is None:
            raise argparse.ArgumentTypeError(f"{shown(name)} is no parameter: there are {', '.join(_DEFLATE)}")
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
