"""The command line: an option for each of EchoServer's, and errors in its terms."""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, NoReturn

from echoserver._core import __version__, shown
from echoserver.cli import help_and_completion, tls
from echoserver.cli.values import UNITS, count, mode, port, seconds, size
from echoserver.compression import Deflate
from echoserver.server import EchoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["DEFAULTS", "in_terms_of_the_command_line", "parser"]

DEFAULTS: Final = {name: each.default for name, each in inspect.signature(EchoServer).parameters.items()}
"""Those of the options."""

_DEFLATE: Final[dict[str, bool | int]] = asdict(Deflate())
_LONGEST_ERROR: Final = 500
# Options of the API whose names differ here: each use of them adds one value, or they name a value.
_SINGULAR: Final = {"subprotocols": "subprotocol", "origins": "origin", "compression": "deflate", "faults": "fault"}
_TWICE: Final = "the port is given twice, and not the same"


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As argparse does, and the port may stand anywhere: for argparse it would have to be before options."""
        options, rest = self.parse_known_args(args, namespace)
        if rest and not rest[0].startswith("-"):
            given = rest.pop(0)
            try:
                number = port(given)
            except argparse.ArgumentTypeError as error:
                self.error(f"argument PORT: {error}{_meant(given)}")
            if getattr(options, "port", number) != number:
                self.error(f"argument PORT: {_TWICE}")
            options.port = number
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}{self._hint(rest[0])}")
        return options

    def _hint(self, option: str) -> str:
        known = (name for action in self._actions for name in action.option_strings)
        near = _near(option.partition("=")[0], known)
        return f"; did you mean {near}?" if near else ""

    def error(self, message: str) -> NoReturn:
        """As argparse does; what was given may be of any length, and is in it."""
        super().error(message if len(message) <= _LONGEST_ERROR else f"{message[:_LONGEST_ERROR]}...")


def _near(word: str, words: Iterable[str]) -> str | None:
    """Which of the words it is but for a slip, if it is one of them."""
    # Only for a mistake: the start does without.
    import difflib

    return next(iter(difflib.get_close_matches(word, words, 1)), None)


def _meant(port: str) -> str:
    """What may have been meant by what is no port."""
    if near := _near(port, ("send", "load")):
        return f"; `echoserver {near} --help` says what that client takes"
    if ":" in port:
        return "; --bind takes HOST:PORT"
    return "" if port[:1].isdecimal() else "; --help says what there is"


class _Port(argparse.Action):
    """The port, which can be one only."""

    def __call__(self, _parser: object, namespace: argparse.Namespace, values: Any, _option: object = None) -> None:
        if getattr(namespace, "port", values) != values:
            raise argparse.ArgumentError(self, _TWICE)
        namespace.port = values


class _Bind(_Port):
    """HOST, HOST:PORT, :PORT or PORT, as several other programs have it."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: Any, option: object = None) -> None:
        host, colon, number = values.rpartition(":")
        if values.isdecimal():
            host, number = "", values
        elif not colon or values.endswith("]") or (":" in host and not host.startswith("[")):
            # The colons are those of an IPv6 address.
            host, number = values, ""
        try:
            if number or not host:
                super().__call__(parser, namespace, port(number), option)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        if host:
            namespace.host = [*getattr(namespace, "host", ()), host.removeprefix("[").removesuffix("]")]


def parser() -> argparse.ArgumentParser:
    """What reads it. The values are options of EchoServer by name, as far as they were given."""
    made = _Parser(
        prog="echoserver",
        usage="%(prog)s [options] [PORT]\n       %(prog)s send URL [MESSAGE ...]\n       %(prog)s load URL",
        add_help=False,
        description="A WebSocket server that sends back what it gets. Prints its URL, serves until Ctrl-C or SIGTERM.",
        epilog="SIZE is a number of bytes, also with a unit: 64MiB, 100kB. SECONDS may have a fraction.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )

    def add(group: Any, option: str, text: str, kind: Callable[[str], object], unit: str, *flags: str) -> None:
        value = DEFAULTS[option]
        # None means something else for each option, so its help says what.
        default = "" if value is None else f" (default: {_shown(value, unit)})"
        names = (*flags, "--" + option.replace("_", "-"))
        group.add_argument(*names, type=kind, metavar=unit, help=text + default)

    _add_listening(made.add_argument_group("listening"), add)

    group = made.add_argument_group("who may connect")
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
    names = group.add_mutually_exclusive_group()
    names.add_argument(
        "--subprotocol",
        action="append",
        dest="subprotocols",
        metavar="NAME",
        help="support this subprotocol; may be repeated; who offers none of them comes in without one (default: none)",
    )
    names.add_argument(
        "--any-subprotocol",
        action="store_true",
        default=False,
        help="agree to the first subprotocol that a client offers, whatever it is",
    )
    add(group, "max_connections", "clients at a time; others get 503 (default: no limit)", count, "COUNT")

    group = made.add_argument_group("compression")
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
    tls.add_arguments(made)

    group = made.add_argument_group("limits")
    add(group, "max_message_size", "longest message; longer ones get 1009", size, "SIZE")
    add(group, "memory_limit", "what all connections together may keep; beyond it 1013 or 503", size, "SIZE")
    add(group, "max_send_queue", "what may wait to be sent to one client", size, "SIZE")

    group = made.add_argument_group("timeouts")
    add(group, "open_timeout", "for the upgrade request", seconds, "SECONDS")
    add(
        group,
        "close_timeout",
        "for the closing handshake, and for the end of the server after its drain",
        seconds,
        "SECONDS",
    )
    add(group, "drain_delay", "at the end, for which clients still come in while /healthz says 503", seconds, "SECONDS")
    add(group, "drain_spread", "after that, over which clients are told of the end", seconds, "SECONDS")
    add(group, "idle_timeout", "without a byte from the client (default: none)", seconds, "SECONDS")
    add(group, "ping_interval", "between keepalive pings (default: no pings)", seconds, "SECONDS")
    add(group, "ping_timeout", "for the answer to a keepalive ping", seconds, "SECONDS")

    group = made.add_argument_group("faults")
    group.add_argument(
        "--fault",
        action="append",
        dest="faults",
        metavar="FAULT",
        help="do to clients what no server should, such as latency=200ms or close=1011,after:5; may be repeated; "
        "a wrong one is answered with those that there are (default: none)",
    )

    group.add_argument(
        "--no-faults",
        action="store_false",
        default=True,
        dest="fault_urls",
        help="don't let clients ask for faults of their own connection, as ws://localhost:1234/faults?latency=200ms "
        "does; belongs on public hosts (default: they may)",
    )

    group = made.add_argument_group("watching it")
    group.add_argument(
        "--log-format",
        choices=["text", "json"],
        help="log a line for each connection at its end, too, and all lines for people or as JSON; they go to stderr, "
        "--json is about stdout (default: only what the server does and whom it refuses, as text)",
    )
    for option, page in (("health", "/healthz, which says whether clients are accepted"), ("metrics", "/metrics")):
        text = f"don't answer {page} (default: it is answered)"
        group.add_argument(f"--no-{option}", action="store_false", default=True, dest=option, help=text)

    group = made.add_argument_group("the server itself")
    group.add_argument(
        "--no-page",
        action="store_false",
        default=True,
        dest="page",
        help="don't show browsers a page at http://localhost:1234/ that is a client for this server (default: do)",
    )
    group.add_argument(
        "--trace", action="store_true", help="show each message on stderr, with its client, direction, time and size"
    )
    printed = group.add_mutually_exclusive_group()
    printed.add_argument(
        "--json",
        action="store_true",
        help="print JSON on stdout, a line at the start, each second and at the end, and no URL; for the log it is "
        "--log-format json",
    )
    printed.add_argument("-d", "--debug", action="store_true", help="print the port, each message and each disconnect")
    add(
        group,
        "workers",
        "threads that serve clients; with 0 the thread that runs the callbacks does (default: one per core, at most 4)",
        count,
        "COUNT",
    )
    add(group, "server_header", "the Server header; empty leaves it out", str, "NAME")
    group.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    help_and_completion.add_arguments(made)
    return made


def _add_listening(group: Any, add: Callable[..., None]) -> None:
    """Where it listens."""
    group.add_argument(
        "-p",
        "--port",
        action=_Port,
        type=port,
        metavar="PORT",
        help=f"port to listen on, also without -p; 0 takes a free one (default: {DEFAULTS['port']})",
    )
    group.add_argument(
        "--host",
        action="append",
        metavar="HOST",
        help="name or address to listen on; may be repeated (default: all interfaces, IPv4 and IPv6)",
    )
    group.add_argument("--bind", action=_Bind, metavar="HOST:PORT", help="both, or one of them: HOST, :PORT")
    group.add_argument(
        "--uds", metavar="PATH", help="path of a Unix socket to listen on, instead of host and port (default: none)"
    )
    group.add_argument(
        "--uds-mode",
        type=mode,
        metavar="MODE",
        help="permissions of that socket's file, such as 660: who may write to it may connect (default: those that the "
        "umask leaves)",
    )
    add(
        group,
        "backlog",
        "connects that may wait to be accepted (default: 4096; sockets that are handed over keep theirs)",
        count,
        "COUNT",
    )
    group.add_argument(
        "--reuse-port",
        action="store_true",
        help="let others of the same user listen on the port, too, if they ask for it (default: don't)",
    )
    group.add_argument(
        "--proxy-from",
        action="append",
        metavar="ADDRESS",
        help="address or network, such as 10.0.0.0/8, or unix: for whoever connects to a Unix socket, of a balancer "
        "that says by the PROXY protocol for whom it has connected; may be repeated (default: none)",
    )


def in_terms_of_the_command_line(message: str) -> str:
    """`open_timeout=0: must be ...` becomes `argument --open-timeout: 0: must be ...`.

    Sockets are no argument here: what systemd hands over is what is wrong with them.
    """
    option, equals, rest = message.partition("=")
    if not equals or option not in DEFAULTS.keys() | tls.FILES:
        return message
    if option == "sock":
        return f"LISTEN_FDS: {rest.removesuffix(': call its listen() first')}"
    # Here one leaves an option out instead.
    rest = re.sub(", or None( .*)?$", "", rest)
    flag = _SINGULAR.get(option, option).replace("_", "-")
    return f"argument --{flag}: {rest}"


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
            parameters[name] = size(value) if name == "threshold" else count(value)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{name}: {error}") from None
    return Deflate(**parameters)


def _shown(value: object, unit: str) -> str:
    if isinstance(value, int) and unit == "SIZE":
        for name in ("GiB", "MiB", "KiB"):
            if value and value % UNITS[name.lower()] == 0:
                return f"{value // UNITS[name.lower()]} {name}"
    return f"{value:g}" if isinstance(value, float) else str(value)
