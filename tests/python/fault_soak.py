"""All faults by chance on 50 clients at once: a program, not a test.

    fault_soak.py [SECONDS] [SEED]

Each client has one conversation after the other, with a fault of its own by chance, sometimes a slow line besides, half
of them compressed, half of the clients over TLS. What has to come is known before, so every message is accounted for
(`fault_talks.py`). The servers have a process of their own, which alone is measured. Time is divided into rounds: after
each all clients are gone, and so have to be their descriptors and threads, and what was charged for them. Memory may
not grow: the slope of what is in use is zero within what it varies by, over the second half of the rounds, since caches
fill in the first. What is resident is told besides: that is with what the allocator keeps. The status is 1 otherwise.
"""

from __future__ import annotations

import itertools
import random
import statistics
import sys
import time
import traceback
from dataclasses import dataclass, field

import surroundings
from fault_talks import KINDS, Ledger, talk
from served_apart import Apart
from support import eventually, in_thread

CLIENTS = 50
# Short, so that there are some in a minute.
ROUND = 2.0
# The first rounds fill caches.
WARM = 0.5
# What no slope is called that makes less of a difference over the rounds that count, in bytes.
GROWTH = 64 * 2**10


@dataclass
class Soak:
    """What was found."""

    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    wrong: list[str] = field(default_factory=list)
    # When, bytes in use, and resident ones.
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    # Descriptors and threads.
    state: tuple[int, int] = (0, 0)

    def run(self, seconds: float) -> None:
        """Rounds, until the time is over or something is wrong."""
        with Apart(self.seed) as apart:
            begun, first = time.monotonic(), None
            while not self.wrong and (now := time.monotonic()) < begun + seconds:
                self.round(apart, now + ROUND)
                first = first or self.settled(apart, None)
                found = self.settled(apart, first)
                self.memory.append((time.monotonic(), found["used"], found["resident"]))

    def round(self, apart: Apart, until: float) -> None:
        """All clients, one conversation after the other."""
        servers = [apart.servers["plain"], apart.servers["tls"]]
        contexts = [server.context() for server in servers]

        def client(index: int) -> None:
            server, context = servers[index % 2], contexts[index % 2]
            while time.monotonic() < until and not self.wrong:
                number = next(self.numbers)
                try:
                    talk(server, number, random.Random(f"{self.seed} {number}"), context, self.ledger)
                except Exception:  # Whatever it is, it is told.
                    self.wrong.append(f"conversation {number} of seed {self.seed}:\n{traceback.format_exc()}")

        clients = [in_thread(client, index) for index in range(CLIENTS)]
        for one in clients:
            one.join()

    def settled(self, apart: Apart, first: dict[str, int] | None) -> dict[str, int]:
        """What the process of the servers has when all clients are gone: no more than after the first round."""
        found: dict[str, int] = {}

        def is_settled() -> bool:
            found.update(apart.measured())
            self.state = (found["descriptors"], found["threads"])
            is_over = found["clients"] == found["charged"] == 0
            return is_over and (first is None or self.state == (first["descriptors"], first["threads"]))

        eventually(is_settled, f"the end of all clients and charges, and {first or 'whatever else there is'}")
        return found

    def slope(self, which: int = 1) -> tuple[float, float]:
        """Bytes of memory that it grows by in a second, and the error of that; `which`: in use (1) or resident (2)."""
        samples = self.memory[int(len(self.memory) * WARM) :]
        times, sizes = [sample[0] for sample in samples], [float(sample[which]) for sample in samples]
        slope, start = statistics.linear_regression(times, sizes)
        rest = [size - start - slope * time for time, size in zip(times, sizes, strict=True)]
        spread = sum((time - statistics.fmean(times)) ** 2 for time in times)
        return slope, (sum(one * one for one in rest) / (len(rest) - 2) / spread) ** 0.5

    def grows(self) -> bool:
        """Whether what is in use has a slope at all, and one that makes a difference."""
        slope, error = self.slope()
        counted = self.memory[-1][0] - self.memory[int(len(self.memory) * WARM)][0]
        return slope > 3 * error and slope * counted > GROWTH


def main() -> None:
    """Prints what was found."""
    surroundings.reset()
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    soak = Soak(int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().getrandbits(32))
    soak.run(seconds)
    messages, hits = soak.ledger.messages, soak.ledger.hits
    print(f"seed {soak.seed}: {next(soak.numbers)} conversations, {messages['sent']} messages, {messages['come']} came")
    print(", ".join(f"{name} {hits[name]}" for name in KINDS))
    if soak.wrong:
        sys.exit(soak.wrong[0])
    if len(soak.memory) > 8:
        for which, name in ((1, "in use"), (2, "resident")):
            slope, error = soak.slope(which)
            sizes = [sample[which] / 2**20 for sample in soak.memory]
            print(
                f"memory {name}: {sizes[0]:.2f}, {sizes[len(sizes) // 2]:.2f}, {sizes[-1]:.2f} MiB "
                f"first, halfway and last of {len(sizes)} rounds; {slope:.0f} ± {error:.0f} B/s in the second half"
            )
        print(f"descriptors and threads: {soak.state} after, as after the first round; nothing charged")
        if soak.grows():
            sys.exit("memory grows")
        if missing := [name for name in KINDS if not hits[name]]:
            sys.exit(f"these have never acted: {missing}")


if __name__ == "__main__":
    main()
