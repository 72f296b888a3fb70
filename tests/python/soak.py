"""Hours of use in minutes: a program, not a test.

    soak.py [--minutes 10] [--clients 50] [--seed 1]

Two servers run in this process: one whose binary messages are echoed natively, one where callbacks get everything. In
another process clients connect, send, leave in order or abort, and come again. Each message says what its callback is
to do: echo, replace, suppress, raise, sleep, send, flush, close, abort, or have another thread send, broadcast, close
or abort. So the client knows what has to come back, and in which order, and every message is accounted for:

- a connection that ends in order begins its end with a "fence", whose answer says how many calls and sends there were;
- a connection that was closed by a callback has got all the answers before that;
- what a lost connection takes with it is counted as lost, if somebody has closed or aborted it indeed;
- every exception that was raised is reported to sys.unraisablehook, and no other.

Time is divided into rounds. After each, all clients are gone, and so have to be their threads, descriptors, objects and
charged memory; the process's memory must not grow from round to round. Prints a summary; the status is 1 after any
discrepancy.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import queue
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from echoserver import NO_REPLY, Client, ClientClosed, EchoServer
from support import TIMEOUT

Message = str | bytes

# What a message may ask of its callback, and how often it does.
ACTIONS = {
    "echo": 450,
    "replace": 120,
    "nothing": 80,
    "raise": 40,
    "wrong": 20,
    "sleep": 10,
    "send": 80,
    "flush": 15,
    "ping": 20,
    "look": 10,
    "thread": 80,
    "broadcast": 3,
    "shout": 3,
    "close": 1,
    "abort": 1,
    "close_later": 1,
    "abort_later": 1,
}
# For them a callback sends nothing: the first two are told to sys.unraisablehook.
REPORTED = ("raise", "wrong")
SILENT = (*REPORTED, "nothing")
# What on_connect is asked to do by the path.
PATHS = {"/": 90, "/raise": 4, "/close": 3, "/abort": 3}
CLOSED_IN_CONNECT, CLOSED_BY_THREAD, LEAVING = 4900, 4901, 4950
FIRST_WARM_SHARE, GROWTH = 0.3, 3 * 2**20
ROUND = 20.0
# For an answer that has to come, however busy the machine is.
PATIENCE = 4 * TIMEOUT


class PlannedError(Exception):
    """What callbacks raise because they were asked to."""


# The client's side, in a process of its own


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


def replacement(seq: int) -> Message:
    return f"replaced {seq}" if seq % 2 else f"replaced {seq}".encode()


def closing(seq: int) -> tuple[int, str]:
    return 4000 + seq % 900, f"closed at {seq}, tschüß"


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


# The servers' side


@dataclass(eq=False)
class State:
    """What the application keeps for a client, as an attribute of its `Client`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: int = 0
    last: int = 0
    sends: int = 0
    is_quiet: bool = False
    leaves_with: int | None = None
    # What the server has begun to close it with, and whether it has begun to end it at all.
    closes: set[int] = field(default_factory=set)
    is_ending: bool = False
    has_ended: bool = False


class Server:
    """One server with the callbacks that do as they are told."""

    def __init__(self, soak: Soak, index: int, has_binary: bool) -> None:
        self.soak, self.index = soak, index
        self.is_busy = False
        self.counts: Counter[str] = Counter()
        self.aborted: set[int] = set()
        self.broadcast_lock = threading.Lock()
        self.broadcasts = {"t": 0, "c": 0}
        self.echo = EchoServer(
            0,
            host="127.0.0.1",
            workers=2,
            on_connect=self.on_connect,
            on_text=self.on_message,
            on_binary=self.on_message if has_binary else None,
            on_disconnect=self.on_disconnect,
            on_closed=self.on_closed,
        )
        self.actions: dict[str, Callable[[Client, State, int, str], Any]] = {
            "raise": self.do_raise,
            "wrong": lambda *_: 42,
            "nothing": lambda *_: NO_REPLY,
            "replace": self.do_replace,
            "sleep": self.do_sleep,
            "send": self.do_send,
            "flush": self.do_flush,
            "ping": lambda client, *_: client.ping(b"soak"),
            "look": lambda *_: self.look(),
            "thread": lambda client, *_: self.soak.later(self.send_to, client),
            "broadcast": lambda *_: self.broadcast("c"),
            "shout": lambda *_: self.soak.later(self.broadcast, "t"),
            "close": self.do_close,
            "abort": lambda client, *_: self.abort(client),
            "close_later": lambda client, *_: self.soak.later(self.close, client),
            "abort_later": lambda client, *_: self.soak.later(self.abort, client),
            "fence": self.do_fence,
        }

    def wrong(self, what: str) -> None:
        self.soak.wrong.append(f"server {self.index}: {what}")

    def state(self, client: Client) -> State:
        state = client.state
        assert isinstance(state, State)
        if state.has_ended:
            self.wrong(f"{client} after its on_disconnect")
        return state

    # Callbacks

    def on_connect(self, client: Client) -> None:
        self.counts["connects"] += 1
        if hasattr(client, "state"):
            self.wrong(f"{client} connects again")
        client.state = State()
        if client.path == "/abort":
            self.abort(client)
        else:
            self.greet(client)
        if client.path == "/close":
            self.end(client, CLOSED_IN_CONNECT, "in on_connect")
        if client.path == "/raise":
            self.counts["raised"] += 1
            raise PlannedError

    def greet(self, client: Client) -> None:
        with self.broadcast_lock:
            numbers = f"{self.broadcasts['t']} {self.broadcasts['c']}"
        try:
            client.send(f"~hello {client.id} {numbers}")
        except ClientClosed:
            # It has gone at once.
            if client.is_open:
                self.wrong(f"ClientClosed for {client}")

    def on_message(self, client: Client, message: Message) -> Any:
        if self.is_busy:
            self.wrong("two callbacks at a time")
        self.is_busy = True
        try:
            return self.obey(client, message)
        finally:
            self.is_busy = False

    def obey(self, client: Client, message: Message) -> Any:
        self.counts["binary calls" if isinstance(message, bytes) else "text calls"] += 1
        state = self.state(client)
        words = message.split(b" ", 2) if isinstance(message, bytes) else message.split(" ", 2)
        seq, action, rest = (word.decode() if isinstance(word, bytes) else word for word in words)
        state.calls += 1
        if int(seq) <= state.last:
            self.wrong(f"{client}: message {seq} after {state.last}")
        state.last = int(seq)
        if action == "echo":
            return None
        try:
            return self.actions[action](client, state, int(seq), rest)
        except ClientClosed:
            if client.is_open:
                self.wrong(f"ClientClosed for {client}")
            return NO_REPLY

    def on_disconnect(self, client: Client) -> None:
        self.counts["disconnects"] += 1
        state = self.state(client)
        state.has_ended = True
        is_leaving = state.leaves_with and not state.is_ending
        expected = {state.leaves_with} if is_leaving else {1006, *state.closes}
        if client.is_open or client.close_code not in expected:
            self.wrong(f"{client} has ended, expected {expected}")

    def on_closed(self) -> None:
        self.counts["closed"] += 1

    # What messages ask for

    def do_raise(self, _client: Client, _state: State, seq: int, _rest: str) -> None:
        self.counts["raised"] += 1
        raise PlannedError(seq)

    def do_replace(self, _client: Client, _state: State, seq: int, _rest: str) -> Any:
        reply = replacement(seq)
        return (bytes, bytearray, memoryview)[seq % 3](reply) if isinstance(reply, bytes) else reply

    def do_sleep(self, _client: Client, _state: State, seq: int, _rest: str) -> None:
        time.sleep(0.3 if seq % 50 == 0 else 0.005)

    def do_send(self, client: Client, _state: State, seq: int, _rest: str) -> None:
        client.send(f"first {seq}")
        client.send(f"second {seq}".encode())

    def do_flush(self, client: Client, state: State, seq: int, rest: str) -> None:
        self.do_send(client, state, seq, rest)
        client.flush(PATIENCE)

    def do_close(self, client: Client, state: State, seq: int, _rest: str) -> None:
        with state.lock:
            self.end(client, *closing(seq))

    def do_fence(self, _client: Client, state: State, _seq: int, rest: str) -> str:
        with state.lock, self.broadcast_lock:
            state.is_quiet = True
            state.leaves_with = int(rest)
            return "fence " + json.dumps({"calls": state.calls, "sends": state.sends} | self.broadcasts)

    # From a callback or from another thread

    def look(self) -> None:
        for client in self.echo.clients:
            _ = client.is_open, client.peer, client.path, client.headers, client.rtt, client.close_code, repr(client)
        _ = self.echo.stats(), repr(self.echo), self.echo.is_serving

    def send_to(self, client: Client) -> None:
        state: State = client.state
        with state.lock:
            if not state.is_quiet:
                client.send(f"~s {state.sends}")
                state.sends += 1

    def broadcast(self, kind: str) -> None:
        with self.broadcast_lock:
            self.broadcasts[kind] += 1
            self.echo.broadcast(f"~{kind} {self.broadcasts[kind]}")

    def end(self, client: Client, code: int, reason: str) -> None:
        state: State = client.state
        state.closes.add(code)
        state.is_ending = True
        client.close(code, reason)

    def close(self, client: Client) -> None:
        state: State = client.state
        with state.lock:
            if not state.is_quiet:
                self.end(client, CLOSED_BY_THREAD, "by a thread")

    def abort(self, client: Client) -> None:
        state: State = client.state
        with state.lock:
            if not state.is_quiet:
                self.aborted.add(client.id)
                state.is_ending = True
                client.abort()


class Soak:
    """The servers, the threads that work for them, and what was found."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.reported: Counter[str] = Counter()
        self.total = Ledger()
        self.tasks: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self.memory: list[int] = []
        self.state: dict[str, int] | None = None
        sys.unraisablehook = self.report
        self.helpers = [threading.Thread(target=self.help, name=f"helper-{index}") for index in range(3)]
        for helper in self.helpers:
            helper.start()
        self.servers = [Server(self, 0, has_binary=False), Server(self, 1, has_binary=True)]
        for server in self.servers:
            server.echo.start()

    def report(self, unraisable: Any) -> None:
        error = unraisable.exc_value
        if isinstance(error, PlannedError):
            self.reported["raise"] += 1
        elif isinstance(error, TypeError) and "returned int, not" in str(error):
            self.reported["wrong"] += 1
        else:
            self.wrong.append(f"unraisable {type(error).__name__}: {error} in {unraisable.object}")

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
                "text calls": (counts["text calls"], stats.text_messages_received),
                "violations": (stats.violations, 0),
            }
            if server.index == 1:
                facts["binary calls"] = (counts["binary calls"], stats.binary_messages_received)
            self.wrong += [
                f"server {server.index}: {what}: {have}, not {want}"
                for what, (have, want) in facts.items()
                if have != want
            ]
            server.aborted.clear()
        errors = sum(server.echo.stats().callback_errors for server in self.servers)
        raised = sum(server.counts["raised"] for server in self.servers)
        if errors != self.reported.total() or raised != self.reported["raise"]:
            self.wrong.append(f"{raised} raised, {errors} counted, reported: {dict(self.reported)}")
        gc.collect()
        state = {
            "threads": len(list(Path("/proc/self/task").iterdir())),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "Client objects": sum(isinstance(one, Client) for one in gc.get_objects()),
        }
        # In the first round the event loops' and logging's own come into being.
        self.state = self.state or state
        if state != self.state or state["Client objects"]:
            self.wrong.append(f"left after a round: {state}, before it: {self.state}")
        # What glibc keeps for later is not grown memory, and varies by megabytes.
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(pages * 4096)

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
            ("reported to sys.unraisablehook", self.reported),
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
