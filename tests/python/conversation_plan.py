"""What a random conversation is: who says what, how the callbacks answer, and what must become of each client."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from echoserver import NO_REPLY

# Seconds in which any conversation ends, and in which a stop does, mostly or now and then.
PATIENCE = 20.0
STOP, HURRIED_STOP = 10.0, 0.04
# Bytes; with compression each client needs some 300 kB more.
LITTLE_MEMORY = [20_000, 60_000]
LITTLE_MEMORY_DEFLATE = [20_000, 250_000, 500_000, 1_000_000]
RUNNERS = ["serve", "start", "asyncio", "uvloop"]
WAITS = ["sleep0", "sleep1", "sleep5", "timeout", "group", "shielded"]
SENDS = ["send", "send_binary", "send_async", "send_elsewhere"]
ENDS = ["close", "abort", "close_elsewhere"]
RESULTS = ["echo", "same", "short", "long", "binary", "view", "empty", "nothing", "raise", "wrong", "surrogate"]
CLOSE_CODE = 4001

Content = str | bytes


@dataclass(frozen=True)
class Message:
    """One message of a client, which says in its payload what its callback does."""

    number: int
    is_text: bool
    steps: tuple[str, ...]
    result: str
    padding: int

    @property
    def text(self) -> str:
        return f"{self.number} {','.join(self.steps)} {self.result} {'é' * self.padding}"

    @property
    def content(self) -> Content:
        return self.text if self.is_text else self.text.encode()

    def reply(self) -> Any:
        """What the callback returns; some raise."""
        if self.result == "raise":
            raise ZeroDivisionError
        replies: dict[str, Any] = {
            "echo": None,
            "same": self.content,
            "short": f"{self.number}",
            "long": f"{self.number} " + "x" * (4 * self.padding + 100),
            "binary": f"{self.number}".encode(),
            "view": memoryview(bytearray(f"{self.number} {'y' * self.padding}".encode())),
            "empty": "",
            "nothing": NO_REPLY,
            "wrong": self.number,
            "surrogate": "\ud800",
        }
        return replies[self.result]


def parse(content: Content) -> Message:
    """The message that a callback has got."""
    is_text = isinstance(content, str)
    text = content if isinstance(content, str) else content.decode()
    number, steps, result, padding = text.split(" ", 3)
    return Message(int(number), is_text, tuple(filter(None, steps.split(","))), result, len(padding))


@dataclass
class Outcome:
    """What is to become of a client, or has become of it."""

    received: list[Content] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    errors: int = 0
    code: int = 1000
    # Its end came when half of a stop's time was over: no answer is waited for any more.
    is_late: bool = False


@dataclass(frozen=True)
class Person:
    """One client: what it says, and how."""

    index: int
    messages: tuple[Message, ...]
    # Frames of one segment, and milliseconds to wait after it.
    segments: tuple[tuple[int, float], ...]
    has_deflate: bool
    # It sends its close frame with the last message, and not when it has got all.
    is_hasty: bool
    seed: int


class Plan:
    """A conversation, made of a seed."""

    def __init__(self, seed: int) -> None:
        """Decides everything that is random."""
        rng = random.Random(seed)
        self.seed = seed
        self.runner = rng.choice(RUNNERS if find_spec("uvloop") else RUNNERS[:-1])
        kinds: list[str | None] = ["plain", "async", "async", None]
        self.kinds = {name: rng.choice(kinds) for name in ("on_text", "on_binary", "on_connect", "on_handshake")}
        if not (self.kinds["on_text"] or self.kinds["on_binary"]):
            self.kinds["on_text"] = "async"
        self.greets = rng.random() < 0.5
        self.has_tls = rng.random() < 0.15
        self.has_deflate = rng.random() < 0.3
        has_little, little = (0.25, LITTLE_MEMORY_DEFLATE) if self.has_deflate else (0.1, LITTLE_MEMORY)
        self.memory_limit = rng.choice(little) if rng.random() < has_little else None
        self.stops_after = rng.randrange(30) if rng.random() < 0.08 else None
        self.stop_timeout = rng.choice([STOP, HURRIED_STOP])
        self.is_interrupted = rng.random() < 0.3
        self.workers = rng.choice([1, 1, 2])
        self.people = [self._person(rng, index) for index in range(rng.randint(1, 4))]

    def _person(self, rng: random.Random, index: int) -> Person:
        is_hasty = rng.random() < 0.25
        waits, sends = rng.choice([0.2, 0.6]), rng.choice([0.0, 0.3])
        ends = rng.choice([0.0, 0.0, 0.04])
        messages = []
        for number in range(rng.choice([3, 10, 30])):
            steps = []
            while rng.random() < 0.6:
                if rng.random() < waits:
                    steps.append(rng.choice(WAITS))
                elif rng.random() < sends:
                    steps.append(rng.choice(SENDS))
                elif rng.random() < 0.3:
                    steps.append("work")
                elif rng.random() < ends:
                    steps.append(rng.choice(ENDS))
            result = "cancel" if rng.random() < 0.04 else rng.choice(RESULTS)
            padding = rng.choice([0, 0, 3, 50, 200, 3000, 20_000]) if rng.random() < 0.3 else 0
            messages.append(Message(number, rng.random() < 0.6, tuple(steps), result, padding))
        left, segments = len(messages), []
        while left:
            size = min(left, rng.choice([1, 2, 5, 30]))
            left -= size
            segments.append((size, rng.choice([0, 0, 0.2, 1, 4, 10])))
        return Person(
            index,
            tuple(messages),
            tuple(segments),
            self.has_deflate and rng.random() < 0.7,
            is_hasty,
            rng.getrandbits(32),
        )

    def __str__(self) -> str:
        return f"seed {self.seed}: {vars(self)}"

    def may_be_cut(self) -> bool:
        """Whether a client may lose the rest, through no fault of its own."""
        return self.memory_limit is not None or self.stops_after is not None

    def kind(self, message: Message) -> str | None:
        """Of the callback for it, if there is one."""
        return self.kinds["on_text" if message.is_text else "on_binary"]

    def codes(self, person: Person) -> set[int]:
        """How the connection may end in order; if both sides close, the first close counts."""
        code = self.expected(person).code
        return {code, 1000} if person.is_hasty and code == CLOSE_CODE else {code}

    def cuts(self, person: Person) -> set[int]:
        """How it may end before all has come."""
        cuts = {1006} & self.codes(person)
        if self.memory_limit is not None:
            cuts |= {1006, 1013}
        if self.stops_after is not None:
            cuts |= {1001, 1006}
        return cuts

    def expected(self, person: Person) -> Outcome:
        """What must become of this client if nothing cuts it short."""
        outcome = Outcome()
        if self.kinds["on_connect"] and self.greets:
            outcome.received.append("welcome")
        for message in person.messages:
            kind = self.kind(message)
            if kind is None:
                outcome.received.append(message.content)
                continue
            outcome.calls.append(message.number)
            for index, step in enumerate(message.steps):
                if step in SENDS:
                    sent = f"{message.number}/{index}"
                    outcome.received.append(sent.encode() if step == "send_binary" else sent)
                elif step in ENDS:
                    outcome.code = 1006 if step == "abort" else CLOSE_CODE
                    return outcome
            if message.result == "cancel" and kind == "async":
                continue
            if message.result in ("raise", "cancel", "wrong", "surrogate"):
                outcome.errors += 1
            elif message.result != "nothing":
                reply = message.reply()
                if reply is None:
                    reply = message.content
                outcome.received.append(reply if isinstance(reply, str) else bytes(reply))
        return outcome
