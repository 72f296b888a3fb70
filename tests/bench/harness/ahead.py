"""Where somebody else is ahead of echoserver, in words."""

from collections.abc import Iterator
from dataclasses import dataclass

from .job import Data
from .report import bullets, paragraphs, ratio_text
from .rounds import Results
from .servers import SERVERS
from .stats import Ratio, ratio
from .workloads import COMPARISONS, WORKLOADS, Comparison

OURS = "echoserver"
ABOUT = (
    "What somebody takes ÷ what echoserver takes in the same round, with 95 % intervals. The limits, which do less "
    "than a server has to, are nobody.\n"
)


@dataclass(frozen=True)
class Match:
    """One of ours and somebody else, in one workload."""

    title: str
    workload: str
    ours: str
    theirs: str
    found: Ratio
    """Their figure over ours: below 1 they are ahead."""

    @property
    def is_lost(self) -> bool:
        """Whether they are ahead in the whole interval."""
        return self.found.high < 1

    @property
    def is_open(self) -> bool:
        """Whether they are ahead in the median, and not in the whole interval."""
        return self.found.value < 1 <= self.found.high

    @property
    def words(self) -> str:
        """For a reader."""
        one = WORKLOADS[self.workload]
        return (
            f"{self.title} ({one.short}): {self.theirs} takes {ratio_text(self.found)} of the {one.metric.title} of "
            f"{self.ours}"
        )


def _rivals(about: Comparison, runs: dict[str, Data]) -> dict[str, tuple[str, ...]]:
    """By each of ours, the others that it is compared with."""
    if about.rivals:
        return about.rivals
    ours = [name for name in runs if name.startswith(OURS)]
    limits = {name for name, spec in SERVERS.items() if spec.limit}
    others = tuple(name for name in runs if name not in limits and name not in ours)
    return dict.fromkeys(ours, others)


def matches(name: str, data: Data) -> Iterator[Match]:
    """All that a set that compares servers has; of other sets none."""
    about = COMPARISONS.get(name)
    if not about:
        return
    results, texts = Results(data["runs"]), data["texts"]
    rivals = _rivals(about, data["runs"])
    for workload in data["baselines"]:
        for ours, others in rivals.items():
            for other in others:
                key = WORKLOADS[workload].metric.key
                found = ratio(results.get(other, workload), results.get(ours, workload), key)
                if found:
                    yield Match(about.title, workload, texts[ours], texts[other], found)


def told(sets: dict[str, Data]) -> str:
    """Where somebody else is ahead in these sets, and that nobody is; nothing if nobody was compared."""
    found = [match for name, data in sets.items() for match in matches(name, data)]
    if not found:
        return ""
    lost = [match.words for match in found if match.is_lost]
    open_ = [match.words for match in found if match.is_open]
    verdict = bullets("Somebody else is ahead", lost) if lost else "Nobody else is ahead.\n"
    near = bullets("In the median somebody else is ahead, but 1 is in the interval", open_)
    count = f"{len(found)} pairs were compared.\n"
    return paragraphs("**Where somebody else is ahead of echoserver**\n", ABOUT, verdict, near, count)
