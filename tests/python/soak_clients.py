"""The clients of the soak, in a process of their own, and the account that they keep."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from soak_plan import (
    ACTIONS,
    CLOSED_BY_THREAD,
    CLOSED_IN_CONNECT,
    LEAVING,
    PATHS,
    PATIENCE,
    REPORTED,
    SILENT,
    Message,
    closing,
    replacement,
)


@dataclass
class Ledger:
    """What became of the messages of all connections."""

    messages: Counter[str] = field(default_factory=Counter)
    connections: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    # Clients of either server that lost their connection without a close frame, which was not their own doing.
    aborted: list[tuple[int, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Sent:
    """A message that is not accounted for yet."""

    kind: str
    seq: int
    # What comes back for it, in this order.
    answers: list[Message]


class Life:
    """One connection from its begin to its end."""

    def __init__(self, ledger: Ledger, rng: random.Random, server: int) -> None:
        self.ledger, self.rng, self.server = ledger, rng, server
        self.open: deque[Sent] = deque()
        self.seq = 0
        self.calls = 0
        self.id: int | None = None
        self.sends = 0
        self.broadcasts: dict[str, list[int]] = {"t": [], "c": []}
        self.since = {"t": 0, "c": 0}
        self.fence: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked_to_abort = False
        self.is_wrong = False

    def wrong(self, what: str) -> None:
        # What is wrong after that follows from it.
        if self.is_wrong:
            return
        self.is_wrong = True
        self.ledger.wrong.append(f"server {self.server}, client {self.id}: {what}")

    def message(self) -> tuple[Message, Sent]:
        """A random message."""
        rng = self.rng
        self.seq += 1
        padding = rng.choice(("", "x", "é世🦀", "y")) * int(rng.choice((0, 1, 10, 100, rng.expovariate(1 / 2000))))
        if rng.random() < 0.001:
            padding = "z" * rng.randrange(1 << 20)
        is_binary = rng.random() < 0.4
        if is_binary and self.server == 0:
            data = f"{self.seq} {padding}".encode() if padding else b""
            return data, Sent("echoed natively", self.seq, [data])
        self.calls += 1
        (action,) = rng.choices(list(ACTIONS), list(ACTIONS.values()))
        self.asked_to_abort |= action == "abort"
        text = f"{self.seq} {action} {padding}"
        message: Message = text.encode() if is_binary else text
        return message, Sent(action, self.seq, self.answers(action, message))

    def answers(self, action: str, message: Message) -> list[Message]:
        if action in SILENT:
            return []
        if action == "replace":
            return [replacement(self.seq)]
        if action in {"send", "flush"}:
            return [f"first {self.seq}", f"second {self.seq}".encode(), message]
        return [message]

    def take(self, message: Message) -> None:
        """What the server sent."""
        if isinstance(message, str) and message.startswith("~"):
            return self.take_extra(message)
        # Those without an answer are settled by the answer to a later one.
        while self.open and not self.open[0].answers:
            self.settle(self.open.popleft())
        if isinstance(message, str) and message.startswith("fence "):
            if self.open:
                self.wrong(f"fence before {self.open[0]!r:.80}")
            self.compare(json.loads(message.removeprefix("fence ")))
            return self.fence.set_result(None)
        if not self.open:
            return self.wrong(f"unexpected {message!r:.80}")
        sent = self.open[0]
        expected = sent.answers.pop(0)
        if expected != message or type(expected) is not type(message):
            self.wrong(f"{sent.kind} {sent.seq}: {message!r:.80} instead of {expected!r:.80}")
        if not sent.answers:
            self.settle(self.open.popleft())
        return None

    def settle(self, sent: Sent) -> None:
        kind = sent.kind
        outcome = {"echoed natively": kind, "replace": "replaced", "nothing": "suppressed"}.get(kind, "echoed")
        self.ledger.messages["reported" if kind in REPORTED else outcome] += 1

    def take_extra(self, message: str) -> None:
        """What comes unasked: `~hello id t c`, `~s n` for this client, `~t n` and `~c n` for all."""
        kind, *words = message.removeprefix("~").split()
        numbers = [int(word) for word in words]
        self.ledger.extra[kind] += 1
        if kind == "hello":
            self.id, self.since["t"], self.since["c"] = numbers
        elif kind == "s":
            if numbers != [self.sends]:
                self.wrong(f"send {numbers} instead of {self.sends}")
            self.sends += 1
        else:
            seen = self.broadcasts[kind]
            if seen and numbers[0] != seen[-1] + 1:
                self.wrong(f"broadcast {kind} {numbers[0]} after {seen[-1]}")
            seen.append(numbers[0])

    async def read(self, socket: ClientConnection) -> None:
        async for message in socket:
            self.take(message)

    async def live(self, url: str, until: float) -> None:
        """Connects, sends for a while, ends in one of the ways; then everything is settled."""
        (path,) = self.rng.choices(list(PATHS), list(PATHS.values()))
        async with connect(
            url.rstrip("/") + path,
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=PATIENCE,
            close_timeout=PATIENCE,
            proxy=None,
        ) as socket:
            reader = asyncio.ensure_future(self.read(socket))
            end = await self.talk(socket, until)
            try:
                await asyncio.wait_for(reader, PATIENCE)
            except ConnectionClosed:
                # Without a close frame, or after one of ours that was not answered.
                pass
            except TimeoutError:
                self.wrong("no end of the connection")
        self.finish(end, socket.close_code, socket.close_reason)

    async def talk(self, socket: ClientConnection, until: float) -> str:
        """Sends; how it ended."""
        will_abort = self.rng.random() < 0.2
        try:
            for _ in range(self.rng.randrange(400)):
                if time.monotonic() > until:
                    break
                message, sent = self.message()
                self.ledger.messages["sent"] += 1
                self.open.append(sent)
                await socket.send(message)
                if self.rng.random() < 0.1:
                    await asyncio.sleep(self.rng.expovariate(1 / 0.05))
            if will_abort:
                socket.transport.abort()
                return "aborted by the client"
            code = LEAVING + self.rng.randrange(40)
            await socket.send(f"{self.seq + 1} fence {code}")
            self.calls += 1
            ended = asyncio.create_task(socket.wait_closed())
            await asyncio.wait([self.fence, ended], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if self.fence.done():
                await socket.close(code, "leaving")
                return "in order"
            if socket.close_code is None:
                self.wrong(f"no answer within {PATIENCE} s to {[*self.open][:1]!r:.120}")
                socket.transport.abort()
        except ConnectionClosed:
            pass
        return "by the server"

    def compare(self, told: dict[str, int]) -> None:
        """With what the server says has happened up to the fence."""
        # A thread's broadcast may come between the fence's callback and its answer.
        if (seen := self.broadcasts["t"]) and seen[-1] > told["t"]:
            told["t"] = seen[-1]
        have = {"calls": self.calls, "sends": self.sends}
        for kind, seen in self.broadcasts.items():
            have[kind] = seen[-1] if seen else self.since[kind]
            # From its begin on, without a gap: those before it may have come as well.
            if told[kind] > self.since[kind] and seen[0] > self.since[kind] + 1:
                self.wrong(f"broadcasts {kind} begin with {seen[0]}, not with {self.since[kind] + 1}")
        if have != told:
            self.wrong(f"at the fence the server has {told}, the client {have}")

    def finish(self, end: str, code: int | None, reason: str | None) -> None:
        """The connection has ended: were that and its losses right?"""
        if end == "by the server":
            end = self.judge(code, reason)
        if end == "in order":
            if self.open:
                self.wrong(f"closed in order with {len(self.open)} messages open: {self.open[0]!r:.80}")
            if (code, reason) == (None, None) or code is None or not LEAVING <= code < LEAVING + 40:
                self.wrong(f"left, and was told {code} {reason!r}")
        self.ledger.connections[end] += 1
        self.ledger.messages[f"lost, connection {end}"] += len(self.open)

    def judge(self, code: int | None, reason: str | None) -> str:
        """Why the server has ended the connection."""
        if code == 1006:
            if self.id is not None:
                self.ledger.aborted.append((self.server, self.id))
            return "aborted by a callback" if self.asked_to_abort or self.id is None else "aborted by a thread"
        if code == CLOSED_BY_THREAD:
            return "closed by a thread"
        if code == CLOSED_IN_CONNECT:
            return "closed in on_connect"
        # Everything before the message that asked for it has been answered; it and the rest are lost.
        while self.open and not self.open[0].answers:
            self.settle(self.open.popleft())
        if not self.open or self.open[0].kind != "close" or (code, reason) != closing(self.open[0].seq):
            self.wrong(f"closed with {code} {reason!r} at {[*self.open][:1]!r:.120}")
        return "closed by a callback"


async def clients(urls: list[str], count: int, seconds: float, seed: int) -> Ledger:
    """Runs the clients of one round."""
    ledger = Ledger()
    until = time.monotonic() + seconds

    async def client(index: int) -> None:
        rng = random.Random(f"{seed} {index}")
        server = index % len(urls)
        while time.monotonic() < until:
            life = Life(ledger, rng, server)
            try:
                await life.live(urls[server], until)
            except Exception as error:  # Whatever it is, it is a discrepancy.
                life.wrong(f"{type(error).__name__}: {error}")

    await asyncio.gather(*(client(index) for index in range(count)))
    return ledger
