"""Interleaved rounds: every server, every workload, in an order that changes."""

import json
import os
import random
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from .servers import Place, Server, Spec, StartError
from .stats import Run
from .workloads import WORKLOADS

Runs = dict[str, dict[str, list[Run]]]
"""By server, then by workload."""


@dataclass
class Results:
    """What all rounds gave."""

    runs: Runs = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Servers that did not start, and why."""
    load: list[float] = field(default_factory=list)
    """The machine's load average before each workload."""

    def add(self, server: str, workload: str, run: Run) -> None:
        """Keeps one run."""
        self.runs.setdefault(server, {}).setdefault(workload, []).append(run)

    def get(self, server: str, workload: str) -> list[Run]:
        """The runs of a server under a workload."""
        return self.runs.get(server, {}).get(workload, [])

    def errors(self) -> list[str]:
        """What went wrong, each once."""
        return sorted(
            {
                f"{server} {workload}: {run['error']}"
                for server, workloads in self.runs.items()
                for workload, runs in workloads.items()
                for run in runs
                if "error" in run
            }
        )


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    title: str
    servers: dict[str, Spec]
    pairs: dict[str, set[str]]
    """By workload, the servers that take part."""
    rounds: int
    secs: float
    warmup: float
    seed: int


def allow_many_files() -> None:
    """Five thousand clients need as many descriptors, in the servers too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 65536
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want), max(hard, want)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def generator(place: Place, server: Server, workload: str, extra: Iterable[object]) -> list[str]:
    """The generator's command line."""
    command = [str(place.bin / "wsload"), *shlex.split(WORKLOADS[workload].args)]
    command += ["--port", str(server.port), "--server-pid", str(server.pid)]
    return [*command, *shlex.split(server.load), *map(str, extra)]


def measure(place: Place, server: Server, workload: str, plan: Plan) -> Run:
    """One run of the generator."""
    one = WORKLOADS[workload]
    secs = max(plan.secs, one.least_secs)
    extra = () if one.idle else ("--secs", secs, "--warmup", plan.warmup)
    try:
        done = subprocess.run(
            generator(place, server, workload, extra),
            capture_output=True,
            text=True,
            timeout=90 + secs,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, place.load_cpus),
        )
        run: Run = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"error": "the generator did not end"}
    except json.JSONDecodeError:
        return {"error": f"the generator ended with {done.returncode}: {done.stderr.strip()}"}
    return run


class Bench:
    """Runs a plan."""

    def __init__(self, plan: Plan, place: Place) -> None:
        """Nothing starts yet."""
        self.plan = plan
        self.place = place
        self.results = Results()
        self._rng = random.Random(plan.seed)
        self._began = time.monotonic()

    def run(self) -> Results:
        """Runs all rounds."""
        allow_many_files()
        for number in range(self.plan.rounds):
            self._steady_round(number)
            for workload in self.plan.pairs:
                if WORKLOADS[workload].idle:
                    self._idle_round(number, workload)
        return self.results

    def _say(self, number: int, what: str) -> None:
        seconds = time.monotonic() - self._began
        text = f"{self.plan.title}: round {number + 1}/{self.plan.rounds} {what}, {seconds:.0f} s"
        print(text, file=sys.stderr, flush=True)

    def _start(self, name: str) -> Server | None:
        if name in self.results.left_out:
            return None
        try:
            return Server(name, self.plan.servers[name], self.place)
        except StartError as error:
            self.results.left_out[name] = str(error)
            print(f"left out: {name}: {error}", file=sys.stderr, flush=True)
            return None

    def _measure(self, server: Server, workload: str, number: int) -> None:
        run = measure(self.place, server, workload, self.plan)
        if "error" in run and (status := server.process.poll()) is not None:
            run["error"] += f"; the server has ended with {status}"
        self.results.add(server.name, workload, run | {"round": number})

    def _steady_round(self, number: int) -> None:
        """Paused servers cost nothing, even those that poll or have timers."""
        workloads = [name for name in self.plan.pairs if not WORKLOADS[name].idle]
        wanted = set().union(*(self.plan.pairs[name] for name in workloads))
        live: list[Server] = []
        try:
            for name in self.plan.servers:
                if name in wanted and (server := self._start(name)):
                    live.append(server)
                    server.pause()
            for workload in workloads:
                self.results.load.append(os.getloadavg()[0])
                order = [s for s in live if s.name in self.plan.pairs[workload]]
                self._rng.shuffle(order)
                for server in order:
                    server.resume()
                    self._measure(server, workload, number)
                    server.pause()
                self._say(number, workload)
        finally:
            for server in live:
                server.stop()

    def _idle_round(self, number: int, workload: str) -> None:
        """Memory is that of a fresh process."""
        self.results.load.append(os.getloadavg()[0])
        order = [name for name in self.plan.servers if name in self.plan.pairs[workload]]
        self._rng.shuffle(order)
        for name in order:
            server = self._start(name)
            if server:
                try:
                    self._measure(server, workload, number)
                finally:
                    server.stop()
        self._say(number, workload)
