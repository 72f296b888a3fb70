"""Medians, spreads, and ratios with their intervals."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Run = dict[str, Any]
"""What the generator printed, with the number of the round."""

RESAMPLES = 4000


def values(runs: Sequence[Run], key: str) -> list[float]:
    """The numbers of the runs that have one."""
    return [run[key] for run in runs if key in run]


def median(runs: Sequence[Run], key: str) -> float | None:
    """The median over the rounds."""
    found = values(runs, key)
    return statistics.median(found) if found else None


def spread(runs: Sequence[Run], key: str) -> float | None:
    """The range over the rounds as a part of the median."""
    found = values(runs, key)
    middle = statistics.median(found) if len(found) > 1 else 0
    return (max(found) - min(found)) / middle if middle else None


@dataclass(frozen=True)
class Ratio:
    """A server's number over the baseline's, and the 95 % interval of that."""

    value: float
    low: float
    high: float


def ratio(runs: Sequence[Run], baseline: Sequence[Run], key: str) -> Ratio | None:
    """The median of the rounds' own ratios; its interval by bootstrap over the rounds.

    Both numbers of a ratio are of one round, minutes apart at most, so that what slows the whole
    machine for a while falls out.
    """
    of_baseline = {run["round"]: run[key] for run in baseline if run.get(key)}
    ratios = [run[key] / of_baseline[run["round"]] for run in runs if key in run and run["round"] in of_baseline]
    if not ratios:
        return None
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low, high = medians[RESAMPLES // 40], medians[-1 - RESAMPLES // 40]
    return Ratio(statistics.median(ratios), low, high)
