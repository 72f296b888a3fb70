"""on_handshake while it thinks, and what is left of it: timeouts, stops, clients that hang up, references."""

from __future__ import annotations

import contextlib
import gc
import queue
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import Accept, EchoServer, Request, Response
from support import TIMEOUT, Door, RawClient, eventually, in_thread, join, refused

if TYPE_CHECKING:
    from conftest import Listen

Reported = queue.Queue[BaseException | None]


@pytest.mark.needs_worker
def test_others_go_on_while_it_thinks(run: Listen) -> None:
    door = Door()
    first = threading.Event()
    server = run(on_handshake=lambda request: door(request) if first.is_set() else None)
    other_server = run(on_handshake=lambda _: None)
    with RawClient(server.port).opened() as other:
        first.set()
        with contextlib.ExitStack() as stack:
            first_asked = stack.enter_context(RawClient(server.port))
            door.asked()
            behind = stack.enter_context(RawClient(server.port))
            for _ in range(20):
                other.send(2, b"echo")
                other.send(9, b"ping")
                assert other.receive() == (2, b"echo")
                assert other.receive() == (10, b"ping")
            # Handshakes that it is not asked about, and other servers.
            with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert plain.makefile("rb").readline().split()[1] == b"426"
            with RawClient(other_server.port).opened() as elsewhere:
                elsewhere.send(1, b"x")
                assert elsewhere.receive() == (1, b"x")
            # One at a time.
            assert door.requests.empty()
            door.answers.put(Response(403))
            assert first_asked.status() == 403
            door.asked()
            door.answers.put(None)
            assert behind.status() == 101


@pytest.mark.needs_worker
def test_open_timeout_goes_on_while_it_thinks(run: Listen, reported: Reported) -> None:
    door = Door()
    server = run(on_handshake=door, open_timeout=0.2, max_connections=1)
    with RawClient(server.port) as client:
        door.asked()
        assert client.status() == 503
        assert b"open_timeout" in client.file.read()
        # Behind it, one whose time is over before it is its turn: it is not asked about.
        assert refused(server)[0] == 503
        door.answers.put(None)
        error = reported.get(timeout=TIMEOUT)
    assert isinstance(error, TimeoutError)
    assert str(error) == "on_handshake answered after open_timeout of 200ms: the client has got 503"
    with RawClient(server.port) as client:
        door.asked()
        door.answers.put(None)
        assert client.status() == 101
        assert door.requests.empty()
    stats = server.stats()
    assert (stats.callback_errors, stats.handshakes_refused, stats.clients_opened) == (1, 2, 1)


@pytest.mark.needs_worker
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_hangs_up_meanwhile_leaves_nothing(run: Listen, reported: Reported, reset: bool) -> None:
    door = Door()
    came: list[object] = []
    server = run(on_handshake=door, on_connect=came.append, max_connections=1)
    for _ in range(3):
        with RawClient(server.port) as client:
            door.asked()
            if reset:
                client.reset_at_close()
        # Its place is free although the callback still runs: the next one is not refused, and asked about later.
        with waiting(server) as client:
            assert door.requests.empty()
            door.answers.put(None)
            door.asked()
            door.answers.put(Response(403))
            assert client.status() == 403
    assert came == []
    assert reported.empty()
    assert server.stats().callback_errors == 0


def waiting(server: EchoServer) -> RawClient:
    """A client that is not refused for want of a place."""
    found: list[RawClient] = []

    def is_waiting() -> bool:
        client = RawClient(server.port)
        client.socket.settimeout(0.2)
        try:
            # Nothing else is answered while the callback runs.
            assert client.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 503"
        except TimeoutError:
            client.socket.settimeout(TIMEOUT)
            found.append(client)
            return True
        client.close()
        return False

    eventually(is_waiting, "a free place")
    return found[0]


@pytest.mark.needs_worker
def test_a_stop_does_not_wait_for_it_longer_than_its_timeout(run: Listen, reported: Reported) -> None:
    door = Door()
    server = run(on_handshake=door)
    with RawClient(server.port) as client:
        door.asked()
        with pytest.raises(TimeoutError, match=r"on_handshake still runs after 0\.1 s"):
            server.stop(0.1)
        assert client.status() == 503
        assert client.file.read() == b"the server is stopping\n"
    door.answers.put(None)
    server.stop()
    assert reported.empty()
    assert server.stats().callback_errors == 0


def test_it_may_stop_its_server(listen: Listen) -> None:
    server: EchoServer = listen(on_handshake=lambda _: server.stop())
    server.start()
    with RawClient(server.port) as client:
        # It answers, or the stop comes first.
        assert client.status() in (101, 503)
    server.wait_closed(TIMEOUT)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_program_comes_out_of_the_server(listen: Listen, error: BaseException) -> None:
    def on_handshake(_request: Request) -> None:
        raise error

    server = listen(on_handshake=on_handshake)
    statuses: queue.Queue[int] = queue.Queue()
    thread = in_thread(lambda: statuses.put(refused(server)[0]))
    with pytest.raises(type(error)) as caught:
        server.serve()
    assert caught.value is error
    assert statuses.get(timeout=TIMEOUT) in (500, 503)
    assert server.stats().callback_errors == 0
    join(thread)


def test_requests_answers_and_servers_are_collected() -> None:
    class Answer:
        """Whatever the callback holds."""

    def make() -> list[weakref.ref[Any]]:
        held = Answer()
        requests: list[Request] = []

        def on_handshake(request: Request) -> Response | None:
            requests.append(request)
            return None if len(requests) % 2 else Response(403, body=f"{held} {server.port}")

        server: EchoServer = EchoServer(0, host="127.0.0.1", on_handshake=on_handshake)
        with server:
            for status in (101, 403) * 10:
                with RawClient(server.port) as client:
                    assert client.status() == status
        return [weakref.ref(server), weakref.ref(held), *(weakref.ref(request) for request in requests)]

    references = make()
    assert len(references) == 22
    eventually(lambda: gc.collect() >= 0 and not any(one() for one in references), "the end of the cycle")


def test_many_come_and_go_while_it_answers_this_and_that(run: Listen, reported: Reported) -> None:
    answers: dict[str, Any] = {"0": None, "1": Accept({"X": "y"}), "2": Response(403), "3": "wrong"}
    statuses = {"0": 101, "1": 101, "2": 403, "3": 500}
    server = run(on_handshake=lambda request: answers[request.headers["X-Kind"]], workers=2)
    failures: queue.Queue[str] = queue.Queue()

    def talk(number: int) -> None:
        for turn in range(40):
            kind = str((number + turn) % 4)
            with RawClient(server.port, f"X-Kind: {kind}") as client:
                if turn % 5 == 4:
                    continue
                if (status := client.status()) != statuses[kind]:
                    failures.put(f"{status} for {kind}")
                if status == 101:
                    client.send(1, kind.encode())
                    if client.receive() != (1, kind.encode()):
                        failures.put(kind)

    threads = [in_thread(talk, number) for number in range(8)]
    for thread in threads:
        join(thread)
    assert failures.empty()
    eventually(lambda: server.stats().clients_opened == server.stats().clients_closed, "the end of all clients")
    server.stop()
    assert server.stats().memory_used == 0
    assert server.stats().callback_errors == reported.qsize() >= 64
