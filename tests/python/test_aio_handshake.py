"""`async def on_handshake`: awaited, for different requests at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from aio_support import connect, exchange, soon, started, until
from echoserver import Accept, EchoServer, Request, Response
from support import TIMEOUT, RawClient
from support import connect as connect_sync

if TYPE_CHECKING:
    import queue

    from aio_support import Run


async def status(url: str, path: str) -> int:
    """What a request for that path gets."""
    try:
        async with connect(url + path):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_requests_are_decided_at_the_same_time(on_loop: Run) -> None:
    async def main() -> None:
        gates = {name: asyncio.Event() for name in ("slow", "accept", "refuse")}
        entered: list[str] = []

        async def on_handshake(request: Request) -> Accept | Response | None:
            name = request.path[1:]
            entered.append(name)
            if name in gates:
                await gates[name].wait()
            if name == "accept":
                return Accept(subprotocol="chat")
            return Response(403) if name == "refuse" else None

        async with EchoServer(0, host="127.0.0.1", on_handshake=on_handshake) as server:
            waiting = [
                asyncio.create_task(status(server.url, "slow")),
                asyncio.create_task(status(server.url, "refuse")),
            ]
            accepted = asyncio.create_task(_subprotocol(server.url + "accept"))
            await until(lambda: len(entered) == 3)
            # One that does not wait passes those that do.
            assert await soon(status(server.url, "")) == 101
            for name in ("accept", "slow", "refuse"):
                gates[name].set()
            assert await soon(asyncio.gather(*waiting)) == [101, 403]
            assert await soon(accepted) == "chat"

    on_loop(main)


async def _subprotocol(url: str) -> Any:
    async with connect(url, subprotocols=["chat"]) as client:
        return client.subprotocol


@pytest.mark.parametrize("how", ["raises", "is cancelled", "returns what is no answer"])
def test_one_that_fails_is_a_500(on_loop: Run, reported: queue.Queue[Any], how: str) -> None:
    async def main() -> None:
        async def on_handshake(_request: Request) -> Any:
            await asyncio.sleep(0)
            if how == "raises":
                raise ZeroDivisionError
            if how == "is cancelled":
                task = asyncio.current_task()
                assert task
                task.cancel()
                await asyncio.sleep(0)
            return 5

        async with EchoServer(0, host="127.0.0.1", on_handshake=on_handshake) as server:
            for _ in range(2):
                assert await soon(status(server.url, "")) == 500
            assert server.stats().callback_errors == (0 if how == "is cancelled" else 2)
        assert reported.empty() == (how == "is cancelled")

    on_loop(main)


def test_one_that_still_waits_when_the_server_stops_is_cancelled(on_loop: Run) -> None:
    async def main() -> None:
        ended: list[str] = []

        async def on_handshake(_request: Request) -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append("ended")

        server = EchoServer(0, host="127.0.0.1", on_handshake=on_handshake, close_timeout=0.2)
        serving = await started(server)
        with RawClient(server.port):
            await until(lambda: len(asyncio.all_tasks()) > 2)
            server.stop()
            await soon(serving)
        assert ended == ["ended"]

    on_loop(main)


def test_no_task_stays_for_a_request(on_loop: Run) -> None:
    async def main() -> None:
        async def on_handshake(request: Request) -> None:
            if request.path == "/wait":
                await asyncio.sleep(0.001)

        async with EchoServer(0, host="127.0.0.1", on_handshake=on_handshake) as server:
            for path in ("wait", "", "wait", ""):
                async with connect(server.url + path) as client:
                    assert await exchange(client, "x") == ["x"]
            await until(lambda: not [task for task in asyncio.all_tasks() if "request" in task.get_name()])

    on_loop(main)


def test_start_runs_it_on_a_loop_of_its_own() -> None:
    async def on_handshake(request: Request) -> Response | None:
        await asyncio.sleep(0)
        return Response(404) if request.path == "/no" else None

    with EchoServer(0, host="127.0.0.1", on_handshake=on_handshake) as server:
        with connect_sync(server.url) as client:
            client.send("x")
            assert client.recv(TIMEOUT) == "x"
        with pytest.raises(InvalidStatus, match="404"):
            connect_sync(server.url + "no")
