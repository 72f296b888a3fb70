"""What is recorded has a bound: what is missing beyond it is said to be, and `clear()` makes room for what follows."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import ref

import pytest

from echoserver.testing import EchoTestServer
from support import RawClient, eventually, frame

if TYPE_CHECKING:
    from echoserver import Client, EchoServer

# Less than a hundred clients take.
FEW = 1 << 16
MISSING = r"more came than record=\d+ bytes .* have room for, .*clear\(\) makes room"


def comes_and_goes(server: EchoServer) -> Client:
    """A client that is gone."""
    with RawClient(server.port).opened():
        client = server.accept()
    client.wait_closed()
    return client


def many_come_and_go(server: EchoServer) -> None:
    """More than are recorded."""
    for _ in range(300):
        comes_and_goes(server)


def fill(raw: RawClient) -> None:
    """Sends more than is recorded."""
    raw.send(2, bytes(FEW + 1))
    assert len(raw.receive()[1]) == FEW + 1


def test_clients_that_are_gone_and_forgotten_take_no_room() -> None:
    with EchoTestServer(record=FEW) as server:
        for _ in range(300):
            comes_and_goes(server)
            server.clear()
        assert server.accepted == []
        used = server.stats().memory_used
        assert used < FEW / 10, used


def test_without_clear_they_do_until_reading_says_so() -> None:
    with EchoTestServer(record=FEW) as server:
        with pytest.raises(RuntimeError, match=MISSING):
            many_come_and_go(server)
        server.wait_until(lambda: server.client_count == 0)
        server.clear()
        assert [comes_and_goes(server)] == server.accepted


def test_clear_forgets_who_is_gone_and_keeps_who_is_connected() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened() as raw:
        here = server.accept()
        gone = comes_and_goes(server)
        with RawClient(server.port).opened():
            assert len(server.accepted) == 3
            server.clear()
            assert here in server.accepted
            assert gone not in server.accepted
            # Nobody has accepted it, and nobody will.
            assert len(server.accepted) == 2
            with pytest.raises(TimeoutError, match="no client that was not accepted"):
                server.accept(timeout=0)
        raw.send(1, b"x")
        assert here.recv() == "x"
        assert gone.received == []
        assert gone.close_code == 1006


def test_one_that_came_when_nothing_was_recorded_is_accepted_after_clear() -> None:
    with EchoTestServer(record=FEW) as server, RawClient(server.port).opened() as first:
        known = server.accept()
        fill(first)
        with RawClient(server.port).opened() as second, RawClient(server.port).opened():
            for read in (server.accept, lambda: server.accepted, lambda: server.requests, known.recv):
                with pytest.raises(RuntimeError, match=MISSING):
                    read()
            assert len(server.clients) == 3
            server.clear()
            assert server.accepted == list(server.clients)
            late = server.accepted[1]
            second.send(1, b"x")
            assert late.recv() == "x"
            assert server.wait_received(1) == late.received == ["x"]
        late.wait_closed()
        assert late in server.accepted
        server.clear()
        server.wait_until(lambda: server.client_count == 1)
        server.clear()
        assert server.accepted == [known]


def test_where_there_is_no_room_for_who_is_connected_clear_does_not_hide_it() -> None:
    with EchoTestServer(record=100) as server, RawClient(server.port).opened():
        server.clear()
        with pytest.raises(RuntimeError, match=MISSING):
            _ = server.accepted


def test_a_wait_whose_time_is_over_says_so_although_not_all_was_recorded() -> None:
    with EchoTestServer(record=FEW) as server, RawClient(server.port).opened() as raw:
        fill(raw)
        with pytest.raises(TimeoutError, match="is not true; received none; more came than is recorded"):
            server.wait_until(lambda: False, timeout=0)


@pytest.mark.parametrize("on_disconnect", [None, lambda _: None])
def test_a_forgotten_client_is_nobodys_object(on_disconnect: Callable[[Client], None] | None) -> None:
    with EchoTestServer(on_disconnect=on_disconnect) as server:
        client = comes_and_goes(server)
        client.name = "kept"
        assert server.accepted[0].name == "kept"
        dead = ref(client)
        del client
        gc.collect()
        assert dead() is not None
        server.clear()
        # The thread of the callbacks may be about to let go of it.
        eventually(lambda: dead() is None, "its end")


def test_a_client_that_is_connected_is_the_same_object_after_clear() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened():
        client = server.accept()
        client.name = "kept"
        server.clear()
        assert server.accepted[0] is client is server.clients[0]


def test_a_long_transcript_has_its_beginning_and_its_end() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened() as raw:
        raw.socket.sendall(b"".join(frame(1, str(number).encode()) for number in range(1000)))
        server.wait_received(1000)
        lines = server.transcript().splitlines()
        # What it leaves out is not made.
        first, left_out, last, _ = server._core.record.story(200)
    assert (len(first), left_out, len(last)) == (100, 802, 100)
    # The request and the client are lines, too.
    assert lines[99].endswith("client 1 sent '97'")
    assert lines[100] == "          ... 802 more ..."
    assert lines[101].endswith("client 1 sent '900'")
    assert lines[200].endswith("client 1 sent '999'")
    assert len(lines) == 201


def test_a_transcript_says_that_it_has_not_all() -> None:
    with EchoTestServer(record=FEW) as server, RawClient(server.port).opened() as raw:
        fill(raw)
        assert server.transcript().splitlines()[-1] == "more came than is recorded"
