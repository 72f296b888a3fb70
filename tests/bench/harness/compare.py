"""Sets that compare servers: ratios to a baseline, with their intervals."""

import dataclasses
import itertools
import os
from dataclasses import dataclass

from .chart import Panel, bars
from .job import Data, Job
from .report import bullets, number, paragraphs, ratio_text, table
from .rounds import Bench, Plan, Results
from .servers import SERVERS
from .stats import Ratio, median, ratio, spread, values
from .workloads import WORKLOADS, Comparison, Metric

CPU_KEY = "server_cpu_ns_per_msg"
Ratios = dict[str, dict[str, Ratio]]
"""By workload, then by server."""


def measure(job: Job, plan: Plan) -> Data:
    """Runs a plan; adds what a reader of the file needs."""
    results = Bench(plan, job.place).run()
    return {
        "rounds": plan.rounds,
        "secs": plan.secs,
        "texts": {name: plan.servers[name].text for name in results.runs},
        **dataclasses.asdict(results),
    }


def results_of(data: Data) -> Results:
    """The runs in a file."""
    return Results(data["runs"], data["left_out"], data["load"])


def conditions(data: Data) -> str:
    """How it was measured."""
    load = sorted(data["load"]) or [0.0]
    rounds = f"{data['rounds']} round{'s' if data['rounds'] > 1 else ''}"
    return f"{rounds} of {data['secs']:g} s, load average {load[len(load) // 2]:.1f}"


def failures(data: Data) -> str:
    """Who is missing, and why."""
    left_out = [f"{name}: {why}" for name, why in data["left_out"].items()]
    return paragraphs(bullets("Left out", left_out), bullets("Errors", results_of(data).errors()))


@dataclass(frozen=True)
class Compared:
    """A comparison, run and told."""

    about: Comparison

    @property
    def title(self) -> str:
        """For a reader."""
        return self.about.title

    def run(self, job: Job) -> Data:
        """Measures each of the servers in each of the workloads."""
        workloads = job.chosen(self.about.workloads)
        baselines = {w: job.baseline or self.about.baselines[w] for w in workloads}
        names = dict.fromkeys((*self.about.servers, *baselines.values(), *job.added))
        pairs: dict[str, set[str]] = {w: set() for w in workloads}
        for w, name in itertools.product(workloads, names):
            is_fit = not (job.servers[name].tcp and WORKLOADS[w].needs_frames)
            if is_fit and (name == baselines[w] or job.keeps(name)):
                pairs[w].add(name)
        rounds = min(job.rounds, self.about.rounds)
        plan = Plan(self.title, job.servers, pairs, rounds, job.secs, job.warmup, job.seed)
        return measure(job, plan) | {"baselines": baselines, "cores": os.cpu_count()}

    def _ratios(self, data: Data) -> Ratios:
        results = results_of(data)
        found: Ratios = {}
        for workload, baseline in data["baselines"].items():
            base = results.get(baseline, workload)
            for server in self._servers(data):
                one = ratio(results.get(server, workload), base, WORKLOADS[workload].metric.key)
                if one:
                    found.setdefault(workload, {})[server] = one
        return found

    def _servers(self, data: Data) -> list[str]:
        """In the order of the list of all servers."""
        order = dict.fromkeys((*SERVERS, *data["runs"]))
        return [name for name in order if name in data["runs"]]

    def _note(self, data: Data) -> str:
        if self.about.cores > 1 and data["cores"] < self.about.cores + 2:
            return (
                f"With only {data['cores']} cores at hand the workers share one; four are needed to see what they "
                "gain.\n"
            )
        return ""

    def _measured(self, data: Data) -> str:
        """What the figures are, and to what they are compared."""
        shorts: dict[str, list[str]] = {}
        for workload, baseline in data["baselines"].items():
            shorts.setdefault(data["texts"].get(baseline, baseline), []).append(WORKLOADS[workload].short)
        first, *others = shorts
        metric = WORKLOADS[next(iter(data["baselines"]))].metric
        also = (f", for {' and '.join(shorts[other])} that of {other}" for other in others)
        return f"{metric.title} ÷ that of {first}{''.join(also)}"

    def brief(self, data: Data) -> str:
        """Ratios; in the baseline's own cells its figure."""
        found = self._ratios(data)
        if not found:
            return failures(data)
        results = results_of(data)

        def cell(server: str, workload: str) -> str:
            metric = WORKLOADS[workload].metric
            if data["baselines"][workload] != server:
                return ratio_text(found[workload].get(server))
            figure = number(median(results.get(server, workload), metric.key), metric.scale)
            return f"1 = {figure} {metric.unit}"

        def extra(server: str, workload: str, metric: Metric) -> str:
            return number(median(results.get(server, workload), metric.key), metric.scale)

        columns = [(w, metric) for w in found for metric in self.about.extra]
        one = len(found) == 1
        head = [
            "server",
            *(WORKLOADS[w].short for w in found),
            *(f"{'' if one else WORKLOADS[w].short + ': '}{m.head}" for w, m in columns),
        ]
        rows = [
            [data["texts"][s], *(cell(s, w) for w in found), *(extra(s, w, m) for w, m in columns)]
            for s in self._servers(data)
            if any(s in of_workload for of_workload in found.values())
        ]
        return paragraphs(
            f"{self._measured(data)} ({conditions(data)}):\n", table(head, rows), self._note(data), failures(data)
        )

    def text(self, data: Data) -> str:
        """The ratios, and all figures."""
        results = results_of(data)
        legend = [f"{w}: {WORKLOADS[w].text}" for w in data["baselines"]]
        head = [
            "server",
            "load",
            "CPU, ns",
            "spread, %",
            "server busy, %",
            "generator busy, %",
            "1/s",
            "p50, µs",
            "p99, µs",
        ]
        rows = []
        for workload in data["baselines"]:
            for server in self._servers(data):
                runs = results.get(server, workload)
                if WORKLOADS[workload].idle or not values(runs, CPU_KEY):
                    continue
                scales = {"server_busy": 100, "gen_busy": 100, "msgs_per_s": 1, "p50_us": 1, "p99_us": 1}
                rows.append(
                    [
                        server,
                        workload,
                        number(median(runs, CPU_KEY)),
                        number(spread(runs, CPU_KEY), 100),
                        *(number(median(runs, key), scale) for key, scale in scales.items()),
                    ]
                )
        ciphers = sorted(
            {
                f"{server}: {run['cipher']}"
                for server in data["runs"]
                for runs in data["runs"][server].values()
                for run in runs
                if "cipher" in run
            }
        )
        return paragraphs(
            bullets("Workloads", legend),
            self.brief(data),
            table(head, rows) if rows else "",
            bullets("Cipher suites", ciphers),
        )

    def panels(self, data: Data) -> list[Panel]:
        """Bars, workload by workload."""
        return [
            bars(
                f"{self.title}: {WORKLOADS[workload].short}",
                f"{WORKLOADS[workload].metric.title} ÷ {data['baselines'][workload]}, lower is better",
                found,
            )
            for workload, found in self._ratios(data).items()
        ]
