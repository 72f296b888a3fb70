"""All faults by chance on 50 clients at once: a program, not a test.

    fault_soak.py [SECONDS] [SEED]

Each client has one conversation after the other, with a fault of its own by chance, sometimes a slow line besides, half
of them compressed, half of the clients over TLS. What has to come is known before, so every message is accounted for
(`fault_talks.py`). Time is divided into rounds: after each all clients are gone, and so have to be their descriptors
and threads, and what was charged for them. The memory of the process may not grow: the slope over the rounds is zero
within what it varies by. The status is 1 otherwise.
"""

from __future__ import annotations

import gc
import itertools
import random
import statistics
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import surroundings
from echoserver.testing import EchoTestServer, Fault
from fault_talks import KINDS, Ledger, talk
from footprint import descriptors, resident, threads, trim
from support import eventually, in_thread

CLIENTS = 50
# Short, so that there are some in a minute.
ROUND = 2.0
# The first rounds fill caches.
WARM = 0.25
# What no slope is called that makes less of a difference, in bytes.
GROWTH = 3 * 2**20
OPTIONS: dict[str, Any] = {"subprotocols": ["b"], "compression": "deflate", "record": None}


class Server(EchoTestServer):
    """One that does not keep the faults that are over."""

    def _note_fault(self, fault: Fault) -> None:
        pass


@dataclass
class Soak:
    """What was found."""

    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    wrong: list[str] = field(default_factory=list)
    # When, and bytes of memory.
    memory: list[tuple[float, int]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def run(self, seconds: float) -> None:
        """Rounds, until the time is over or something is wrong."""
        with Server(seed=self.seed, **OPTIONS) as plain, Server(seed=self.seed, tls="self-signed", **OPTIONS) as tls:
            begun, state = time.monotonic(), None
            while not self.wrong and (now := time.monotonic()) < begun + seconds:
                self.round(plain, tls, now + ROUND)
                for server in (plain, tls):
                    _settle(server)
                gc.collect()
                trim()
                state = state or _state()
                _settle_at(state)
                self.memory.append((time.monotonic(), resident()))

    def round(self, plain: Server, tls: Server, until: float) -> None:
        """All clients, one conversation after the other."""
        context = tls.ssl_context()

        def client(index: int) -> None:
            server = tls if index % 2 else plain
            while time.monotonic() < until and not self.wrong:
                number = next(self.numbers)
                try:
                    chance = random.Random(f"{self.seed} {number}")
                    talk(server, number, chance, context if index % 2 else None, self.ledger)
                except Exception:  # Whatever it is, it is told.
                    self.wrong.append(f"conversation {number} of seed {self.seed}:\n{traceback.format_exc()}")

        clients = [in_thread(client, index) for index in range(CLIENTS)]
        for one in clients:
            one.join()

    def slope(self) -> tuple[float, float]:
        """Bytes of memory that it grows by in a second, and the error of that."""
        samples = self.memory[int(len(self.memory) * WARM) :]
        times, sizes = [time for time, _ in samples], [float(size) for _, size in samples]
        slope, start = statistics.linear_regression(times, sizes)
        rest = [size - start - slope * time for time, size in samples]
        spread = sum((time - statistics.fmean(times)) ** 2 for time in times)
        return slope, (sum(one * one for one in rest) / (len(rest) - 2) / spread) ** 0.5

    def grows(self) -> bool:
        """Whether that is a slope at all, and one that makes a difference."""
        slope, error = self.slope()
        return slope > 3 * error and slope * (self.memory[-1][0] - self.memory[0][0]) > GROWTH


def _settle(server: Server) -> None:
    eventually(lambda: server.client_count == 0, "the end of all clients")
    eventually(lambda: server.stats().memory_used == 0, "the end of all charges")


def _settle_at(state: tuple[int, int]) -> None:
    eventually(lambda: _state() == state, f"{state} descriptors and threads")


def _state() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    return descriptors(), threads()


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
        slope, error = soak.slope()
        sizes = [size / 2**20 for _, size in soak.memory]
        print(f"memory {sizes[0]:.1f} to {sizes[-1]:.1f} MiB in {len(sizes)} rounds: {slope:.0f} ± {error:.0f} B/s")
        print(f"descriptors and threads: {_state()} after, as after the first round; nothing charged")
        if soak.grows():
            sys.exit("memory grows")
        if missing := [name for name in KINDS if not hits[name]]:
            sys.exit(f"these have never acted: {missing}")


if __name__ == "__main__":
    main()
