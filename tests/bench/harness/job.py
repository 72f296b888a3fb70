"""What was asked for, and what every set of measurements offers."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from .chart import Panel
from .servers import SERVERS, Place, Spec

Data = dict[str, Any]
"""What a set found, as it stands in its JSON file."""


@dataclass(frozen=True)
class Job:
    """The command line."""

    place: Place
    only: tuple[str, ...]
    """Patterns of servers' names."""
    added: dict[str, Spec]
    """Servers that only this command line knows."""
    workloads: frozenset[str]
    """Empty: all."""
    baseline: str | None
    rounds: int
    secs: float
    warmup: float
    seed: int

    @property
    def servers(self) -> dict[str, Spec]:
        """All there are."""
        return SERVERS | self.added

    def keeps(self, server: str) -> bool:
        """Whether a server is wanted."""
        return server in self.added or any(fnmatch.fnmatchcase(server, p) for p in self.only)

    def chosen(self, workloads: Iterable[str]) -> list[str]:
        """Those of them that are wanted."""
        return [name for name in workloads if not self.workloads or name in self.workloads]


class Set(Protocol):
    """Measurements that belong together, run on their own and kept in a file of their own."""

    @property
    def title(self) -> str:
        """For a reader."""

    def run(self, job: Job) -> Data:
        """Measures."""

    def text(self, data: Data) -> str:
        """All of it, as markdown."""

    def brief(self, data: Data) -> str:
        """What docs/performance.md shows."""

    def panels(self, data: Data) -> list[Panel]:
        """The picture."""
