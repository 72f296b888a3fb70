#!/usr/bin/env python3
"""Compares echo servers: speed, latency, memory.

Each round starts the servers on one core and runs the generator on another, against one server
after the other in shuffled order, the others being stopped. Figures are medians over the rounds;
ratios are medians of the rounds' own ratios, with 95 % intervals.

One more server:  bench.py --set native --server 'mine=python3 my_server.py {port}'
A quick look:     bench.py --set native --workloads W3 --rounds 3 --secs 0.5
"""

import argparse
import dataclasses
import fnmatch
import json
import os
import platform
import sys
import time
from pathlib import Path

from harness.chart import svg
from harness.report import Report, ratios
from harness.rounds import Bench, Plan, Results
from harness.servers import HERE, SERVERS, Place, Spec
from harness.workloads import SETS, WORKLOADS, Comparison


def arguments() -> argparse.Namespace:
    """The command line."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--set", default="all", choices=[*SETS, "all"], help="servers and workloads (all)")
    add("--rounds", type=int, default=9)
    add("--secs", type=float, default=1.0, help="of each measurement (1)")
    add("--warmup", type=float, default=0.3, help="before each measurement, s (0.3)")
    add("--workloads", default=",".join(WORKLOADS), help="only these of the set, by commas")
    add("--only", default="*", help="only these servers (patterns, by commas) and the baselines")
    add("--server", action="append", default=[], metavar="NAME=COMMAND")
    add("--baseline", help="another baseline, for all workloads")
    add("--out", type=Path, help="folder for bench.md, bench.json and bench.svg")
    add("--bin", type=Path, default=target / "release", help="generator and compiled servers")
    add("--python", default=sys.executable, help="for the servers in Python")
    add("--server-cpus", default="0")
    add("--load-cpus", default="1")
    add("--seed", type=int, default=1, help="of the shuffling")
    args = parser.parse_args()
    unknown = set(args.workloads.split(",")) - set(WORKLOADS)
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    return args


def chosen(args: argparse.Namespace, servers: dict[str, Spec]) -> list[Comparison]:
    """The comparisons that were asked for."""
    added = tuple(name for name in servers if name not in SERVERS)
    patterns = args.only.split(",")
    workloads = args.workloads.split(",")
    comparisons = []
    for one in SETS.values() if args.set == "all" else [SETS[args.set]]:
        baselines = {w: args.baseline or b for w, b in one.baselines.items() if w in workloads}
        keep = {*baselines.values(), *added}
        names = dict.fromkeys((*one.servers, *baselines.values(), *added))
        matching = (n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns))
        keep.update(matching)
        comparisons.append(Comparison(one.title, tuple(n for n in names if n in keep), baselines))
    return comparisons


def planned(args: argparse.Namespace) -> tuple[Plan, list[Comparison]]:
    """What is run: each pair of server and workload once, in however many comparisons it stands."""
    servers = SERVERS | {
        name: Spec(command, command) for name, command in (s.split("=", 1) for s in args.server)
    }
    comparisons = chosen(args, servers)
    pairs: dict[str, set[str]] = {}
    for comparison in comparisons:
        for workload in comparison.baselines:
            names = {n for n in comparison.servers if takes(servers[n], workload)}
            pairs.setdefault(workload, set()).update(names)
    ordered = {workload: pairs[workload] for workload in WORKLOADS if workload in pairs}
    return Plan(servers, ordered, args.rounds, args.secs, args.warmup, args.seed), comparisons


def takes(spec: Spec, workload: str) -> bool:
    """A plain TCP echo has nothing to upgrade."""
    return WORKLOADS[workload].steady or not spec.tcp


def environment(args: argparse.Namespace, results: Results) -> dict[str, str]:
    """What a reader needs to judge the figures."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    load = sorted(results.load)[len(results.load) // 2] if results.load else 0.0
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "rounds": f"{args.rounds} of {args.secs:g} s",
        "load average": f"{load:.1f}",
    }


def main() -> None:
    """Runs, and writes what came of it."""
    args = arguments()
    plan, comparisons = planned(args)
    cpus = [frozenset(map(int, text.split(","))) for text in (args.server_cpus, args.load_cpus)]
    place = Place(args.bin.resolve(), args.python, *cpus)
    results = Bench(plan, place).run()
    about = environment(args, results)
    line = "; ".join(f"{key}: {value}" for key, value in about.items())
    text = Report(results, plan.servers).text(comparisons, f"{line}\n")
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "bench.md").write_text(text, encoding="utf-8")
        (args.out / "bench.svg").write_text(svg(results, comparisons), encoding="utf-8")
        record = {
            "environment": about,
            "workloads": {name: one.text for name, one in WORKLOADS.items()},
            "ratios": {
                one.title: {
                    workload: {name: dataclasses.asdict(r) for name, r in found.items()}
                    for workload, found in ratios(results, one).items()
                }
                for one in comparisons
            },
            **dataclasses.asdict(results),
        }
        (args.out / "bench.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
