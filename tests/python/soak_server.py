"""The servers of the soak: callbacks that do what they are asked to."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from echoserver import NO_REPLY, Client, ClientClosed, EchoServer
from soak_plan import (
    CLOSED_BY_THREAD,
    CLOSED_IN_CONNECT,
    PATIENCE,
    Message,
    PlannedError,
    closing,
    replacement,
)

if TYPE_CHECKING:
    from soak import Soak


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
            on_error=self.soak.report,
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

    def heard(self) -> list[tuple[int, int]]:
        """How many messages were received, and how many of them callbacks have got, for each kind that they get."""
        stats = self.echo.stats()
        text = (stats.text_messages_received, self.counts["text calls"])
        binary = (stats.binary_messages_received, self.counts["binary calls"])
        return [text, binary] if self.index == 1 else [text]

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
