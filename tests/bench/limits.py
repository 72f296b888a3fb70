#!/usr/bin/env python3
"""Counts what the native echo costs, and compares it with limits.json: status 1 if something costs 5 % more.

    limits.py --bin FOLDER [--python PYTHON] [--write]

User instructions by callgrind and system calls by strace, per message and per connection, are nearly the same on every
machine, however busy it is. `--write` makes what was counted the new limits. In the folder is the generator, `wsload`.
Where a tool is missing, it says so.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from harness.counting import AttachError, CountError, instructions, system_calls
from harness.rounds import allow_many_files
from harness.servers import SERVERS, Place, StartError
from harness.workloads import WORKLOADS

LIMITS = Path(__file__).with_suffix(".json")
# As they are tried.
TOOLS = (("valgrind", "--quiet", "--tool=none"), ("strace", "--output=/dev/null"))
TOLERANCE = 1.05
# System calls depend a little on who is scheduled when.
RUNS = 3


def fails(tool: tuple[str, ...]) -> bool:
    """Whether a tool is not there, or can't be used here."""
    try:
        return subprocess.run([*tool, sys.executable, "-c", ""], check=False).returncode != 0
    except OSError:
        return True


def counted(place: Place, workload: str) -> dict[str, float]:
    """What one kind of load costs."""
    server, count = SERVERS["echoserver"], WORKLOADS[workload].count
    runs = [system_calls(place, server, workload, count).total() / count for _ in range(RUNS)]
    return {"instructions": instructions(place, server, workload, count), "system calls": statistics.median(runs)}


def compared(workload: str, counts: dict[str, float], limits: dict[str, float]) -> bool:
    """Prints them; whether all are within their limits."""
    for name, now in counts.items():
        ratio = now / limits[name]
        verdict = ""
        if ratio > TOLERANCE:
            verdict = "  TOO MUCH"
        elif ratio < 1 / TOLERANCE:
            verdict = "  less: commit it with --write"
        short = WORKLOADS[workload].short
        print(f"{short:18} {name:12} {now:10.4g}, committed {limits[name]:10.4g}, {ratio:.3f}{verdict}", flush=True)
    return all(now <= limits[name] * TOLERANCE for name, now in counts.items())


def main() -> int:
    """Counts, workload by workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="where the generator is")
    parser.add_argument("--python", default=sys.executable, help="that has the package")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if missing := [tool[0] for tool in TOOLS if fails(tool)]:
        print(f"NOT COUNTED: {', '.join(missing)} can't be used here", file=sys.stderr)
        return 0
    allow_many_files()
    cpus = sorted(os.sched_getaffinity(0))
    place = Place(args.bin.resolve(), args.python, args.bin, frozenset(cpus[:1]), frozenset(cpus[-1:]))
    limits = json.loads(LIMITS.read_text(encoding="utf-8"))
    try:
        counts = {workload: counted(place, workload) for workload in limits}
    except AttachError as error:
        print(f"NOT COUNTED: {error}", file=sys.stderr)
        return 0
    except (CountError, StartError, OSError) as error:
        print(f"it could not be counted: {error}", file=sys.stderr)
        return 1
    if args.write:
        rounded = {name: {what: float(f"{n:.4g}") for what, n in costs.items()} for name, costs in counts.items()}
        LIMITS.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
        return 0
    # All of them are to be seen.
    kept = [compared(name, costs, limits[name]) for name, costs in counts.items()]
    return not all(kept)


if __name__ == "__main__":
    sys.exit(main())
