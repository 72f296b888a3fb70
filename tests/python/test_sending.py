"""What the application sends to its clients, unasked."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import Client, ClientClosed, EchoServer, EchoServerError, SendQueueFull
from support import TIMEOUT, RawClient, Watched, connect, eventually, frame, in_thread, join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Listen


def test_send_from_any_thread_and_returns_payload_bytes(watched: Watched) -> None:
    with connect(watched.url) as raw:
        client = watched.next()
        messages: list[tuple[Any, int, str | bytes]] = [
            ("", 0, ""),
            ("héé", 5, "héé"),
            (b"\x00\xff", 2, b"\x00\xff"),
            (bytearray(b"abc"), 3, b"abc"),
            (memoryview(b"abcd")[::2], 2, b"ac"),
            ("x" * 100_000, 100_000, "x" * 100_000),
        ]
        for data, size, received in messages:
            assert client.send(data) == size
            assert raw.recv(TIMEOUT) == received


def test_many_threads_may_send_at_once(watched: Watched) -> None:
    with connect(watched.url) as raw:
        client = watched.next()

        def send(thread: int) -> None:
            for number in range(200):
                client.send(f"{thread} {number}")

        threads = [in_thread(send, number) for number in range(5)]
        received = [str(raw.recv(TIMEOUT)) for _ in range(1000)]
        for thread in threads:
            join(thread)
    for number in range(5):
        mine = [int(text.split()[1]) for text in received if text.split()[0] == str(number)]
        assert mine == list(range(200))


def test_what_a_callback_sends_goes_between_the_replies(run: Listen) -> None:
    def on_text(client: Client, text: str) -> str:
        client.send(f"before {text}")
        client.send(f"also before {text}")
        return f"reply {text}"

    server = run(on_text=on_text)
    with RawClient(server.port).opened() as client:
        client.socket.sendall(frame(1, b"1") + frame(2, b"native") + frame(1, b"2"))
        expected = ["before 1", "also before 1", "reply 1", "native", "before 2", "also before 2", "reply 2"]
        assert [client.receive()[1].decode() for _ in expected] == expected


def test_a_greeting_from_on_connect_comes_first(run: Listen) -> None:
    server = run(on_connect=lambda client: client.send("welcome"))
    with RawClient(server.port) as client:
        client.socket.sendall(frame(1, b"x"))
        client.opened()
        assert [client.receive() for _ in range(2)] == [(1, b"welcome"), (1, b"x")]


@pytest.mark.parametrize("data", [5, None, 1.5, ["x"], object()])
def test_only_text_and_bytes_can_be_sent(watched: Watched, data: Any) -> None:
    with connect(watched.url):
        client = watched.next()
        with pytest.raises(TypeError, match=type(data).__name__):
            client.send(data)
        with pytest.raises(TypeError, match=type(data).__name__):
            watched.server.broadcast(data)


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff"])
def test_a_lone_surrogate_can_not_be_sent(watched: Watched, text: str) -> None:
    with connect(watched.url) as raw:
        client = watched.next()
        with pytest.raises(UnicodeEncodeError):
            client.send(text)
        client.send("good")
        assert raw.recv(TIMEOUT) == "good"


def test_sending_to_a_closed_client_is_an_error(watched: Watched) -> None:
    with connect(watched.url):
        client = watched.next()
        assert client.is_open
    assert watched.gone() is client
    assert not client.is_open
    for use in (lambda: client.send("x"), client.ping):
        with pytest.raises(ClientClosed, match="client 1 is closed") as caught:
            use()
        assert isinstance(caught.value, ConnectionError)
        assert isinstance(caught.value, EchoServerError)
    client.close()
    client.abort()
    client.flush(0)


def test_sending_in_on_disconnect_is_an_error(run: Listen) -> None:
    errors: queue.Queue[BaseException] = queue.Queue()

    def on_disconnect(client: Client) -> None:
        try:
            client.send("too late")
        except ClientClosed as error:
            errors.put(error)

    server = run(on_disconnect=on_disconnect)
    with connect(server.url):
        pass
    assert "closed" in str(errors.get(timeout=TIMEOUT))


@pytest.fixture
def full(run: Listen) -> Iterator[tuple[Client, RawClient, int]]:
    """A client whose send queue is full, its connection, and how many messages of 64 KiB wait for it."""
    watched = Watched(run, max_send_queue=1_000_000)
    with RawClient(watched.port, receive_buffer=4096).opened() as raw:
        client, sent = watched.next(), 0
        data = bytes(65_536)
        try:
            while sent < 1000:
                client.send(data)
                sent += 1
                # Only what the system does not take is in the queue.
                threading.Event().wait(0.001)
        except SendQueueFull:
            pass
        yield client, raw, sent


def test_a_full_send_queue_is_an_error(full: tuple[Client, RawClient, int]) -> None:
    client, raw, sent = full
    assert 0 < sent < 1000
    with pytest.raises(SendQueueFull, match="max_send_queue=1000000") as caught:
        client.send(bytes(1_000_000))
    assert isinstance(caught.value, BufferError)
    assert isinstance(caught.value, EchoServerError)
    for _ in range(sent):
        opcode, payload = raw.receive()
        assert (opcode, len(payload)) == (2, 65_536)
    client.send("room again")
    assert raw.receive() == (1, b"room again")


def test_flush_waits_for_room(full: tuple[Client, RawClient, int]) -> None:
    client, raw, sent = full
    with pytest.raises(TimeoutError, match="client 1"):
        client.flush(0.05)

    def read() -> None:
        for _ in range(sent):
            raw.receive()

    reader = in_thread(read)
    client.flush(TIMEOUT)
    client.send(bytes(900_000))
    join(reader)
    assert raw.receive() == (2, bytes(900_000))


def test_flush_does_not_wait_for_what_is_sent_meanwhile(full: tuple[Client, RawClient, int]) -> None:
    client, raw, _ = full
    flushed = threading.Event()

    def flush() -> None:
        client.flush(TIMEOUT)
        flushed.set()

    flushing = in_thread(flush)
    while flushing.is_alive():
        # The queue is never empty.
        with contextlib.suppress(SendQueueFull):
            while True:
                client.send(bytes(65_536))
        raw.receive()
    assert flushed.is_set()


def test_flush_ends_with_the_client(full: tuple[Client, RawClient, int]) -> None:
    client, _, _ = full
    waiter = in_thread(client.flush)
    client.abort()
    join(waiter)


def test_flush_in_a_callback_hands_over_what_was_sent_before(run: Listen) -> None:
    seen = threading.Event()
    results: list[bool] = []

    def on_text(client: Client, _text: str) -> str:
        client.send("sent")
        client.flush(TIMEOUT)
        results.append(seen.wait(TIMEOUT))
        return "reply"

    server = run(on_text=on_text)
    with connect(server.url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "sent"
        seen.set()
        assert client.recv(TIMEOUT) == "reply"
    assert results == [True]


def test_one_message_of_any_size_fits_into_an_empty_queue(run: Listen) -> None:
    watched = Watched(run, max_send_queue=10)
    with connect(watched.url) as raw:
        client = watched.next()
        assert client.send(bytes(100_000)) == 100_000
        assert raw.recv(TIMEOUT) == bytes(100_000)


def test_a_pong_sets_the_round_trip_time(watched: Watched) -> None:
    with RawClient(watched.port).opened() as raw:
        client = watched.next()
        assert client.rtt is None
        client.ping()
        opcode, payload = raw.receive()
        assert opcode == 9
        raw.send(10, payload)
        eventually(lambda: client.rtt is not None, "the pong")
        assert client.rtt is not None
        assert 0 < client.rtt < TIMEOUT
        for data in ("text", b"bytes", bytes(125)):
            client.ping(data)
            opcode, payload = raw.receive()
            assert (opcode, payload) == (9, data.encode() if isinstance(data, str) else data)
            raw.send(10, payload)


def test_a_ping_has_at_most_125_bytes(watched: Watched) -> None:
    with connect(watched.url):
        client = watched.next()
        with pytest.raises(ValueError, match="126 bytes"):
            client.ping(bytes(126))
        with pytest.raises(TypeError, match="int"):
            client.ping(5)  # type: ignore[arg-type]


def test_broadcast_reaches_all_but_the_excluded(watched: Watched) -> None:
    raws = [RawClient(watched.port).opened() for _ in range(4)]
    clients = [watched.next() for _ in raws]
    assert watched.server.broadcast("all") == 4
    assert watched.server.broadcast(b"some", exclude=clients[:2]) == 2
    assert watched.server.broadcast(memoryview(b"one"), iter(clients[1:])) == 1
    assert watched.server.broadcast("none", set(clients)) == 0
    to_all, some, one = (1, b"all"), (2, b"some"), (2, b"one")
    for raw, messages in zip(raws, [[to_all, one], [to_all], [to_all, some], [to_all, some]], strict=True):
        assert [raw.receive() for _ in messages] == messages
        raw.close()
    eventually(lambda: not watched.server.clients, "the end of all clients")
    assert watched.server.broadcast("nobody") == 0


def test_broadcast_checks_its_arguments(server: EchoServer) -> None:
    with connect(server.url):
        for exclude, shown in ((5, "5"), ([5], "5"), ([None], "None")):
            with pytest.raises(TypeError, match=f"^exclude={shown}: must be clients"):
                server.broadcast("x", exclude)  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            server.broadcast("\ud800")


def test_a_client_of_another_server_is_not_taken_for_one_of_ours(run: Listen) -> None:
    server, other = Watched(run), Watched(run)
    with connect(server.url) as client, connect(other.url):
        assert server.next().id == 1
        assert server.server.broadcast("x", [other.next()]) == 1
        assert client.recv(TIMEOUT) == "x"


def test_broadcast_in_a_callback_is_a_chat(run: Listen) -> None:
    server: EchoServer = run(on_text=lambda client, text: server.broadcast(text, [client]) and None)
    with connect(server.url) as one, connect(server.url) as two:
        one.send("hello")
        assert one.recv(TIMEOUT) == "hello"
        assert two.recv(TIMEOUT) == "hello"


def test_a_broadcast_is_kept_once_however_many_clients_wait_for_it(run: Listen) -> None:
    server = run(compression="deflate")
    data = os.urandom(4 << 20)
    clients = [RawClient(server.port, receive_buffer=4096).opened() for _ in range(20)]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client)
        assert server.broadcast(data) == 20
        # Nobody reads yet: beside the frame each has its place in a queue.
        assert 4 << 20 <= server.stats().memory_used < 5 << 20
        for client in clients[1:]:
            assert client.receive() == (2, data)
        assert server.stats().memory_used >= 4 << 20
        assert clients[0].receive() == (2, data)
        eventually(lambda: server.stats().memory_used < 1 << 20, "the frame is let go of")
        with connect(server.url, compression="deflate") as compressed:
            assert server.broadcast("again " * 1000) == 21
            assert compressed.recv(TIMEOUT) == "again " * 1000
        assert all(client.receive() == (1, b"again " * 1000) for client in clients)


def test_a_broadcast_beyond_the_memory_limit_is_queued_for_nobody(run: Listen) -> None:
    server = run(memory_limit=100_000)
    with connect(server.url) as client:
        assert server.broadcast(bytes(200_000)) == 0
        assert server.broadcast(b"small") == 1
        assert client.recv(TIMEOUT) == b"small"
