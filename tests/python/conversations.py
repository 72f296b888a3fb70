"""Random conversations, and an oracle that says what each client must get back: in order, once, and nothing else.

    python tests/python/conversations.py [SECONDS] [SEED]

A conversation is a server of a random kind, run in one of the ways there are, and a few clients. Each message says what
its callback does: how it waits or works, what it sends, how it answers or fails. From that the oracle computes, without
a server, what the client receives, which callbacks are called, and how the connection ends. Where something may cut it
short (a stop, an abort, the memory limit), what came before has to be the beginning of that, without a gap.

The script runs conversations with fresh seeds, for that long; `test_conversations.py` runs fixed ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.uri import parse_uri

from echoserver import NO_REPLY, Client, EchoServer

# Seconds in which any conversation ends.
PATIENCE = 20.0
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
        self.memory_limit = rng.choice([20_000, 60_000]) if rng.random() < 0.1 and not self.has_deflate else None
        self.stops_after = rng.randrange(30) if rng.random() < 0.08 else None
        self.is_interrupted = rng.random() < 0.3
        self.workers = rng.choice([1, 1, 2])
        self.people = [self._person(rng, index) for index in range(rng.randint(1, 4))]

    def _person(self, rng: random.Random, index: int) -> Person:
        is_hasty = rng.random() < 0.25
        waits, sends = rng.choice([0.2, 0.6]), rng.choice([0.0, 0.3])
        ends = 0.0 if is_hasty else rng.choice([0.0, 0.0, 0.04])
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

    def expected(self, person: Person) -> Outcome:
        """What must become of this client if nothing cuts it short."""
        outcome = Outcome()
        if self.kinds["on_connect"] and self.greets:
            outcome.received.append("welcome")
        for message in person.messages:
            kind = self.kinds["on_text" if message.is_text else "on_binary"]
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


class Conversation:
    """A conversation that takes place."""

    def __init__(self, plan: Plan) -> None:
        """Nothing runs yet."""
        self.plan = plan
        self.wrong: list[str] = []
        self.errors: list[BaseException] = []
        self.outcomes = [Outcome() for _ in plan.people]
        self.running: set[int] = set()
        self.ended = threading.Event()
        self.server: EchoServer
        self.got = 0

    # The server's side

    def begin(self, client: Client, content: Content) -> Message:
        """Notes a call."""
        message, index = parse(content), int(client.path.strip("/"))
        if index in self.running:
            self.wrong.append(f"client {index}: two callbacks at a time, of {message}")
        self.running.add(index)
        self.outcomes[index].calls.append(message.number)
        return message

    def end(self, client: Client) -> None:
        """Notes its end."""
        self.running.discard(int(client.path.strip("/")))

    def plain(self, client: Client, content: Content) -> Any:
        """A callback that waits for nothing."""
        message = self.begin(client, content)
        try:
            for index, step in enumerate(message.steps):
                sent = f"{message.number}/{index}"
                if step == "work":
                    work()
                elif step == "send_binary":
                    client.send(sent.encode())
                elif step == "send_elsewhere":
                    elsewhere(client.send, sent)
                elif step in SENDS:
                    client.send(sent)
                elif step == "close_elsewhere":
                    elsewhere(client.close, CLOSE_CODE)
                elif step == "close":
                    client.close(CLOSE_CODE)
                elif step == "abort":
                    client.abort()
                if step in ENDS:
                    return NO_REPLY
            if message.result == "cancel":
                raise ZeroDivisionError
            return message.reply()
        finally:
            self.end(client)

    async def coroutine(self, client: Client, content: Content) -> Any:
        """The same as an `async def`."""
        message = self.begin(client, content)
        try:
            for index, step in enumerate(message.steps):
                await self.step(client, step, f"{message.number}/{index}")
                if step in ENDS:
                    return NO_REPLY
            if message.result == "cancel":
                task = asyncio.current_task()
                assert task
                task.cancel()
                await asyncio.sleep(0.01)
            return message.reply()
        finally:
            self.end(client)

    async def step(self, client: Client, step: str, sent: str) -> None:
        """Does what a message asks for."""
        if step == "work":
            work()
        elif step.startswith("sleep"):
            await asyncio.sleep(int(step[5:]) / 1000)
        elif step == "timeout":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(1000)
        elif step == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0.001))
                group.create_task(asyncio.sleep(0))
        elif step == "shielded":
            await asyncio.shield(asyncio.sleep(0.001))
        elif step == "send_binary":
            client.send(sent.encode())
        elif step == "send_async":
            await client.send_async(sent)
        elif step == "send_elsewhere":
            await asyncio.to_thread(client.send, sent)
        elif step == "send":
            client.send(sent)
        elif step == "close_elsewhere":
            await asyncio.to_thread(client.close, CLOSE_CODE)
        elif step == "close":
            client.close(CLOSE_CODE)
        elif step == "abort":
            client.abort()

    def welcome(self, client: Client) -> None:
        """An `on_connect` that waits for nothing."""
        work()
        if self.plan.greets:
            client.send("welcome")

    async def welcome_later(self, client: Client) -> None:
        """The same as an `async def`."""
        await asyncio.sleep(0.002)
        if self.plan.greets:
            client.send("welcome")

    async def admit(self, _request: object) -> None:
        """An `on_handshake`."""
        await asyncio.sleep(0.001)

    def make(self) -> EchoServer:
        """The server."""
        plan = self.plan
        choices: dict[str, dict[str | None, Any]] = {
            "on_text": {"plain": self.plain, "async": self.coroutine},
            "on_binary": {"plain": self.plain, "async": self.coroutine},
            "on_connect": {"plain": self.welcome, "async": self.welcome_later},
            "on_handshake": {"plain": lambda _: None, "async": self.admit},
        }
        options: dict[str, Any] = {name: choice.get(plan.kinds[name]) for name, choice in choices.items()}
        if plan.memory_limit is not None:
            options["memory_limit"] = plan.memory_limit
        return EchoServer(
            0,
            host="127.0.0.1",
            workers=plan.workers,
            close_timeout=PATIENCE / 2,
            tls="self-signed" if plan.has_tls else None,
            compression="deflate" if plan.has_deflate else None,
            on_error=lambda _, error: self.errors.append(error),
            **options,
        )

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serves in the way that the plan says."""
        self.server = self.make()
        if self.plan.runner == "start":
            self.server.start()
            try:
                yield
            finally:
                self.server.stop()
            return
        serve = self.server.serve if self.plan.runner == "serve" else self.run_loop
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.server.stop()
            self.ended.set()
            thread.join(PATIENCE)
            if thread.is_alive():
                self.wrong.append("the server's thread did not end")

    def run_loop(self) -> None:
        """Serves on an event loop of this thread's."""
        make = asyncio.new_event_loop
        if self.plan.runner == "uvloop":
            make = __import__("uvloop").new_event_loop

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.wrong.append(repr(context)))
            async with self.server:
                while not self.ended.is_set():
                    if self.plan.is_interrupted:
                        work()
                    await asyncio.sleep(0.002)

        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())

    # The clients' side

    async def talk(self, person: Person) -> None:
        """Has one client say all it has to say, and notes what it receives."""
        outcome, expected = self.outcomes[person.index], self.plan.expected(person)
        extensions = [ClientPerMessageDeflateFactory()] if person.has_deflate else []
        uri = f"{self.server.url}{person.index}"
        protocol = ClientProtocol(parse_uri(uri), extensions=extensions, max_size=None)
        try:
            context = self.server.ssl_context() if self.plan.has_tls else None
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, ssl=context)
        except (OSError, ssl.SSLError):
            outcome.code = 1006
            return
        writing = None
        events = self.receive(protocol, reader, writer)
        try:
            protocol.send_request(protocol.connect())
            writer.write(b"".join(protocol.data_to_send()))
            async for event in events:
                if not isinstance(event, Frame):
                    writing = asyncio.create_task(self.say(person, protocol, writer))
                elif event.opcode in (Opcode.TEXT, Opcode.BINARY):
                    is_text = event.opcode is Opcode.TEXT
                    data = bytes(event.data)
                    outcome.received.append(data.decode() if is_text else data)
                    self.note_message()
                if writing and not person.is_hasty and len(outcome.received) == len(expected.received) > 0:
                    await self.say_good_bye(writing, protocol, writer, expected.code)
        except OSError:
            pass
        finally:
            outcome.code = protocol.close_rcvd.code if protocol.close_rcvd else 1006
            if writing:
                writing.cancel()
                await asyncio.wait([writing])
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def receive(
        self, protocol: ClientProtocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AsyncIterator[Event]:
        """The events of a connection until its end."""
        while data := await reader.read(1 << 16):
            protocol.receive_data(data)
            for event in protocol.events_received():
                yield event
            if protocol.close_rcvd is not None and not writer.is_closing():
                # The answer to it.
                writer.write(b"".join(protocol.data_to_send()))

    async def say(self, person: Person, protocol: ClientProtocol, writer: asyncio.StreamWriter) -> None:
        """Sends all messages, in the segments of the plan."""
        rng = random.Random(person.seed)
        messages = iter(person.messages)
        left = len(person.messages)
        for size, pause in person.segments:
            left -= size
            for _ in range(size):
                send(protocol, next(messages), rng)
            expected = self.plan.expected(person)
            if left == 0 and (person.is_hasty or (not expected.received and expected.code == 1000)):
                protocol.send_close(1000)
            data = b"".join(protocol.data_to_send())
            cut = rng.randrange(len(data)) if rng.random() < 0.3 else len(data)
            for piece in filter(None, (data[:cut], data[cut:])):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause / 1000)

    async def say_good_bye(
        self, writing: asyncio.Task[None], protocol: ClientProtocol, writer: asyncio.StreamWriter, code: int
    ) -> None:
        """All has come that is to come: closes, unless the server does."""
        if code == 1000:
            await asyncio.wait([writing])
            if protocol.close_sent is None:
                protocol.send_close(1000)
                writer.write(b"".join(protocol.data_to_send()))

    def note_message(self) -> None:
        """Stops the server at its time."""
        self.got += 1
        if self.got == self.plan.stops_after:
            threading.Thread(target=self.server.stop, daemon=True).start()

    # The verdict

    def hold(self) -> list[str]:
        """Runs it all; what was wrong."""
        with self.serving():
            asyncio.run(self.clients())
        stats = self.server.stats()
        for person in self.plan.people:
            self.judge(person)
        if not self.wrong and not self.plan.may_be_cut():
            self.judge_errors(stats.callback_errors)
        return self.wrong

    async def clients(self) -> None:
        """All clients at the same time."""
        talks = [asyncio.create_task(self.talk(person)) for person in self.plan.people]
        done, pending = await asyncio.wait(talks, timeout=PATIENCE)
        for task in pending:
            self.wrong.append(f"client {talks.index(task)} hangs")
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        for task in done:
            task.result()

    def judge(self, person: Person) -> None:
        """Compares what one client has got with what the oracle says."""
        expected, outcome = self.plan.expected(person), self.outcomes[person.index]
        is_cut = outcome.code == 1006 and expected.code == 1006
        if self.plan.memory_limit is not None and outcome.code in (1013, 1006):
            is_cut = True
        if self.plan.stops_after is not None and outcome.code in (1001, 1006):
            is_cut = True
        if not is_cut and outcome.code != expected.code:
            self.wrong.append(f"client {person.index}: ended with {outcome.code}, expected {expected.code}")
        for name in ("received", "calls"):
            want, have = getattr(expected, name), getattr(outcome, name)
            if have != want and not (is_cut and have == want[: len(have)]):
                at = next((i for i, pair in enumerate(zip(have, want, strict=False)) if pair[0] != pair[1]), None)
                at = min(len(have), len(want)) if at is None else at
                self.wrong.append(
                    f"client {person.index}: {name} differ at {at} of {len(want)} ({len(have)} came): "
                    f"{[short(one) for one in have[at : at + 3]]}, expected {[short(one) for one in want[at : at + 3]]}"
                )

    def judge_errors(self, counted: int) -> None:
        """Each error of a callback is reported once, and no other."""
        expected, errors = [self.plan.expected(person) for person in self.plan.people], self.errors
        others = [
            error for error in errors if not isinstance(error, ZeroDivisionError | TypeError | UnicodeEncodeError)
        ]
        if others:
            self.wrong.append(f"errors: {others!r}")
        total = sum(outcome.errors for outcome in expected)
        if not counted == len(errors) == total:
            self.wrong.append(f"{total} callbacks failed, {len(errors)} were reported, {counted} counted")


def work() -> None:
    """Takes the thread for a while longer than a turn of the loop."""
    until = time.perf_counter() + 0.0015
    while time.perf_counter() < until:
        pass


def elsewhere(call: Callable[..., object], *arguments: object) -> None:
    """Calls in another thread, and waits for it."""
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    thread.join()


def send(protocol: ClientProtocol, message: Message, rng: random.Random) -> None:
    """Sends a message, now and then in two frames."""
    data = message.text.encode()
    begin = protocol.send_text if message.is_text else protocol.send_binary
    if rng.random() < 0.15:
        cut = rng.randrange(len(data))
        begin(data[:cut], fin=False)
        protocol.send_continuation(data[cut:], fin=True)
    else:
        begin(data)


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
