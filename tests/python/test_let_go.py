"""What Python keeps of clients that come and go: nothing of those it never saw, and nothing that is not charged."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import soon, until
from echoserver import Client, EchoServer
from support import TIMEOUT, RawClient, eventually

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen


class Gate:
    """A callback that blocks until it is told to go on."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *_: Any) -> None:
        self.entered.set()
        assert self.go_on.wait(TIMEOUT)


@pytest.mark.parametrize("is_async", [False, True])
def test_clients_that_spoke_and_left_before_the_first_callback_are_let_go(on_loop: Run, is_async: bool) -> None:
    async def main() -> None:
        seen: list[weakref.ref[Client]] = []

        def on_text(client: Client, _message: str) -> None:
            seen.append(weakref.ref(client))

        async def coroutine(client: Client, message: str) -> None:
            await asyncio.sleep(0)
            on_text(client, message)

        def are_let_go() -> bool:
            gc.collect()
            return len(seen) == 20 and all(reference() is None for reference in seen)

        callback = coroutine if is_async else on_text
        async with EchoServer(0, host="127.0.0.1", workers=1, on_text=callback) as server:
            # Nothing of the loop runs meanwhile.
            for _ in range(20):
                raw = RawClient(server.port).opened()
                raw.send(1, b"x")
                eventually(lambda: server.stats().text_messages_received == server.stats().clients_opened)
                raw.reset_at_close()
                raw.close()
            eventually(lambda: server.stats().clients_closed == 20)
            assert not seen
            await until(are_let_go)

    on_loop(main)


def test_objects_of_clients_that_left_unheard_are_let_go(run: Listen) -> None:
    server = run()
    references = []
    for _ in range(5):
        with RawClient(server.port) as raw:
            raw.opened()
            (client,) = server.clients
            assert server.clients == (client,)
            references.append(weakref.ref(client))
            del client
        eventually(lambda: not server.clients)

    def are_let_go() -> bool:
        gc.collect()
        return all(reference() is None for reference in references)

    eventually(are_let_go)


@pytest.mark.needs_worker
@pytest.mark.parametrize("what", ["on_connect", "on_disconnect"])
def test_clients_that_come_and_go_while_a_callback_blocks_are_charged(run: Listen, what: str) -> None:
    gate, limit = Gate(), 200_000
    other: dict[str, Any] = {what: str}
    server = run(on_text=gate, memory_limit=limit, workers=1, **other)
    with RawClient(server.port) as first:
        first.opened()
        first.send(1, b"first")
        assert gate.entered.wait(TIMEOUT)
        statuses = []
        for _ in range(60):
            with RawClient(server.port, "X-Padding: " + "x" * 8000) as raw:
                statuses.append(raw.status())
            assert server.stats().memory_used <= limit
        # Some have come; then there is no room for another, which says so.
        assert 10 < statuses.count(101) < 30
        assert set(statuses) == {101, 503}
        gate.go_on.set()
        assert first.receive() == (1, b"first")
        eventually(lambda: server.stats().memory_used < limit / 10, "the charge is given back")
        with RawClient(server.port, "X-Padding: " + "x" * 8000) as raw:
            raw.opened()


def test_clients_that_wait_for_iteration_are_charged(on_loop: Run) -> None:
    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", memory_limit=200_000, workers=1) as server:
            clients = aiter(server)
            statuses = []
            for _ in range(40):
                with RawClient(server.port, "X-Padding: " + "x" * 8000) as raw:
                    statuses.append(await asyncio.to_thread(raw.status))
                await until(lambda: server.stats().clients_closed == server.stats().clients_opened)
            assert 10 < statuses.count(101) < 30
            for _ in range(statuses.count(101)):
                await soon(anext(clients))
            await until(lambda: server.stats().memory_used < 20_000)

    on_loop(main)
