"""How cost grows with work: in proportion, or faster? Each curve's exponent is a number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .chart import Panel, Points, lines
from .compare import CPU_KEY, conditions, failures, measure, results_of
from .job import Data, Job
from .report import number, paragraphs, table
from .rounds import Plan
from .stats import median
from .workloads import CURVES, Curve

SERVERS = ("echoserver", "uwebsockets")
ROUNDS = 3


def slope(points: Points) -> float:
    """The exponent of the power that fits best: least squares on logarithms."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    deviation = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / deviation


def upper_half(points: Points) -> Points:
    """The larger amounts, where what they cost outweighs what a message costs anyway."""
    return points[len(points) // 2 :]


def steepest(points: Points) -> float:
    """The greatest exponent between an amount and one at least four times as large."""
    return max(slope([one, other]) for one in points for other in points if other[0] >= 4 * one[0])


@dataclass(frozen=True)
class Fit:
    """A server's curve."""

    server: str
    points: Sequence[tuple[int, float]]
    """Amount of work and its cost in ns."""

    def row(self, curve: Curve) -> list[str]:
        """For the table of exponents."""
        (low, first), (high, last) = self.points[0], self.points[-1]
        return [
            curve.title,
            self.server,
            f"{low:,} to {high:,} {curve.amount}",
            number(first, 1e-3),
            number(last, 1e-3),
            f"{slope(upper_half(self.points)):.2f}",
            f"{steepest(self.points):.2f}",
        ]


def fits(data: Data, curve: Curve) -> list[Fit]:
    """What was measured of a curve."""
    results = results_of(data)
    found = []
    for server in data["runs"]:
        points = []
        for n in curve.points:
            cost = median(results.get(server, curve.workload(n)), CPU_KEY)
            if cost:
                points.append((n, cost * curve.messages(n)))
        if len(points) > 2:
            found.append(Fit(server, points))
    return found


class Curves:
    """All curves, of our server and of the fastest peer."""

    title = "How cost grows with work"

    def run(self, job: Job) -> Data:
        """Measures every point."""
        names = {name for name in (*SERVERS, *job.added) if job.keeps(name)}
        workloads = job.chosen(curve.workload(n) for curve in CURVES for n in curve.points)
        pairs = dict.fromkeys(workloads, names)
        rounds = min(job.rounds, ROUNDS)
        return measure(job, Plan(self.title, job.servers, pairs, rounds, job.secs, job.warmup, job.seed))

    def brief(self, data: Data) -> str:
        """The exponents."""
        head = ["server CPU", "server", "from … to", "first, µs", "last, µs", "exponent", "steepest"]
        rows = [fit.row(curve) for curve in CURVES for fit in fits(data, curve)]
        about = (
            "1 is in proportion, 2 would be quadratic. The exponent is fitted to the upper half of the amounts; the "
            "steepest is that between any amount and one at least four times as large "
            f"({conditions(data)}).\n"
        )
        return paragraphs(about, table(head, rows), failures(data))

    def text(self, data: Data) -> str:
        """The exponents, and every point."""
        parts = []
        for curve in CURVES:
            found = {fit.server: dict(fit.points) for fit in fits(data, curve)}
            if found:
                head = [
                    curve.amount,
                    *(f"{server}, µs" for server in found),
                    *(f"{server}, ns each" for server in found),
                ]
                rows = [
                    [
                        f"{n:,}",
                        *(number(points.get(n), 1e-3) for points in found.values()),
                        *(number(points.get(n), 1 / n) for points in found.values()),
                    ]
                    for n in curve.points
                ]
                parts.append(f"{curve.title}:\n\n{table(head, rows)}")
        return paragraphs(self.brief(data), *parts)

    def panels(self, data: Data) -> list[Panel]:
        """A panel for each curve."""
        return [
            lines(
                curve.title,
                f"server CPU, µs, by {curve.amount}; the dashed line is in proportion",
                {fit.server: [(n, cost / 1000) for n, cost in fit.points] for fit in found},
            )
            for curve in CURVES
            if (found := fits(data, curve))
        ]
