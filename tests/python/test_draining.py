"""A stop that lets clients come in for a while yet, and then tells them one after the other."""

from __future__ import annotations

import queue
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import Run
from echoserver import Client, EchoServer
from echoserver.testing import EchoTestServer
from support import (
    LISTENING,
    LOCAL,
    SCRIPT,
    TIMEOUT,
    RawClient,
    eventually,
    finished,
    first_line,
    in_thread,
    join,
    port_of,
    program,
)
from watching import ask, connection_to, get

if TYPE_CHECKING:
    from conftest import Listen

# Seconds that no test waits for.
LONG = 1000
DRAINS = "clients still come in, though /healthz says 503; Ctrl-C again drops all of them"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


def test_clients_come_in_while_the_health_check_says_that_they_should_not(run: Listen) -> None:
    server = run(health=True, drain_delay=LONG)
    kept = connection_to(server)
    assert ask(kept, "/healthz") == (200, b"accepting\n")
    with RawClient(server.port).opened() as before:
        server.stop(wait=False)
        assert not server.is_serving
        assert ask(kept, "/healthz") == (503, b"stopping\n")
        assert get(server.port, "/healthz") == (503, b"stopping\n")
        with RawClient(server.port).opened() as after:
            for client in (before, after):
                client.send(1, b"still here")
                assert client.receive() == (1, b"still here")
            assert server.client_count == 2
            with pytest.raises(RuntimeError, match="has stopped"):
                server.pause()
            # Who has less time than that begins with the closes.
            server.stop(TIMEOUT, wait=False)
            for client in (before, after):
                assert client.close_code() == 1001
                client.send(8, b"\x03\xe9")
            server.wait_closed(TIMEOUT)
    kept.close()
    assert refuses(server.port)


def test_an_outage_ends_while_clients_still_come_in(run: Listen) -> None:
    server = run(drain_delay=LONG)
    with server.down():
        server.stop(wait=False)
        assert refuses(server.port)
    with RawClient(server.port).opened() as client:
        client.send(1, b"up again")
        assert client.receive() == (1, b"up again")
    server.stop(0)


def test_curl_sees_it(run: Listen) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("THERE IS NO curl")
    server = run(health=True, drain_delay=LONG)
    command = [curl, "--silent", "--fail", "--noproxy", "*", "--max-time", str(TIMEOUT), f"http{server.url[2:]}healthz"]
    assert subprocess.run(command, check=False, capture_output=True).stdout == b"accepting\n"
    server.stop(wait=False)
    failed = subprocess.run(command, check=False, capture_output=True)
    # "HTTP page not retrieved".
    assert (failed.returncode, failed.stdout) == (22, b"")
    server.stop(0)


def test_after_the_delay_nobody_comes_in(run: Listen) -> None:
    server = run(drain_delay=0.3)
    with RawClient(server.port).opened() as client:
        begun = time.monotonic()
        stopping = in_thread(server.stop)
        assert client.close_code() == 1001
        assert time.monotonic() - begun > 0.29
        client.send(8, b"\x03\xe9")
    join(stopping)
    assert refuses(server.port)


def test_clients_are_told_in_the_order_of_their_coming(run: Listen) -> None:
    server = run(drain_spread=0.6, workers=1)
    clients = [RawClient(server.port).opened() for _ in range(4)]
    begun = time.monotonic()
    server.stop(wait=False)
    for count, client in enumerate(clients):
        assert client.close_code() == 1001
        assert time.monotonic() - begun > 0.14 * count
        client.close()
    server.wait_closed(TIMEOUT)


def test_the_only_client_that_is_left_is_told_first(run: Listen) -> None:
    server = run(drain_spread=LONG, workers=4)
    # Each goes to the worker with the fewest.
    clients = [RawClient(server.port).opened() for _ in range(4)]
    for client in clients[:3]:
        client.close()
    eventually(lambda: server.client_count == 1, "the end of the others")
    server.stop(wait=False)
    try:
        assert clients[3].close_code() == 1001
    finally:
        clients[3].close()
        server.stop(0)


def test_who_is_not_told_yet_is_served(run: Listen) -> None:
    server = run(drain_spread=LONG, workers=1)
    with RawClient(server.port).opened() as first, RawClient(server.port).opened() as second:
        server.stop(wait=False)
        assert first.close_code() == 1001
        second.send(1, b"x")
        assert second.receive() == (1, b"x")
        assert refuses(server.port)
        server.stop(TIMEOUT, wait=False)
        assert second.close_code() == 1001
        for client in (first, second):
            client.send(8, b"\x03\xe9")
        server.wait_closed(TIMEOUT)


def test_a_stop_without_time_drops_all_at_once(run: Listen) -> None:
    server = run(drain_delay=LONG, drain_spread=LONG)
    with RawClient(server.port).opened() as client:
        server.stop(wait=False)
        server.stop(0)
        assert client.is_dropped()
    assert refuses(server.port)


def test_callbacks_are_called_all_the_time(run: Listen) -> None:
    came: queue.Queue[Client] = queue.Queue()
    server = run(on_connect=came.put, on_text=lambda _, text: text.upper(), drain_delay=LONG)
    server.stop(wait=False)
    with RawClient(server.port).opened() as client:
        client.send(1, b"x")
        assert client.receive() == (1, b"X")
        came.get(timeout=TIMEOUT).send("more")
        assert client.receive() == (1, b"more")
    server.stop(0)


def test_a_test_takes_those_who_come_in_meanwhile() -> None:
    # Nobody is dropped for the delay: who answers the close has answered.
    with EchoTestServer(drain_delay=0.3, health=True) as server:
        server.stop(wait=False)
        with RawClient(server.port).opened() as raw:
            client = server.accept()
            raw.send(1, b"x")
            assert client.recv() == "x"
            assert raw.receive() == (1, b"x")
            stopping = in_thread(server.stop)
            assert raw.close_code() == 1001
            raw.send(8, b"\x03\xe9")
            assert client.wait_closed() == 1001
            join(stopping)
        assert server.unanswered == ()


def test_on_an_event_loop_as_well(on_loop: Run) -> None:
    closes: list[int] = []

    def answer(client: RawClient) -> None:
        closes.append(client.close_code())
        client.send(8, b"\x03\xe9")

    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1", drain_delay=0.2, drain_spread=0.1) as server:
            client = RawClient(server.port).opened()
            thread = in_thread(answer, client)
        # It has waited for all of it.
        assert refuses(server.port)
        join(thread)
        client.close()

    on_loop(main)
    assert closes == [1001]


@pytest.mark.parametrize("name", ["drain_delay", "drain_spread"])
@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), ("x", TypeError), (None, TypeError), (10**8, ValueError), (True, TypeError)]
)
def test_what_is_no_time_is_refused(name: str, value: Any, error: type[Exception]) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(error, match=f"^{name}={value!r}: "):
        EchoServer(0, host="127.0.0.1", **options)


# The program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_drain_of_the_program(number: signal.Signals) -> None:
    process = program(SCRIPT, *LOCAL, f"--drain-delay={LONG}")
    port = port_of(first_line(process))
    with RawClient(port).opened() as client:
        process.send_signal(number)
        assert process.stderr
        assert process.stderr.readline() == LISTENING
        assert process.stderr.readline() == f"echoserver: draining: for {LONG} s {DRAINS}\n"
        assert get(port, "/healthz") == (503, b"stopping\n")
        with RawClient(port).opened():
            process.send_signal(number)
            assert finished(process) == (0, "", "")
        assert client.is_dropped()


def said_at_the_end(*options: str) -> list[str]:
    """Three lines on stderr, of which SIGTERM brings two: its only client answers the close after them."""
    process = program(SCRIPT, *LOCAL, *options)
    with RawClient(port_of(first_line(process))).opened() as client:
        process.terminate()
        assert process.stderr
        said = [process.stderr.readline() for _ in range(3)]
        assert client.close_code() == 1001
        client.send(8, b"\x03\xe9")
    assert finished(process) == (0, "", "")
    return said


def test_the_program_says_each_stage_that_takes_a_while() -> None:
    assert said_at_the_end("--drain-delay=1.2", f"--close-timeout={LONG}", "--drain-spread=0.1") == [
        LISTENING,
        f"echoserver: draining: for 1.2 s {DRAINS}\n",
        "echoserver: waiting up to 1000.1 s for 1 client to close; Ctrl-C again drops what is left\n",
    ]


def test_the_program_says_now_and_then_who_is_left() -> None:
    said = said_at_the_end(f"--close-timeout={LONG}")
    assert said[2].startswith("echoserver: 1 client left, 99")
    assert said[2].endswith(" s at most\n")


def test_a_short_drain_is_not_worth_a_word() -> None:
    process = program(SCRIPT, *LOCAL, "--drain-delay=0.2", "--drain-spread=0.2")
    with RawClient(port_of(first_line(process))).opened() as client:
        process.terminate()
        assert client.close_code() == 1001
    assert finished(process) == (0, "", LISTENING)
