"""Random conversations, and an oracle that says what each client must get back: in order, once, and nothing else.

    python tests/python/conversations.py [SECONDS] [SEED]

A conversation is a server of a random kind, run in one of the ways there are, and a few clients. Each message says what
its callback does: how it waits or works, what it sends, how it answers or fails. From that the oracle computes, without
a server, what the client receives, which callbacks are called, and how the connection ends. Where something may cut it
short (a stop, an abort, the memory limit), what came before has to be the beginning of that, without a gap. So it is if
half of a stop's time is over: then answers that are owed are given up, also those before a close of the client's own.

The script runs conversations with fresh seeds, for that long; `test_conversations.py` runs fixed ones.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from typing import Any

from conversation_clients import Clients
from conversation_plan import Outcome, Person, Plan
from conversation_server import Server


class Conversation:
    """A conversation that takes place."""

    def __init__(self, plan: Plan) -> None:
        """Nothing runs yet."""
        self.plan = plan
        self.wrong: list[str] = []
        self.outcomes = [Outcome() for _ in plan.people]
        self.host = Server(plan, self.outcomes, self.wrong)

    def hold(self) -> list[str]:
        """Runs it all; what was wrong."""
        with self.host.serving():
            asyncio.run(Clients(self.plan, self.host.server, self.outcomes, self.wrong).all_talk())
        stats = self.host.server.stats()
        for person in self.plan.people:
            self.judge(person)
        if not self.wrong and not self.plan.may_be_cut():
            self.judge_errors(stats.callback_errors)
        return self.wrong

    def judge(self, person: Person) -> None:
        """Compares what one client has got with what the oracle says."""
        expected, outcome = self.plan.expected(person), self.outcomes[person.index]
        codes, cuts = self.plan.codes(person), self.plan.cuts(person)
        if outcome.is_late:
            # Answers that are owed are given up, the client's close is answered. It may have come while callbacks that
            # answer nothing were still to be called.
            cuts.add(1000)
        is_cut = outcome.code in cuts
        if outcome.code not in codes | cuts:
            self.wrong.append(f"client {person.index}: ended with {outcome.code}, expected {codes | cuts}")
        calls = expected.calls
        if is_cut:
            # What a callback sends then fails, and with that the callback, before it closes.
            calls = [message.number for message in person.messages if self.plan.kind(message)]
        wants: dict[str, list[Any]] = {"received": expected.received, "calls": calls}
        for name, want in wants.items():
            have = getattr(outcome, name)
            if have != want and not (is_cut and have == want[: len(have)]):
                at = next((i for i, pair in enumerate(zip(have, want, strict=False)) if pair[0] != pair[1]), None)
                at = min(len(have), len(want)) if at is None else at
                self.wrong.append(
                    f"client {person.index}: {name} differ at {at} of {len(want)} ({len(have)} came): "
                    f"{[short(one) for one in have[at : at + 3]]}, expected {[short(one) for one in want[at : at + 3]]}"
                )

    def judge_errors(self, counted: int) -> None:
        """Each error of a callback is reported once, and no other."""
        expected, errors = [self.plan.expected(person) for person in self.plan.people], self.host.errors
        others = [
            error for error in errors if not isinstance(error, ZeroDivisionError | TypeError | UnicodeEncodeError)
        ]
        if others:
            self.wrong.append(f"errors: {others!r}")
        total = sum(outcome.errors for outcome in expected)
        if not counted == len(errors) == total:
            self.wrong.append(f"{total} callbacks failed, {len(errors)} were reported, {counted} counted")


def short(one: object) -> str:
    """Of a long value its beginning."""
    text = repr(one)
    return text if len(text) < 80 else f"{text[:80]}… ({len(text)})"


def hold(seed: int) -> list[str]:
    """One conversation; what was wrong, with the plan."""
    plan = Plan(seed)
    wrong = Conversation(plan).hold()
    return [*wrong, str(plan)] if wrong else []


def main(seconds: float = 600, seed: int | None = None) -> int:
    """Conversations for that long; 0 if nothing was wrong."""
    seed = secrets.randbits(40) if seed is None else seed
    first, failed, until = seed, 0, time.monotonic() + seconds
    while time.monotonic() < until and failed < 5:
        wrong = hold(seed)
        if wrong:
            failed += 1
            print(*wrong, sep="\n  ", file=sys.stderr, flush=True)
        seed += 1
    print(f"{seed - first} conversations from seed {first}, {failed} wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(float((sys.argv[1:] or ["600"])[0]), int(sys.argv[2]) if sys.argv[2:] else None))
