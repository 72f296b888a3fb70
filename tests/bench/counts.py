#!/usr/bin/env python3
"""Counts system calls (strace) and user instructions (callgrind) per message.

W5 is cut up by the socket buffers in a way that depends on timing, so strace runs several times and
the median counts.

For example:  counts.py --server echoserver,ws_own --workload W2,W3
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from harness.counting import CountError, instructions, system_calls
from harness.report import table
from harness.servers import HERE, SERVERS, Place, Spec, StartError
from harness.workloads import WORKLOADS

ALIASES = {"ours": "echoserver"}


def arguments() -> argparse.Namespace:
    """The command line."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--server", default="echoserver,ws_own", help="names, or NAME=COMMAND {port}, by commas")
    add("--workload", default="W2,W3,W4,W5", help="by commas")
    add("--tool", default="both", choices=["strace", "callgrind", "both"])
    add("--repeat", type=int, default=3, help="runs of strace, of which the median (3)")
    add("--count", type=int, help="messages; default by workload")
    add("--bin", type=Path, default=target / "release", help="generator and compiled servers")
    add("--python", default=sys.executable, help="for the servers in Python")
    add("--server-cpus", default="0")
    add("--load-cpus", default="1")
    return parser.parse_args()


def spec(text: str) -> tuple[str, Spec]:
    """A server by its name, or by its command."""
    name, _, command = text.partition("=")
    return name, Spec(command, command) if command else SERVERS[ALIASES.get(name, name)]


def row(args: argparse.Namespace, place: Place, server: str, workload: str) -> list[str]:
    """Counts for one server and workload."""
    name, one = spec(server)
    count = args.count or WORKLOADS[workload].count
    calls, which, user = "-", "-", "-"
    try:
        if args.tool != "callgrind":
            runs = [system_calls(place, one, workload, count) for _ in range(args.repeat)]
            runs.sort(key=Counter.total)
            low, middle, high = (runs[i].total() / count for i in (0, len(runs) // 2, -1))
            calls = f"{middle:.4f} ({low:.4f}-{high:.4f})"
            top = runs[len(runs) // 2].most_common(4)
            which = ", ".join(f"{call} {n / count:.4f}" for call, n in top)
        if args.tool != "strace":
            user = f"{instructions(place, one, workload, count):,.0f}"
    except (CountError, StartError) as error:
        which = str(error)
    return [name, workload, f"{count:,}", calls, user, which]


def main() -> None:
    """Counts, and prints a table."""
    args = arguments()
    cpus = [frozenset(map(int, text.split(","))) for text in (args.server_cpus, args.load_cpus)]
    place = Place(args.bin.resolve(), args.python, *cpus)
    head = ["server", "load", "messages", "system calls", "user instructions", "most frequent"]
    rows = [
        row(args, place, server, workload)
        for workload in args.workload.split(",")
        for server in args.server.split(",")
    ]
    print(f"Per message:\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
