#!/usr/bin/env python3
"""Compares echo servers: speed, latency, memory; and looks closely at our own.

Each round starts the servers on one core and runs the generator on another, against one server
after the other in shuffled order, the others being stopped. Figures are medians over the rounds;
ratios are medians of the rounds' own ratios, with 95 % intervals. At the end it says in words where
somebody else is ahead of ours.

Every set is kept in a file of its own as soon as it is done; the report is made of all files there are.

One more server:  bench.py --set native --server 'mine=python3 my_server.py {port}'
A quick look:     bench.py --set native --workloads W3 --rounds 3 --secs 0.5
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from harness import ahead
from harness.chart import page
from harness.compare import Compared
from harness.counts import Counts
from harness.curves import Curves
from harness.job import Data, Job, Set
from harness.page import PAGE, replace_block
from harness.protocol import Alone
from harness.report import paragraphs
from harness.rounds import allow_many_files
from harness.servers import HERE, Place, Spec
from harness.startup import Startup
from harness.workloads import COMPARISONS, WORKLOADS

FORMAT = 1
"""Of the files of results; those of another are passed over."""

SETS: dict[str, Set] = {
    **{name: Compared(one) for name, one in COMPARISONS.items()},
    "curves": Curves(),
    "startup": Startup(),
    "counts": Counts(),
    "protocol": Alone(),
}


def arguments() -> argparse.Namespace:
    """The command line."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--set", default="all", help=f"by commas, of: {', '.join(SETS)} (all)")
    add("--rounds", type=int, default=9)
    add("--secs", type=float, default=0.6, help="of each measurement (0.6)")
    add("--warmup", type=float, default=0.2, help="before each measurement, s (0.2)")
    add("--workloads", default="", help="only these of the set, by commas")
    add("--only", default="*", help="only these servers (patterns, by commas) and the baselines")
    add("--server", action="append", default=[], metavar="NAME=COMMAND")
    add("--baseline", help="another baseline, for all workloads")
    add("--out", type=Path, default=HERE / "results", help="folder for the results")
    add("--page", action="store_true", help="measure nothing; put these sets' results into docs/performance.md")
    add("--bin", type=Path, default=target / "release", help="generator and compiled servers")
    add("--python", default=sys.executable, help="for the servers in Python")
    add("--server-cpus", default="0")
    add("--load-cpus", default="1")
    add("--seed", type=int, default=1, help="of the shuffling")
    args = parser.parse_args()
    args.set = list(SETS) if args.set == "all" else args.set.split(",")
    args.workloads = frozenset(filter(None, args.workloads.split(",")))
    for given, known in ((set(args.set), SETS), (args.workloads, WORKLOADS)):
        if unknown := given - known.keys():
            parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return args


def certificate(folder: Path) -> None:
    """One that lasts as long as the run; without openssl, what needs it is left out."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    try:
        names = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
        subprocess.run([*command.split(), *names], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no certificate, so nothing with TLS: {error}", file=sys.stderr)


def environment() -> dict[str, str]:
    """What a reader needs to judge the figures."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
    }


def kept(out: Path, names: Iterable[str]) -> dict[str, Data]:
    """Those sets that have been measured, by name."""
    files = {name: out / f"{name}.json" for name in names}
    records = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.exists()}
    return {name: record for name, record in records.items() if record.get("format") == FORMAT}


def told(records: dict[str, Data], part: str) -> str:
    """The report: `brief` for that page, `text` for everything."""
    parts = []
    about = ""
    for name, record in records.items():
        line = "; ".join(f"{key}: {value}" for key, value in record["environment"].items())
        # Mostly all sets are of one run.
        parts.append(f"{line}\n" if line != about else "")
        about = line
        one = SETS[name]
        parts += [f"**{one.title}** (`--set {name}`)\n", getattr(one, part)(record["data"])]
    return paragraphs(*parts, words(records))


def words(records: dict[str, Data]) -> str:
    """Where somebody else is ahead."""
    return ahead.told({name: record["data"] for name, record in records.items()})


def write(out: Path) -> None:
    """The report of all sets there are."""
    records = kept(out, SETS)
    panels = [panel for name, record in records.items() for panel in SETS[name].panels(record["data"])]
    (out / "bench.md").write_text(told(records, "text"), encoding="utf-8")
    (out / "page.md").write_text(told(records, "brief"), encoding="utf-8")
    (out / "bench.svg").write_text(page(panels), encoding="utf-8")


def measured(name: str, job: Job, out: Path) -> bool:
    """Runs a set and keeps what came of it; False if it could not be run."""
    try:
        data = SETS[name].run(job)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        print(f"{name}: not measured: {error}\n{said}", file=sys.stderr, flush=True)
        return False
    record = {"format": FORMAT, "environment": environment(), "data": data}
    (out / f"{name}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    write(out)
    print(f"\n**{SETS[name].title}**\n\n{SETS[name].text(data)}", flush=True)
    return True


def main() -> None:
    """Runs set by set, so that an interrupted run leaves those that are done."""
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.page:
        replace_block(PAGE, told(kept(args.out, args.set), "brief"))
        return
    # However it ends, no stopped server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    allow_many_files()
    cpus = [frozenset(map(int, text.split(","))) for text in (args.server_cpus, args.load_cpus)]
    with tempfile.TemporaryDirectory() as folder:
        certificate(Path(folder))
        job = Job(
            place=Place(args.bin.resolve(), args.python, Path(folder), *cpus),
            only=tuple(args.only.split(",")),
            added={name: Spec(name, command) for name, command in (s.split("=", 1) for s in args.server)},
            workloads=args.workloads,
            baseline=args.baseline,
            rounds=args.rounds,
            secs=args.secs,
            warmup=args.warmup,
            seed=args.seed,
        )
        done = [measured(name, job, args.out) for name in args.set]
    print(f"\n{words(kept(args.out, args.set))}", flush=True)
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
