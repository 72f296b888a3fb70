"""Clients of `websockets` that talk all the time and connect again whenever their connection ends, with an account of
what became of each message.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.protocol import State

from support import TIMEOUT, eventually, in_thread, join

__all__ = ["WINDOW", "Fleet", "Talk"]

# Messages of a client that are on their way.
WINDOW = 8
# Answers after which a client has been served.
_ENOUGH = 3 * WINDOW
# Seconds to the next attempt of who was not let in.
_BACK_OFF = 0.05


@dataclass
class Talk:
    """A connection, from its 101 to its end."""

    path: str
    # The Server of the 101, which each process has of its own.
    server: str
    # This end of it, as a log has it.
    address: str
    sent: int = 0
    # Of those, the first ones, each as it was sent.
    answered: int = 0
    # As RFC 6455 section 7.1.5 has it: 1006 without a close frame.
    code: int = 0

    @property
    def client(self) -> int:
        """Whose it is."""
        return int(self.path.split("/")[1])

    @property
    def lost(self) -> int:
        """The last messages, which have no answer."""
        return self.sent - self.answered


class Fleet:
    """Talks while the block runs. At its end all wait for their last answers and close."""

    def __init__(self, url: str, count: int, context: ssl.SSLContext | None = None) -> None:
        """`count` clients, over TLS with a context."""
        self.count = count
        self.talks: list[Talk] = []
        # Why somebody was not let in, and came again.
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._url = url
        self._context = context
        self._answers: Counter[int] = Counter()

    def __enter__(self) -> Self:
        self._thread = in_thread(asyncio.run, self._run())
        self.is_served()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._leaving.set)
        join(self._thread)

    def is_served(self) -> None:
        """Returns when each client has got some answers more."""
        before = self._answers.copy()
        numbers = range(self.count)
        eventually(
            lambda: self.wrong or all(self._answers[one] >= before[one] + _ENOUGH for one in numbers),
            "an answer for each client",
        )
        assert not self.wrong, self.wrong

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leaving = asyncio.Event()
        await asyncio.gather(*(self._live(number) for number in range(self.count)))

    async def _live(self, number: int) -> None:
        for turn in itertools.count():
            if self._leaving.is_set():
                break
            path = f"/{number}/{turn}"
            try:
                connection = await connect(
                    self._url + path,
                    ssl=self._context,
                    compression=None,
                    open_timeout=TIMEOUT,
                    close_timeout=TIMEOUT,
                    ping_interval=None,
                    proxy=None,
                )
            except (OSError, WebSocketException) as error:
                self.refused[f"{type(error).__name__}: {error}"[:80]] += 1
                await asyncio.sleep(_BACK_OFF)
                continue
            assert connection.response
            server, address = connection.response.headers["Server"], connection.local_address
            talk = Talk(path, server, f"{address[0]}:{address[1]}")
            self.talks.append(talk)
            async with connection:
                await self._talk(connection, talk)
            talk.code = connection.close_code or 0

    async def _talk(self, connection: ClientConnection, talk: Talk) -> None:
        with suppress(ConnectionClosed):
            for _ in range(WINDOW):
                await _say(connection, talk)
            while talk.answered < talk.sent:
                heard = await connection.recv()
                if heard != _message(talk.path, talk.answered):
                    self.wrong.append(f"{talk}: heard {heard!r:.80}")
                    return
                talk.answered += 1
                self._answers[talk.client] += 1
                if not self._leaving.is_set():
                    await _say(connection, talk)


async def _say(connection: ClientConnection, talk: Talk) -> None:
    """Sends the next message; none after a close frame, before which there may be answers that were not taken yet."""
    if connection.state is State.OPEN:
        talk.sent += 1
        await connection.send(_message(talk.path, talk.sent - 1))


def _message(path: str, number: int) -> str | bytes:
    """Some are text and some binary, and of many lengths, so that reads cut them everywhere."""
    text = f"{path} {number} {'x' * (number * 37 % 900)}"
    return text.encode() if number % 2 else text
