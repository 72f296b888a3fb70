"""That what clients did can be read, as the core has recorded it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import websockets

from echoserver import NO_REPLY, Client, ClientClosed, EchoServer, Response
from echoserver.testing import EchoTestServer
from support import REQUEST, TIMEOUT, RawClient, connect, eventually, frame, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Listen

RECORD = 2**20


def test_a_client_and_its_messages_are_read_and_echoed_all_the_same(recorded: EchoServer) -> None:
    with connect(recorded.url_for("room?x=1")) as ws:
        client = recorded.accept()
        assert (client.path, client.query) == ("/room", "x=1")
        for message in ("hello", b"\0\1", "long " * 40_000):
            ws.send(message)
            assert client.recv() == message
            assert ws.recv() == message
        assert client in recorded.clients
    assert recorded.wait_until(lambda: client.close_code) == 1000
    assert recorded.accepted == [client]
    assert recorded.accepted[0] is client
    assert recorded.received == client.received == ["hello", b"\0\1", "long " * 40_000]


def test_nothing_enters_python_for_a_message_that_nobody_reads(recorded: EchoServer) -> None:
    with connect(recorded.url) as ws:
        for _ in range(1000):
            ws.send("x")
        for _ in range(1000):
            ws.recv()
        assert recorded.received == ["x"] * 1000


def test_what_is_sent_after_recv_follows_the_echo(recorded: EchoServer) -> None:
    with connect(recorded.url) as ws:
        client = recorded.accept()
        for count in range(200):
            ws.send(str(count))
            assert client.recv() == str(count)
            client.send(f"after {count}")
            assert [ws.recv(), ws.recv()] == [str(count), f"after {count}"]


@pytest.mark.parametrize("reply", [None, "answer", NO_REPLY])
def test_what_is_sent_after_recv_follows_the_answer_of_a_callback(run: Listen, reply: Any) -> None:
    def on_text(_client: Client, _message: str) -> Any:
        time.sleep(0.001)
        return reply

    server = run(record=RECORD, on_text=on_text)
    with connect(server.url) as ws:
        client = server.accept()
        for count in range(20):
            ws.send(str(count))
            assert client.recv() == str(count)
            client.send("after")
            expected = {None: [str(count)], "answer": ["answer"], NO_REPLY: []}[reply]
            assert [ws.recv() for _ in range(len(expected) + 1)] == [*expected, "after"]


def test_accept_gives_each_client_once_in_their_order_also_those_that_are_gone(recorded: EchoServer) -> None:
    for path in ("a", "b", "a"):
        with connect(recorded.url_for(path)) as ws:
            ws.send(path)
            ws.recv()
    first = recorded.accept("/a")
    assert (first.id, first.recv()) == (1, "a")
    assert [recorded.accept().id, recorded.accept().id] == [2, 3]
    assert [client.id for client in recorded.accepted] == [1, 2, 3]
    with pytest.raises(TimeoutError, match="no client of path '/a' that was not accepted; all so far: <Client 1"):
        recorded.accept("/a", timeout=0)


def test_a_client_is_the_object_that_callbacks_get(run: Listen) -> None:
    seen: list[Client] = []
    server = run(record=RECORD, on_connect=seen.append, on_disconnect=seen.append)
    with connect(server.url):
        client = server.accept()
        client.mine = "kept"
    eventually(lambda: len(seen) == 2, "on_disconnect")
    assert seen[0] is seen[1] is client is server.accepted[0]
    assert server.accepted[0].mine == "kept"


def test_a_client_that_is_gone_with_nothing_unread_is_told_at_once(recorded: EchoServer) -> None:
    with connect(recorded.url) as ws:
        client = recorded.accept()
        ws.send("last")
        ws.recv()
        ws.close(4001, "enough")
    recorded.wait_until(lambda: client.close_code)
    assert client.recv(None) == "last"
    with pytest.raises(
        ClientClosed,
        match="client 1 is closed: 4001 'enough'; no message from client 1 that was not taken; it has sent 1: 'last'",
    ) as caught:
        client.recv(None)
    assert (caught.value.code, caught.value.reason) == (4001, "enough")


def test_refused_requests_are_in_the_list_with_time_and_status(run: Listen) -> None:
    before = time.time()
    server = run(record=RECORD, on_handshake=lambda request: Response(403) if request.path == "/no" else None)
    with pytest.raises(websockets.InvalidStatus), connect(server.url_for("no")):
        pass
    assert refused(server, "Sec-WebSocket-Version: 8")[0] == 426
    with connect(server.url_for("yes"), additional_headers={"Authorization": "secret"}):
        server.accept()
    requests = server.requests
    assert [(one.path, one.status) for one in requests] == [("/no", 403), ("/", 426), ("/yes", 101)]
    assert requests[2].headers["authorization"] == "secret"
    assert all(before - 1 <= one.time <= time.time() + 1 for one in requests)
    with pytest.raises(TimeoutError, match=r"refused: GET /no 403, GET / 426$"):
        server.accept(timeout=0)


def test_a_request_is_there_before_it_is_answered(run: Listen) -> None:
    go_on = threading.Event()
    server = run(record=RECORD, on_handshake=lambda _: go_on.wait(TIMEOUT) and None)
    with RawClient(server.port) as raw:
        (request,) = server.wait_until(lambda: server.requests)
        assert request.status is None
        go_on.set()
        assert raw.status() == 101
        assert request.status == 101


def test_clear_forgets_what_was_not_accepted(recorded: EchoServer) -> None:
    with connect(recorded.url) as one, connect(recorded.url) as other:
        first = recorded.accept()
        one.send("before")
        assert recorded.wait_received(1) == ["before"]
        recorded.clear()
        assert [recorded.received, first.received] == [[], []]
        assert recorded.requests == []
        with pytest.raises(TimeoutError):
            recorded.accept(timeout=0)
        with pytest.raises(TimeoutError):
            first.recv(0)
        one.send("after")
        other.send("too")
        assert sorted(map(str, recorded.wait_received(2))) == ["after", "too"]
        assert first.recv() == "after"
        assert len(recorded.accepted) == 2


def test_beyond_the_bound_recording_stops_and_the_connection_goes_on(run: Listen) -> None:
    server = run(record=10_000)
    with connect(server.url) as ws:
        client = server.accept()
        for text in ("a", "b" * 10_000, "c"):
            ws.send(text)
            assert ws.recv() == text
        assert client.recv() == "a"
        for read in (
            client.recv,
            client.wait_pong,
            server.accept,
            lambda: server.received,
            lambda: client.received,
            lambda: server.requests,
            lambda: server.accepted,
            lambda: server.wait_received(1),
        ):
            with pytest.raises(RuntimeError, match=r"record=10000 .*clear\(\) makes room"):
                read()
        server.clear()
        ws.send("d")
        assert client.recv() == "d"


@pytest.mark.parametrize(
    "read",
    [
        lambda client: client.recv(),
        lambda client: client.recv_async(),
        lambda client: client.received,
        lambda client: client.wait_pong(),
    ],
)
def test_without_recording_a_client_says_what_to_do(server: EchoServer, read: Callable[[Client], object]) -> None:
    with (
        connect(server.url),
        pytest.raises(RuntimeError, match=r"is not recorded: use echoserver\.testing\.EchoTestServer"),
    ):
        read(server.clients[0])


@pytest.mark.parametrize(
    "read",
    [
        lambda server: server.accept(),
        lambda server: server.accepted,
        lambda server: server.received,
        lambda server: server.requests,
        lambda server: server.wait_received(1),
        lambda server: server.wait_until(lambda: True),
        lambda server: server.clear(),
    ],
)
def test_without_recording_a_server_says_what_to_do(server: EchoServer, read: Callable[[EchoServer], object]) -> None:
    with pytest.raises(RuntimeError, match=r"is not recorded: use echoserver\.testing\.EchoTestServer"):
        read(server)


def test_when_accept_says_that_none_will_come_none_does() -> None:
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(EchoTestServer(workers=1))
            clients = [stack.enter_context(socket.create_connection(server.address, TIMEOUT)) for _ in range(100)]
            for client in clients:
                client.sendall(REQUEST)
            accepted = [server.accept()]
            # The worker has more of them in hand.
            server.stop(wait=False)
            with pytest.raises(RuntimeError, match="none will come, since the server has stopped"):
                accepted.extend(iter(server.accept, None))
            for client in clients:
                client.close()
            server.stop()
            assert server.accepted == accepted


def test_accept_needs_a_server_that_serves(listen: Listen) -> None:
    server = listen(record=RECORD)
    with pytest.raises(RuntimeError, match=r"since the server is not started: start it, or use `with server:`"):
        server.accept()
    server.start()
    with connect(server.url):
        pass
    server.stop()
    # One that came is there.
    assert server.accept().id == 1
    with pytest.raises(
        RuntimeError, match=r"and none will come, since the server has stopped; `accepted` has all that there were"
    ):
        server.accept()
    with pytest.raises(RuntimeError, match=r"0 of 1 messages: none, and none will come, since the server has ended"):
        server.wait_received(1)


def test_messages_of_a_violation_and_after_a_close_are_as_they_were_answered(recorded: EchoServer) -> None:
    with RawClient(recorded.port).opened() as raw:
        client = recorded.accept()
        raw.socket.sendall(frame(1, b"good") + frame(1, b"\xff") + frame(1, b"too late"))
        assert raw.receive() == (1, b"good")
        assert raw.close_code() == 1007
        assert client.received == ["good"]
