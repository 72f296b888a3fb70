"""`echoserver load`: how fast a server echoes, and how long its answers take. The load itself is made in Rust."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from echoserver import printing
from echoserver._core import Load, shown
from echoserver.cli.roots import roots_in, system_roots
from echoserver.cli.screen import Screen
from echoserver.cli.values import count, seconds, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    _Found: TypeAlias = tuple[int, int, str | None, int, float, float, list[float]]

__all__ = ["main", "parser"]

_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
# Seconds between two looks.
_BETWEEN: Final = 0.5
_YEAR: Final = 365 * 86_400
# Of a thread, or of the machine: beyond this it is what is measured.
_BUSY: Final = 0.9
_FAILED: Final = 1


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    made = argparse.ArgumentParser(
        prog="echoserver load",
        description="Measures a WebSocket server that echoes: how many messages it sends back in a second, and how "
        "long each takes. Each client keeps some messages on their way: for one answer, one message more.",
        epilog="Its status is 0, 1 if a client failed or an answer was wrong, 2 for a wrong argument.",
        allow_abbrev=False,
    )
    made.add_argument("url", metavar="URL", type=_url, help="ws:// or wss://; without either it is ws://")
    made.add_argument("--clients", type=count, default=16, metavar="COUNT", help="clients (default: 16)")
    made.add_argument(
        "--inflight", type=count, default=1, metavar="COUNT", help="messages on their way for each client (default: 1)"
    )
    made.add_argument("--size", type=size, default=125, metavar="SIZE", help="of a message (default: 125 bytes)")
    made.add_argument("--binary", action="store_true", help="binary messages instead of text")
    made.add_argument(
        "--seconds", type=seconds, default=5.0, metavar="SECONDS", help="how long, once all have connected (default: 5)"
    )
    made.add_argument("--ca", metavar="FILE", help="trust the certificates in FILE, in PEM, instead of the system's")
    made.add_argument(
        "--threads", type=count, default=1, metavar="COUNT", help="threads that make the load (default: 1)"
    )
    made.add_argument("--json", action="store_true", help="print one JSON object, with latencies in seconds")
    return made


def main(arguments: Sequence[str]) -> int:
    """Runs it and returns its exit status. For a wrong argument it raises SystemExit with status 2."""
    command_line = parser()
    given = command_line.parse_args(arguments)
    for name in ("clients", "inflight", "threads"):
        if getattr(given, name) < 1:
            command_line.error(f"argument --{name}: {getattr(given, name)}: must be positive")
    if not 0 < given.seconds <= _YEAR:
        command_line.error(f"argument --seconds: {given.seconds:g}: must be positive, and at most a year")
    if given.ca is not None and not given.url.startswith("wss:"):
        command_line.error("argument --ca: is for wss:// only")
    try:
        ca_pem = _ca_pem(given)
    except OSError as error:
        command_line.error(f"argument --ca: {shown(given.ca)}: {error}")
    try:
        load = Load(
            given.url,
            ca_pem=ca_pem,
            clients=given.clients,
            in_flight=given.inflight,
            size=given.size,
            is_binary=given.binary,
            seconds=given.seconds,
            threads=given.threads,
        )
    except ValueError as error:
        # Only the certificates are left to be wrong.
        subject = "needed, since the system" if given.ca is None else shown(given.ca)
        command_line.error(f"argument --ca: {subject} {error}")
    except OSError as error:
        Screen().line(f"echoserver: cannot make a load: {error.strerror or error}")
        return _FAILED
    busy, found = _watched(load, Screen(), given)
    messages, failed, failure, wrong, mean, longest, quantiles = found
    result = {
        "url": given.url,
        "clients": given.clients,
        "inflight": given.inflight,
        "size": given.size,
        "seconds": given.seconds,
        "messages": messages,
        "messages_per_second": messages / given.seconds,
        "bytes_per_second": messages * given.size / given.seconds,
        "failed_clients": failed,
        "failure": failure,
        "wrong_answers": wrong,
        "latency": {"mean": mean, **dict(zip(_QUANTILES, quantiles, strict=True)), "max": longest},
        **busy,
    }
    if given.json:
        printing.line(json.dumps(result))
    else:
        for line in _lines(result, given):
            printing.line(line)
    return _FAILED if failed or wrong else 0


def _watched(load: Load, screen: Screen, given: argparse.Namespace) -> tuple[dict[str, float | None], _Found]:
    """How busy the generator and the machine were, as parts of one, and what has come of the load, when it is over.

    Tells a terminal how far it is.
    """
    begun, used, machine = time.monotonic(), time.process_time(), _machine()
    before = load.answered
    while (found := load.wait(_BETWEEN, [*_QUANTILES.values()])) is None:
        if load.connected < given.clients and not load.answered:
            # What it takes to connect is not what is measured.
            begun, used, machine = time.monotonic(), time.process_time(), _machine()
        if screen.is_terminal:
            answered = load.answered
            rate = (answered - before) / _BETWEEN
            before = answered
            screen.show_below(f"{load.connected:,} clients, {answered:,} messages, {rate:,.0f} messages/s")
    screen.show_below("")
    threads = min(given.threads, given.clients)
    busy = (time.process_time() - used) / (time.monotonic() - begun) / threads
    return {"generator_busy": busy, "machine_busy": _busy(machine, _machine())}, found


def _machine() -> tuple[int, int] | None:
    """Idle time and all time of the machine's processors since its start; None where the system does not tell so."""
    try:
        user, nice, system, idle, wait, *others = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    except (OSError, ValueError):
        return None
    return idle + wait, user + nice + system + idle + wait + sum(others)


def _busy(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] == before[1]:
        return None
    return 1 - (after[0] - before[0]) / (after[1] - before[1])


def _lines(result: dict[str, Any], given: argparse.Namespace) -> Iterator[str]:
    """The result, for people."""
    kind = "binary" if given.binary else "text"
    asked = f"{given.clients:,} clients x {given.inflight:,} in flight x {given.size:,} bytes of {kind}"
    yield f"{asked}, {given.seconds:g} s"
    rate, megabytes = result["messages_per_second"], result["bytes_per_second"] / 1e6
    if result["messages"] or not result["failed_clients"]:
        yield f"messages   {result['messages']:,}, {rate:,.0f}/s, {megabytes:,.1f} MB/s each way"
    if result["messages"]:
        latencies = ", ".join(f"{name} {value * 1000:.3g}" for name, value in result["latency"].items())
        yield f"latency    {latencies} ms"
    if result["failed_clients"]:
        yield f"failed     {result['failed_clients']:,} clients: {printing.escaped(result['failure'])}"
        if "nobody who is trusted" in result["failure"]:
            yield "           --ca FILE says which certificates to trust, in PEM, instead of the system's."
    if result["wrong_answers"]:
        yield f"wrong      {result['wrong_answers']:,} answers were not what had been sent"
    if not result["messages"]:
        return
    busy, machine = result["generator_busy"], result["machine_busy"]
    threads = f"{given.threads} thread{'s' * (given.threads != 1)}"
    yield f"generator  busy {busy:.0%} of {threads}" + (f", the machine {machine:.0%}" if machine is not None else "")
    if busy > _BUSY:
        yield "The generator was the bottleneck: the server may be faster. Give it more --threads, or more machines."
    elif machine is not None and machine > _BUSY:
        yield "The machine had no time left: whatever else runs on it, the generator too, is a part of the result."


def _url(text: str) -> str:
    url = text if "://" in text else f"ws://{text}"
    scheme, _, rest = url.partition("://")
    if scheme not in {"ws", "wss"} or not rest:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no URL of a WebSocket, such as ws://localhost:1234/")
    return url


def _ca_pem(given: argparse.Namespace) -> bytes | None:
    """The certificates to trust, in PEM, if there is to be TLS. OSError for a file that can't be read."""
    if not given.url.startswith("wss:"):
        return None
    return system_roots() if given.ca is None else roots_in(given.ca)
