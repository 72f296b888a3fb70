"""Everybody may ask for faults by URL: what others have of it. A program, not a test.

    fault_attack.py [--minutes 60] [--attackers 40] [--seed 1]

`python -m echoserver` serves in a process of its own, with little memory. Attackers connect, each time with another
URL, made by chance from the table of faults, right or wrong or beyond limits, send whole and half frames, read or do
not, and leave in order, with a reset, or by saying nothing more. Meanwhile other clients, one after the other, have
their messages echoed. What is looked at: each of those comes back, and how long that takes; the server's memory,
descriptors and threads, which must not grow; that all is given back when the attackers are gone; and that it ends when
it is asked to, with clients of every kind connected. Prints a line a minute; the status is 1 after any discrepancy.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from urllib.parse import quote

from echoserver._core import FAULTS, violations
from footprint import descriptors, resident, threads
from support import RawClient, finished, first_line, frame, port_of

MEMORY = 64 << 20
# Of the resident memory: what the allocator keeps differs by that much.
GROWTH = 16 << 20
# Seconds for an echo, on a busy machine. A worker that somebody else keeps has none for a minute.
PATIENCE = 20.0
WORKERS = 2
# What the program says on stderr.
USUAL = re.compile(r"echoserver: (listening on|request of \S+ refused:|\d+ more were refused|waiting up to)")
VALUES = ["0", "1", "2", "7", "64", "1000", "1011", "4000", "100ms", "0.5", "2s", "text", "%C3%A9", "x" * 100]
ODD = [
    "",
    "-1",
    "1e308",
    "nan",
    "99999999999999999999",
    "61s",
    "11min",
    "%",
    "%00",
    "%ff",
    "a%0D%0Ab",
    "+",
    ",",
    ":",
    "==",
]
KEYS = ["after", "every", "probability", "times", "path", "nothing"]


def query(chance: random.Random) -> str:
    """Faults as an attacker asks for them; about half of them are right."""
    odd = chance.random() < 0.3
    parts = []
    for _ in range(chance.choice([1, 1, 1, 2, 3, 20 if odd else 4])):
        row = chance.choice(FAULTS)
        part = row["name"]
        if row["parameters"]:
            value = chance.choice(ODD if odd and chance.random() < 0.5 else VALUES)
            if row["name"] == "violate":
                value = quote(chance.choice(list(violations())))
            if row["name"] == "status":
                value = chance.choice(["429", "503", "200"])
            part += f"={value}"
        for parameter in row["parameters"][1:]:
            if chance.random() < 0.3:
                value = chance.choice(["in", "both", "out"] if parameter["name"] == "direction" else VALUES)
                part += f",{parameter['name']}:{value}"
        for selector in row["selectors"]:
            if selector != "client" and chance.random() < 0.1:
                part += f",{selector}:{chance.choice(VALUES[:5])}"
        if odd and chance.random() < 0.2:
            part += f",{chance.choice(KEYS)}:{chance.choice(ODD)}"
        parts.append(part)
    return "&".join([*parts, *chance.choices(["", "info", "seed=7"], k=1)])


class Attack:
    """One server, those who attack it, and what was found."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.seed = seed
        self.over = threading.Event()
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.taken: list[float] = []

    def attack(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")
        while not self.over.is_set():
            with contextlib.suppress(OSError, EOFError, AssertionError, ValueError, IndexError):
                self.visit(chance)

    def visit(self, chance: random.Random) -> None:
        """One connection of an attacker's."""
        raw = RawClient(self.port, path=f"/faults?{query(chance)}", receive_buffer=chance.choice([None, 4096]))
        raw.socket.settimeout(chance.choice([0.05, 0.5, 2]))
        try:
            status = raw.status()
            self.answers[str(status)] += 1
            if status != 101:
                return
            for _ in range(chance.randrange(8)):
                size = chance.choice([0, 10, 125, 1000, 100_000, 1_000_000])
                message = frame(chance.choice([1, 2, 2, 9, 10]) if size < 126 else 2, bytes(size))
                cut = chance.choice([len(message), len(message), chance.randrange(len(message))])
                raw.socket.sendall(message[:cut])
                if chance.random() < 0.5:
                    raw.socket.recv(chance.choice([1, 1000, 1 << 20]))
                if cut < len(message):
                    break
            if chance.random() < 0.3:
                raw.send(8, b"\x03\xe8")
            if chance.random() < 0.5:
                # On a slow line there may be something for days.
                while not self.over.is_set() and raw.socket.recv(1 << 16):
                    pass
        except TimeoutError:
            self.answers["silence"] += 1
        finally:
            if chance.random() < 0.5:
                raw.reset_at_close()
            raw.close()

    def use(self) -> None:
        """What others have of the server: one client after the other."""
        chance = random.Random(self.seed)
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                with RawClient(self.port).opened() as raw:
                    raw.socket.settimeout(PATIENCE)
                    for _ in range(5):
                        message = chance.randbytes(chance.choice([1, 125, 5000]))
                        asked = time.monotonic()
                        raw.send(2, message)
                        if raw.receive() != (2, message):
                            self.wrong.append("an echo differs")
                        self.taken.append(time.monotonic() - asked)
            except (OSError, EOFError, AssertionError) as error:
                self.wrong.append(f"a client that asks for nothing, after {time.monotonic() - begun:.1f} s: {error!r}")
            self.over.wait(0.02)


def measured(process: int) -> dict[str, int]:
    """What the server's process has."""
    return {"memory": resident(process), "descriptors": descriptors(process), "threads": threads(process)}


def main() -> int:
    """Attacks for as long as it is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--attackers", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    command = [sys.executable, "-m", "echoserver", "--port", "0", "--host", "127.0.0.1", "--workers", str(WORKERS)]
    command += ["--memory-limit", str(MEMORY), "--close-timeout", "2"]
    # A file: nobody reads a pipe until the end.
    log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # As long as the program runs.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    attack = Attack(port_of(first_line(process).split()[-1]), options.seed)
    before = measured(process.pid)
    attackers = [threading.Thread(target=attack.attack, args=(number,)) for number in range(options.attackers)]
    attackers.append(threading.Thread(target=attack.use))
    for attacker in attackers:
        attacker.start()
    samples = []
    end = time.monotonic() + 60 * options.minutes
    while (left := end - time.monotonic()) > 0 and process.poll() is None:
        attack.over.wait(min(left, 60))
        samples.append(measured(process.pid))
        taken = sorted(attack.taken[-1000:])
        print(samples[-1], f"echo {taken[len(taken) // 2]:.4f} s, at most {taken[-1]:.3f} s", flush=True)
    attack.over.set()
    for attacker in attackers:
        attacker.join()
    if process.poll() is not None:
        attack.wrong.append(f"the server has ended: {finished(process)}")
    else:
        quarter = max(1, len(samples) // 4)
        first, last = (
            statistics.median(one["memory"] for one in part) for part in (samples[:quarter], samples[-quarter:])
        )
        if last > first + GROWTH or last > before["memory"] + MEMORY + GROWTH:
            attack.wrong.append(f"memory: {before['memory']} at first, then {first}, {last} at last")
        # What is held is so for ten minutes at most.
        end = time.monotonic() + 660
        while (after := measured(process.pid))["descriptors"] > before["descriptors"] and time.monotonic() < end:
            time.sleep(0.1)
        if after["descriptors"] > before["descriptors"]:
            attack.wrong.append(f"descriptors: {before['descriptors']}, then {after['descriptors']}")
        if after["threads"] != before["threads"]:
            attack.wrong.append(f"threads: {before['threads']}, then {after['threads']}")
        print("afterwards", after, "before", before)
        left_over = [RawClient(attack.port, path=f"/faults?{row['name']}") for row in FAULTS if not row["parameters"]]
        process.send_signal(signal.SIGTERM)
        status, _, _ = finished(process, PATIENCE)
        log.seek(0)
        # It tells of those that it refuses.
        errors = [line for line in log if line.strip() and not USUAL.match(line)]
        if status or errors:
            attack.wrong.append(f"the end: {status}, {errors[:20]}")
        for client in left_over:
            client.close()
    print(f"echoes {len(attack.taken)}, at most {max(attack.taken):.3f} s; answers {dict(attack.answers)}")
    for wrong in attack.wrong[:20]:
        print("WRONG:", wrong)
    return 1 if attack.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
