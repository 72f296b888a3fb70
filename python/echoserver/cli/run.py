"""How the program runs: signals, what it says, and what keeps it from serving."""

from __future__ import annotations

import errno
import logging
import os
import queue
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from echoserver import printing
from echoserver._core import Accept, shown
from echoserver.cli import systemd, tls
from echoserver.cli.arguments import DEFAULTS, in_terms_of_the_command_line, parser
from echoserver.cli.screen import Screen
from echoserver.cli.status import Status
from echoserver.cli.stopping import Progress
from echoserver.cli.writing import Stdout
from echoserver.exceptions import BindError
from echoserver.server import EchoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from echoserver._core import Request

    # Numbers of signals, and None when the server has ended.
    _Events: TypeAlias = queue.SimpleQueue[int | None]

__all__ = ["main"]

_log: Final = logging.getLogger("echoserver")
# Seconds between two looks for a signal that has not ended the wait for one.
_LOOK: Final = 0.5
_WAYS_OUT: Final = {
    errno.EADDRINUSE: "-p 0 takes a free port",
    errno.EACCES: "-p 0 takes a port that anybody may have",
    errno.EMFILE: "`ulimit -n` allows more",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program with `arguments` (default: those of the process) and returns its exit status.

    0 after SIGTERM or Ctrl-C, 1 if it can't listen or serve. For a wrong argument it raises SystemExit with status 2.
    Signal handlers are set while it runs, in the main thread, and put back.
    """
    command_line = parser()
    options = vars(command_line.parse_args(arguments))
    if options.pop("allow_missing_origin"):
        options.setdefault("origins", []).append(None)
    printing.by_lines()
    if options.pop("any_subprotocol"):
        options["on_handshake"] = _agree
    debug, is_json = options.pop("debug", False), options.pop("json", False)
    screen, has_connections = _screen(options)
    events: _Events = queue.SimpleQueue()
    stdout, made = Stdout(), threading.Event()
    logged = _logged(screen, has_connections=has_connections)
    with screen.apart(), logged, _signals(events, made, stdout), stdout.let_go():
        try:
            tls.take_options(options)
            with systemd.sockets(options):
                server = EchoServer(**options, on_closed=lambda: events.put(None))
            made.set()
        except KeyboardInterrupt:
            return 0
        except BindError as error:
            return _failed(f"listen on {_place(options)}", error, is_shared="reuse_port" in options)
        except OSError as error:
            if error.filename is None:
                return _failed("serve", error)
            option, _, reason = str(error.strerror).partition(": ")
            command_line.error(in_terms_of_the_command_line(f"{option}={shown(error.filename)}: {reason}"))
        except (TypeError, ValueError, OverflowError) as error:
            command_line.error(in_terms_of_the_command_line(str(error)))
        try:
            with tls.served(server) as ca_file:
                server.debug = debug
                server.start()
                # Each client needs a descriptor.
                os.close(os.open(os.devnull, os.O_RDONLY))
                if debug:
                    stdout.print(lambda: printing.listening(server.port))
                _log.info("%s; Ctrl-C stops it", _described(options))
                status = Status(server, screen, is_json=is_json)
                stdout.print(lambda: status.begin(ca_file))
                systemd.notify(systemd.READY)
                stuck = _run(server, events, options, lambda: stdout.print(status.look), screen.let_go)
                stdout.print(status.end)
            if stuck is not None:
                signal.signal(stuck, signal.SIG_DFL)
                os.kill(os.getpid(), stuck)
        except (OSError, RuntimeError) as error:
            server.stop(0)
            return _failed("serve", error)
    return 0


def _screen(options: dict[str, Any]) -> tuple[Screen, bool]:
    """What is said on stderr, by the options for that, and whether a line for each connection is."""
    log_format = options.pop("log_format", None)
    screen = Screen()
    trace_line: Callable[[str], str] = str
    if log_format == "json":
        from echoserver.cli import log_format as lines

        screen, trace_line = Screen(lines.JsonLines()), lines.trace_line
    if options.pop("trace", False):
        from echoserver.cli import trace

        options |= trace.callbacks(lambda text: screen.line(trace_line(text)), options)
    return screen, log_format is not None


def _described(options: dict[str, Any]) -> str:
    """Where a server with these options listens, and what is on."""
    tls_kinds = {"self-signed": "TLS (self-signed)", None: ""}
    faults = len(options.get("faults", ()))
    are_on = {
        tls_kinds.get(options.get("tls"), "TLS"): "tls" in options,
        "PROXY protocol": "proxy_from" in options,
        "compression": "compression" in options,
        f"{faults} fault{'s' * (faults != 1)}": bool(faults),
        "page": options["page"],
        "faults by URL": options["fault_urls"],
        "health": options["health"],
        "metrics": options["metrics"],
    }
    on = ", ".join(what for what, is_on in are_on.items() if is_on)
    where = ", ".join(options.get("host", ["all interfaces, IPv4 and IPv6"]))
    if "sock" in options:
        where = f"{len(options['sock'])} of systemd's sockets"
    elif "uds" in options:
        where = shown(options["uds"])
    return f"listening on {where}; on: {on}" if on else f"listening on {where}"


def _place(options: dict[str, Any]) -> str:
    """Where a server with these options can't listen."""
    if "uds" in options:
        return f"--uds {shown(options['uds'])}"
    port, hosts = options.get("port", DEFAULTS["port"]), options.get("host", ["all interfaces"])
    return f"port {port} of {', '.join(hosts)}"


def _agree(request: Request) -> Accept | None:
    """To the first subprotocol that is offered."""
    return Accept(subprotocol=request.subprotocols[0]) if request.subprotocols else None


def _run(
    server: EchoServer,
    events: _Events,
    options: dict[str, Any],
    look: Callable[[], None],
    let_go: Callable[[], None],
) -> int | None:
    """Until a signal comes, with a `look` now and then, then until the end; after a second signal that is at once.

    It calls `let_go` when the end begins, and when nothing is waited for any more.

    Returns the signal if printing is stuck, since nobody takes what is on stdout.
    """
    number = _next(events, look)
    let_go()
    if number is not None:
        systemd.notify(systemd.STOPPING)
        server.stop(wait=False)
        names = ("drain_delay", "drain_spread", "close_timeout")
        delay, spread, close_timeout = (options.get(name, DEFAULTS[name]) for name in names)
        progress = Progress(server, delay, spread + close_timeout)
        again: int | None = number
        while not progress.is_overdue():
            with suppress(queue.Empty):
                again = events.get(timeout=_LOOK)
                break
            look()
            progress.look()
        if again is not None:
            let_go()
            try:
                server.stop(0)
            except TimeoutError:
                return again
    server.wait_closed()
    return None


def _next(events: _Events, look: Callable[[], None]) -> int | None:
    """What happens first. A signal that another thread has got, or that has come just before, does not end a wait."""
    while True:
        with suppress(queue.Empty):
            return events.get(timeout=_LOOK)
        look()


@contextmanager
def _logged(handler: logging.Handler, *, has_connections: bool) -> Iterator[None]:
    """Meanwhile, what the server logs from INFO on goes there, and perhaps what there was of each connection."""
    levels = {_log: logging.INFO}
    if has_connections:
        levels[logging.getLogger("echoserver.connections")] = logging.DEBUG
    before = {log: log.level for log in levels}
    _log.addHandler(handler)
    try:
        for log, level in levels.items():
            log.setLevel(level)
        yield
    finally:
        for log, level in before.items():
            log.setLevel(level)
        _log.removeHandler(handler)


@contextmanager
def _signals(events: _Events, made: threading.Event, stdout: Stdout) -> Iterator[None]:
    """Meanwhile, the first two signals that end a program are events; from the third on they end it as ever.

    Until the server is made they raise KeyboardInterrupt: a file of its options may be a pipe, which is waited for.
    `stdout` hears of them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        if not made.is_set():
            # What is raised in the wrong place, such as a weakref's callback, goes nowhere.
            events.put(number)
            raise KeyboardInterrupt
        count += 1
        if count == 2:  # noqa: PLR2004
            for one in numbers:
                signal.signal(one, signal.SIG_DFL)
        events.put(number)
        stdout.on_signal()

    # One that is ignored stays so: a shell wants that for what it runs in the background.
    numbers = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _failed(what: str, error: OSError | RuntimeError, *, is_shared: bool = False) -> int:
    """Says so in a sentence, with a way out where there is one; the exit status. `is_shared`: the port was to be."""
    number = error.errno if isinstance(error, OSError) else None
    # Behind what the core says of it there is the system's reason, in Rust's form.
    reason = (getattr(error, "strerror", None) or str(error)).rpartition(": ")[2].partition(" (os error")[0]
    way_out = None if "--uds" in what else _WAYS_OUT.get(number or 0)
    if number == errno.EADDRINUSE and is_shared:
        way_out = f"who has it needs --reuse-port, too, and {way_out}"
    _log.error("cannot %s: %s%s", what, reason, f"; {way_out}" if way_out else "")
    return 1
