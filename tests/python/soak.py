"""Hours of use in minutes: a program, not a test.

    soak.py [--minutes 10] [--clients 50] [--seed 1]

Two servers run in this process: one whose binary messages are echoed natively, one where callbacks get everything. In
another process clients connect, send, leave in order or abort, and come again. Each message says what its callback is
to do: echo, replace, suppress, raise, sleep, send, flush, close, abort, or have another thread send, broadcast, close
or abort. So the client knows what has to come back, and in which order, and every message is accounted for:

- a connection that ends in order begins its end with a "fence", whose answer says how many calls and sends there were;
- a connection that was closed by a callback has got all the answers before that;
- what a lost connection takes with it is counted as lost, if somebody has closed or aborted it indeed;
- every exception that was raised is given to on_error, and no other.

Time is divided into rounds. After each, all clients are gone, and so have to be their threads, descriptors, objects and
charged memory; the process's memory must not grow from round to round. Prints a summary; the status is 1 after any
discrepancy.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

from echoserver import Client, ClientClosed
from footprint import descriptors, resident, threads, trim
from soak_clients import Ledger, clients
from soak_plan import (
    PATIENCE,
    PlannedError,
)
from soak_server import Server
from support import TIMEOUT

FIRST_WARM_SHARE, GROWTH = 0.3, 3 * 2**20
ROUND = 20.0


class Soak:
    """The servers, the threads that work for them, and what was found."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.reported: Counter[str] = Counter()
        self.total = Ledger()
        self.tasks: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self.memory: list[int] = []
        self.state: dict[str, int] | None = None
        self.helpers = [threading.Thread(target=self.help, name=f"helper-{index}") for index in range(3)]
        for helper in self.helpers:
            helper.start()
        self.servers = [Server(self, 0, has_binary=False), Server(self, 1, has_binary=True)]
        for server in self.servers:
            server.echo.start()

    def report(self, _client: Client | None, error: BaseException) -> None:
        if isinstance(error, PlannedError):
            self.reported["raise"] += 1
        elif isinstance(error, TypeError) and "returned int, not" in str(error):
            self.reported["wrong"] += 1
        else:
            self.wrong.append(f"reported {type(error).__name__}: {error}")

    def later(self, *task: Any) -> None:
        """Has another thread do it."""
        self.tasks.put(task)

    def help(self) -> None:
        while task := self.tasks.get():
            try:
                task[0](*task[1:])
            except ClientClosed:
                pass
            except Exception as error:  # Whatever it is, it is a discrepancy.
                self.wrong.append(f"in a thread: {type(error).__name__}: {error}")
            # Not kept until the next one: it has a client.
            del task

    def round(self, count: int, seconds: float, seed: int) -> None:
        """The clients of one round come and go; then nothing of them is left."""
        urls = [server.echo.url for server in self.servers]
        command = [sys.executable, __file__, "--urls", *urls, "--clients", str(count), "--seed", str(seed)]
        result = subprocess.run(
            [*command, "--minutes", str(seconds / 60)],
            stdout=subprocess.PIPE,
            timeout=seconds + 4 * PATIENCE,
            check=True,
        )
        told = json.loads(result.stdout)
        self.total.messages.update(told["messages"])
        self.total.connections.update(told["connections"])
        self.total.extra.update(told["extra"])
        self.wrong.extend(told["wrong"])
        for index, client in told["aborted"]:
            if client not in self.servers[index].aborted:
                self.wrong.append(f"server {index}, client {client}: lost, but nobody aborted it")
        deadline = time.monotonic() + PATIENCE
        while not all(map(is_quiet, self.servers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.check()

    def check(self) -> None:
        """What has to be true between two rounds."""
        for server in self.servers:
            stats, counts = server.echo.stats(), server.counts
            facts = {
                "clients": (len(server.echo.clients), 0),
                "disconnects": (counts["disconnects"], counts["connects"]),
                "clients_closed": (stats.clients_closed, stats.clients_opened),
                "on_connect calls": (counts["connects"], stats.clients_opened),
                "memory_used": (stats.memory_used, 0),
                "violations": (stats.violations, 0),
            }
            self.wrong += [
                f"server {server.index}: {what}: {have}, not {want}"
                for what, (have, want) in facts.items()
                if have != want
            ]
            server.aborted.clear()
        unheard = [received - calls for server in self.servers for received, calls in server.heard()]
        lost = sum(count for outcome, count in self.total.messages.items() if outcome.startswith("lost"))
        # Once a callback has closed a client, what that has sent behind is not for callbacks; its client knows it lost.
        if min(unheard) < 0 or sum(unheard) > lost:
            self.wrong.append(f"messages that were received and not heard of: {unheard}, lost: {lost}")
        errors = sum(server.echo.stats().callback_errors for server in self.servers)
        raised = sum(server.counts["raised"] for server in self.servers)
        if errors != self.reported.total() or raised != self.reported["raise"]:
            self.wrong.append(f"{raised} raised, {errors} counted, reported: {dict(self.reported)}")
        gc.collect()
        state = {
            "threads": threads(),
            "descriptors": descriptors(),
            "Client objects": sum(isinstance(one, Client) for one in gc.get_objects()),
        }
        # In the first round the event loops' and logging's own come into being.
        self.state = self.state or state
        if state != self.state or state["Client objects"]:
            self.wrong.append(f"left after a round: {state}, before it: {self.state}")
        trim()
        self.memory.append(resident())

    def growth(self) -> float:
        """Bytes by which the memory after a round grew, from the time when it was warm to the end."""
        warm = self.memory[int(len(self.memory) * FIRST_WARM_SHARE) :]
        third = max(1, len(warm) // 3)
        return statistics.median(warm[-third:]) - statistics.median(warm[:third])

    def end(self) -> None:
        """Stops all and looks at the whole."""
        for server in self.servers:
            server.echo.stop()
            if server.counts["closed"] != 1:
                self.wrong.append(f"server {server.index}: on_closed {server.counts['closed']} times")
        for _ in self.helpers:
            self.tasks.put(None)
        for helper in self.helpers:
            helper.join(TIMEOUT)
        messages = self.total.messages.copy()
        if messages.pop("sent") != messages.total():
            self.wrong.append(f"sent messages are not the sum of their outcomes: {dict(self.total.messages)}")
        if len(self.memory) > 5 and self.growth() > GROWTH:
            self.wrong.append(f"memory grew by {self.growth() / 2**20:.1f} MiB")

    def summary(self, seconds: float) -> None:
        """Prints the figures."""
        for title, counter in (
            ("messages", self.total.messages),
            ("connections, ended", self.total.connections),
            ("sent unasked (s: from threads; t, c: broadcasts from threads, callbacks)", self.total.extra),
            ("given to on_error", self.reported),
        ):
            print(f"\n{title}:")
            for name, count in counter.most_common():
                print(f"  {count:10,}  {name}")
        print(f"\nafter each round: {self.state}")
        print("memory after each round, MiB:", *(f"{size / 2**20:.1f}" for size in self.memory))
        print(f"growth once warm: {self.growth() / 2**20:+.2f} MiB (limit {GROWTH / 2**20:g})")
        print(f"{seconds / 60:.1f} minutes, {len(self.memory)} rounds, {len(self.wrong)} discrepancies")
        for what in self.wrong[:50]:
            print(f"  WRONG: {what}")


def is_quiet(server: Server) -> bool:
    stats = server.echo.stats()
    return server.counts["disconnects"] == stats.clients_opened and not server.soak.tasks.qsize()


def main() -> int:
    """Runs the soak, or the clients of one round of it; the status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--urls", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    seconds = options.minutes * 60
    if options.urls:
        ledger = asyncio.run(clients(options.urls, options.clients, seconds, options.seed))
        print(json.dumps(vars(ledger)))
        return 0
    soak = Soak()
    begun = time.monotonic()
    seed = options.seed
    while (left := begun + seconds - time.monotonic()) > 0 and len(soak.wrong) < 1000:
        soak.round(options.clients, min(ROUND, left), seed)
        seed += 1
        print(
            f"round {len(soak.memory)}: {soak.total.messages['sent']:,} messages, {len(soak.wrong)} wrong", flush=True
        )
    soak.end()
    soak.summary(time.monotonic() - begun)
    return int(bool(soak.wrong))


if __name__ == "__main__":
    sys.exit(main())
