"""That an event happens at one moment: whoever has seen a part of it, by a wait or by looking, finds all of it.

Each event is caused many times, and each time another part of it is what is waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from echoserver.testing import EchoTestServer
from support import TIMEOUT, RawClient, in_thread, join

if TYPE_CHECKING:
    from echoserver import Client

TURNS = 40


class Scene:
    """One turn: a client that has come, and what was counted before it does something."""

    def __init__(self, server: EchoTestServer) -> None:
        """Connects it."""
        self.server = server
        self.raw = RawClient(server.port).opened()
        self.client = server.accept()
        self.others: list[RawClient] = []
        self.is_over = threading.Event()
        self.before, self.known = server.stats(), len(server.accepted)

    def counted(self, name: str) -> bool:
        """Whether one more of it is."""
        now, before = asdict(self.server.stats())[name], asdict(self.before)[name]
        assert now - before in (0, 1)
        return bool(now > before)

    def connect(self, *lines: str) -> None:
        """Another client comes."""
        self.others.append(RawClient(self.server.port, *lines))

    def pings(self) -> None:
        """The client is about to answer a ping."""
        self.client.ping(b"p")
        assert self.raw.receive() == (9, b"p")

    def owes_an_answer(self) -> None:
        """The client has sent a message, which a callback has not answered."""
        asked = threading.Event()

        def on_text(_client: Client, _message: str) -> None:
            asked.set()
            self.is_over.wait(TIMEOUT)

        self.server.on_text = on_text
        self.raw.send(1, b"x")
        assert asked.wait(TIMEOUT)

    def end(self) -> None:
        """Everybody goes, and is forgotten."""
        self.is_over.set()
        for raw in (self.raw, *self.others):
            raw.close()
        self.server.wait_until(lambda: self.server.client_count == 0)
        self.server.clear()


Part = Callable[[Scene], object]


class Event(NamedTuple):
    """What causes it, what it changes, and the waits that report it."""

    cause: Part
    parts: list[Part]
    waits: list[Part]
    prepare: Part = lambda _: None


def last_status(one: Scene) -> int | None:
    """Of a second request, if there is one."""
    requests = one.server.requests
    return requests[1].status if len(requests) > 1 else None


EVENTS = {
    "a client": Event(
        cause=Scene.connect,
        parts=[
            lambda one: len(one.server.accepted) == one.known + 1,
            lambda one: one.server.client_count == 2,
            lambda one: len(one.server.clients) == 2,
            lambda one: last_status(one) == 101,
            lambda one: one.counted("clients_opened"),
        ],
        waits=[lambda one: one.server.accept()],
    ),
    "a refusal": Event(
        cause=lambda one: one.connect("Sec-WebSocket-Version: 8"),
        parts=[lambda one: last_status(one) == 426, lambda one: one.counted("handshakes_refused")],
        waits=[],
    ),
    "a message": Event(
        cause=lambda one: one.raw.send(1, b"x"),
        parts=[
            lambda one: one.server.received,
            lambda one: one.client.received,
            lambda one: one.counted("text_messages_received"),
            lambda one: one.counted("messages_sent"),
        ],
        waits=[lambda one: one.client.recv(), lambda one: one.server.wait_received(1)],
    ),
    "a pong": Event(
        prepare=Scene.pings,
        cause=lambda one: one.raw.send(10, b"p"),
        parts=[lambda one: one.client.rtt is not None, lambda one: one.counted("pongs_received")],
        waits=[lambda one: one.client.wait_pong()],
    ),
    "an end before an answer": Event(
        prepare=Scene.owes_an_answer,
        cause=lambda one: one.client.abort(),
        parts=[
            lambda one: one.client.close_code == 1006,
            lambda one: one.client.received == ["x"],
            lambda one: one.server.received == ["x"],
        ],
        waits=[lambda one: one.client.wait_closed(TIMEOUT), lambda one: one.client.recv()],
    ),
    "an end": Event(
        cause=lambda one: one.raw.close(),
        parts=[
            lambda one: one.server.client_count == 0,
            lambda one: not one.server.clients,
            lambda one: one.client.close_code == 1006,
            lambda one: one.client.close_reason == "",
            lambda one: not one.client.is_open,
            lambda one: "closed 1006" in repr(one.client),
            lambda one: one.counted("clients_closed"),
        ],
        waits=[lambda one: one.client.wait_closed(TIMEOUT)],
    ),
}


@contextmanager
def watched(event: Event, server: EchoTestServer) -> Iterator[Scene]:
    """A turn in which it is about to happen."""
    scene = Scene(server)
    event.prepare(scene)
    assert not any(part(scene) for part in event.parts)
    thread = in_thread(event.cause, scene)
    try:
        yield scene
    finally:
        join(thread)
        scene.end()


def looks(scene: Scene, part: Part) -> None:
    """Looks until it is so, without waiting for anything: at some time just when it happens."""
    deadline = time.monotonic() + TIMEOUT
    while not part(scene):
        assert time.monotonic() < deadline


FIRST: list[Any] = [
    pytest.param(event, first, way, id=f"{name}-{way.__name__}-{index}")
    for name, event in EVENTS.items()
    for way, firsts in ((looks, event.parts), (lambda scene, wait: wait(scene), event.waits))
    for index, first in enumerate(firsts)
]


@pytest.mark.parametrize(("event", "first", "way"), FIRST)
def test_whoever_sees_a_part_of_an_event_sees_all_of_it(
    event: Event, first: Part, way: Callable[[Scene, Part], None]
) -> None:
    with EchoTestServer() as server:
        for _ in range(TURNS):
            with watched(event, server) as scene:
                way(scene, first)
                assert [bool(part(scene)) for part in event.parts] == [True] * len(event.parts)
