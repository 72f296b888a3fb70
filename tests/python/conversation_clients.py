"""The clients of a random conversation."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import threading
import time
from collections.abc import AsyncIterator

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.uri import parse_uri

from conversation_plan import PATIENCE, Message, Outcome, Person, Plan
from echoserver import EchoServer


class Clients:
    """All clients, who note what they receive."""

    def __init__(self, plan: Plan, server: EchoServer, outcomes: list[Outcome], wrong: list[str]) -> None:
        """Nobody has connected yet; what they find wrong goes to `wrong`."""
        self.plan = plan
        self.server = server
        self.outcomes = outcomes
        self.wrong = wrong
        self.got = 0
        # When the server was stopped.
        self.stopped: float | None = None

    async def all_talk(self) -> None:
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
                elif event.opcode is Opcode.CLOSE:
                    outcome.is_late = self.is_late()
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
            self.stopped = time.monotonic()
            threading.Thread(target=self.stop, daemon=True).start()

    def stop(self) -> None:
        """Does so, whatever callbacks do."""
        with contextlib.suppress(TimeoutError):
            self.server.stop(self.plan.stop_timeout)

    def is_late(self) -> bool:
        """Whether half of the stop's time is over, after which nobody waits for answers."""
        return self.stopped is not None and time.monotonic() - self.stopped >= self.plan.stop_timeout / 2


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
