"""`ManualClock`: what it can be asked, by whom, and when."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import Client, EchoServer
from echoserver.testing import EchoTestServer, ManualClock
from support import TIMEOUT, RawClient, connect, finished, in_thread, join, python

if TYPE_CHECKING:
    from aio_support import Run
    from echoserver.testing import EchoTestServer as Server

PING, PONG = 9, 10


def test_it_shows_by_how_much_it_was_advanced() -> None:
    clock = ManualClock()
    assert (clock.time, repr(clock)) == (0.0, "<ManualClock 0 s>")
    for _ in range(10):
        clock.advance(0.1)
    clock.advance(0)
    # Not the sum of ten fractions, which is a little less.
    assert clock.time == 1.0
    clock.advance(365 * 86_400)
    assert clock.time == 31_536_001.0


@pytest.mark.parametrize("call", ["advance", "advance_async"])
@pytest.mark.parametrize(
    ("seconds", "error", "why"),
    [
        (-1, ValueError, "seconds=-1: must not be negative"),
        (-0.001, ValueError, "seconds=-0.001: must not be negative"),
        (float("nan"), ValueError, "seconds=nan: must be finite seconds"),
        (float("inf"), ValueError, "seconds=inf: must be finite seconds"),
        (366 * 86_400, ValueError, "seconds=31622400: must be at most a year"),
        (1e300, OverflowError, "seconds=1e\\+300: is too large"),
        (True, TypeError, "seconds=True: must be a number of seconds, not bool"),
        ("1", TypeError, "seconds='1': must be a number of seconds, not str"),
        (None, TypeError, "seconds=None: must be a number of seconds, not NoneType"),
    ],
)
def test_wrong_seconds_are_named(call: str, seconds: Any, error: type[Exception], why: str) -> None:
    clock = ManualClock()
    with pytest.raises(error, match=why):
        getattr(clock, call)(seconds)
    assert clock.time == 0


@pytest.mark.parametrize("value", [1, "manual", ManualClock, threading])
def test_a_clock_is_a_manual_clock(value: Any) -> None:
    with pytest.raises(TypeError, match=r"clock=.*: must be a ManualClock of echoserver.testing, or None"):
        EchoServer(0, clock=value)


def test_a_server_has_its_clock_whether_or_not_it_serves() -> None:
    clock = ManualClock()
    server = EchoTestServer(clock=clock, idle_timeout=10, close_timeout=0)
    assert server.clock is clock
    # Nobody is accepted yet.
    raw = RawClient(server.port)
    clock.advance(1000)
    with server:
        client = (raw.opened(), server.accept())[1]
        clock.advance(9.9)
        assert client.is_open
    clock.advance(1000)
    assert clock.time == 2009.9
    raw.close()
    with EchoTestServer() as real:
        assert real.clock is None


def test_several_servers_share_one() -> None:
    clock = ManualClock()
    with (
        EchoTestServer(clock=clock, ping_interval=20) as first,
        EchoServer(0, host="127.0.0.1", clock=clock, ping_interval=30, workers=3) as second,
        EchoTestServer(ping_interval=20) as real,
    ):
        raws = [RawClient(server.port).opened() for server in (first, second, real)]
        clock.advance(20)
        assert raws[0].receive()[0] == PING
        first.stop()
        clock.advance(10)
        assert raws[1].receive()[0] == PING
        assert real.clients[0].rtt is None
        for raw in raws:
            raw.close()


def refusals(clock: ManualClock) -> list[str]:
    """What both forms say where they are refused."""
    said = []
    for call in (clock.advance, clock.advance_async):
        with pytest.raises(RuntimeError) as raised:
            call(1)
        said.append(str(raised.value))
    return said


def test_a_callback_cannot_advance_the_clock_of_its_server() -> None:
    clock, other = ManualClock(), ManualClock()
    said: queue.Queue[list[str]] = queue.Queue()

    def on_text(_client: Client, _text: str) -> None:
        other.advance(1)
        said.put(refusals(clock))

    with (
        EchoTestServer(clock=other),
        EchoTestServer(clock=clock, on_connect=lambda _: said.put(refusals(clock))) as beside,
        EchoTestServer(clock=clock, on_text=on_text) as server,
        connect(server.url) as ws,
    ):
        ws.send("x")
        assert ws.recv() == "x"
        (sync, awaited) = said.get(timeout=TIMEOUT)
        assert sync.startswith("advance() in a callback, on_text: ")
        assert awaited.startswith("advance_async() in a callback, on_text: ")
        assert (clock.time, other.time) == (0, 1)
        # Nor that of a server beside it.
        with connect(beside.url):
            assert all("in a callback, on_connect" in one for one in said.get(timeout=TIMEOUT))


def test_callbacks_are_queued_and_not_awaited() -> None:
    clock, go_on = ManualClock(), threading.Event()
    called: queue.Queue[int] = queue.Queue()

    def on_disconnect(client: Client) -> None:
        called.put(client.id)
        assert go_on.wait(TIMEOUT)

    options: dict[str, Any] = {"idle_timeout": 10, "close_timeout": 0}
    with EchoTestServer(clock=clock, on_disconnect=on_disconnect, **options) as server:
        raws = [RawClient(server.port).opened() for _ in range(2)]
        clients = [server.accept() for _ in raws]
        clock.advance(10)
        assert [client.close_code for client in clients] == [1001, 1001]
        assert called.get(timeout=TIMEOUT) == 1
        assert called.empty()
        clock.advance(10)
        go_on.set()
        assert called.get(timeout=TIMEOUT) == 2
        for raw in raws:
            raw.close()


def test_on_an_event_loop_it_is_awaited(on_loop: Run) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with EchoTestServer(clock=clock, idle_timeout=10, close_timeout=0) as server:
            raw = RawClient(server.port)
            client = await server.accept_async()
            with pytest.raises(RuntimeError, match=r"would stop the event loop .* await advance_async\(\) instead"):
                clock.advance(1)
            assert clock.time == 0
            await clock.advance_async(9)
            assert client.is_open
            await clock.advance_async(1)
            assert client.close_code == 1001
            raw.close()
            # All of them, whether or not somebody waits.
            advances = [asyncio.ensure_future(clock.advance_async(1)) for _ in range(10)]
            assert not advances[3].done()
            assert advances[3].cancel()
            await asyncio.wait(advances)
            assert clock.time == 20
        await clock.advance_async(1)

    on_loop(main)
    assert clock.time == 21


def test_an_async_callback_cannot_either(on_loop: Run) -> None:
    clock = ManualClock()
    said: list[str] = []

    async def on_text(_client: Client, _text: str) -> None:
        await asyncio.sleep(0)
        said.extend(refusals(clock))

    async def main() -> None:
        async with EchoTestServer(clock=clock, on_text=on_text) as server:
            raw = RawClient(server.port)
            client = await server.accept_async()
            raw.send(1, b"x")
            await server.wait_until_async(lambda: said)
            assert client.is_open
            raw.close()

    on_loop(main)
    assert said[1].startswith("advance_async() in a callback, on_text: ")
    assert clock.time == 0


def test_without_a_loop_nothing_is_advanced_that_is_to_be_awaited() -> None:
    clock = ManualClock()
    with pytest.raises(RuntimeError, match="no running event loop"):
        clock.advance_async(1)
    assert clock.time == 0


def test_what_calls_wait_for_is_real() -> None:
    clock = ManualClock()
    with EchoTestServer(clock=clock) as server:
        raw = RawClient(server.port).opened()
        client = server.accept()
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.01)
        with pytest.raises(TimeoutError):
            client.wait_closed(timeout=0.01)
    # It has 50 ms to answer, by no clock of its test.
    assert server.unanswered == (client,)
    assert raw.close_code() == 1001
    assert clock.time == 0
    raw.close()


def test_the_time_of_a_request_is_real_and_the_round_trip_is_not() -> None:
    clock = ManualClock()
    clock.advance(86_400)
    with EchoTestServer(clock=clock) as server, RawClient(server.port).opened() as raw:
        with EchoTestServer() as real, RawClient(real.port).opened():
            assert abs(real.requests[0].time - server.requests[0].time) < 3600
        client = server.accept()
        client.ping(b"1")
        assert raw.receive() == (PING, b"1")
        clock.advance(2.5)
        raw.send(PONG, b"1")
        assert client.wait_pong() == b"1"
        assert client.rtt == 2.5


def test_several_threads_advance_one_after_the_other() -> None:
    clock = ManualClock()
    with EchoTestServer(clock=clock, ping_interval=1, ping_timeout=1000, workers=2) as server:
        raws = [RawClient(server.port).opened() for _ in range(4)]
        for _ in raws:
            server.accept()

        def advance() -> None:
            for _ in range(50):
                clock.advance(0.25)

        threads = [in_thread(advance) for _ in range(4)]
        for thread in threads:
            join(thread)
        assert clock.time == 50
        for raw in raws:
            assert raw.receive()[0] == PING
            raw.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_an_advance_that_meets_the_end_of_a_server_ends(workers: int) -> None:
    clock = ManualClock()
    over = threading.Event()

    def advance() -> None:
        while not over.is_set():
            clock.advance(0.5)

    threads = [in_thread(advance) for _ in range(2)]
    options: dict[str, Any] = {"ping_interval": 1, "ping_timeout": 2, "idle_timeout": 5, "close_timeout": 1}
    # While a client here is connecting, any time may go by.
    options["open_timeout"] = 1e6
    for _ in range(30):
        with EchoTestServer(clock=clock, workers=workers, **options) as server:
            raws = [RawClient(server.port) for _ in range(3)]
            server.accept()
        for raw in raws:
            raw.close()
    over.set()
    for thread in threads:
        join(thread)
    assert clock.time > 0


FORKED = """
import os
from echoserver import EchoServer
from echoserver.testing import EchoTestServer, ManualClock
clock = ManualClock()
server = EchoTestServer(clock=clock).start()
child = os.fork()
if child == 0:
    calls = [lambda: clock.advance(1), lambda: clock.time, lambda: EchoServer(0, clock=clock)]
    for call in calls:
        try:
            call()
        except RuntimeError as error:
            assert "forked" in str(error), error
        else:
            os._exit(1)
    own = ManualClock()
    with EchoTestServer(clock=own):
        own.advance(1)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
clock.advance(2)
server.stop()
print(clock.time)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_needs_a_clock_of_its_own() -> None:
    assert finished(python(FORKED, env={"PYTHONWARNINGS": "ignore"}))[:2] == (0, "2.0\n")


@pytest.mark.echo_server(clock=ManualClock(), ping_interval=20)
class TestFixture:
    def test_a_marker_may_have_a_clock(self, echo_server: Server) -> None:
        clock = echo_server.clock
        assert clock is not None
        with RawClient(echo_server.port).opened() as raw:
            clock.advance(20)
            assert raw.receive()[0] == PING

    def test_it_goes_on_from_test_to_test(self, echo_server: Server) -> None:
        self.test_a_marker_may_have_a_clock(echo_server)
