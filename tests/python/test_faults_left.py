"""Clients that leave while faults that they have asked for by URL hold them."""

from __future__ import annotations

import sys

import pytest

from echoserver.testing import EchoTestServer, Freeze, ManualClock
from fault_rows import asking
from support import TIMEOUT, RawClient, frame


@pytest.mark.skipif(sys.platform == "win32", reason="the end of who is not read from is not seen there")
@pytest.mark.parametrize("over", ["plain", "tls"])
@pytest.mark.parametrize("how", ["reset", "FIN", "FIN behind a message"])
@pytest.mark.parametrize("query", ["freeze", "freeze&info"])
def test_who_leaves_what_it_has_frozen_is_forgotten(query: str, how: str, over: str) -> None:
    with asking(query, over=over) as played:
        client = played.server.accepted[0]
        if how == "FIN behind a message":
            played.raw.send(1, b"one")
        if how == "reset":
            played.raw.reset_at_close()
        played.raw.close()
        assert client.wait_closed(TIMEOUT) == 1006
        assert client.received == []


def test_what_the_server_has_frozen_keeps_what_came_before_the_end() -> None:
    with EchoTestServer(fault_urls=True) as server:
        fault = server.fault(Freeze())
        with RawClient(server.port, path="/faults?freeze").opened() as raw:
            raw.send(1, b"by both")
        assert server.accept().wait_closed(TIMEOUT) == 1006
        with RawClient(server.port).opened() as raw:
            raw.send(1, b"by the server")
        client = server.accept()
        with pytest.raises(TimeoutError):
            client.wait_closed(0.05)
        fault.stop()
        assert client.recv() == "by the server"


@pytest.mark.skipif(sys.platform == "win32", reason="the end of who is not read from is not seen there")
def test_who_leaves_a_slow_line_is_forgotten_in_ten_minutes() -> None:
    clock = ManualClock()
    with EchoTestServer(fault_urls=True, clock=clock) as server:
        with RawClient(server.port, path="/faults?bandwidth=1,direction:in").opened() as raw:
            client = server.accept()
            # More than such a line takes at once, so the end behind it is not read.
            raw.fill(frame(2, bytes(1 << 20)), 64 << 20)
            # A FIN would only come behind all that.
            raw.reset_at_close()
        with pytest.raises(TimeoutError):
            client.wait_closed(0.05)
        clock.advance(601)
        assert client.wait_closed(TIMEOUT) == 1006


@pytest.mark.skipif(sys.platform == "win32", reason="the end of who is not read from is not seen there")
@pytest.mark.parametrize("over", ["plain", "tls"])
@pytest.mark.parametrize("query", ["bandwidth=1", "slice=1,gap:60", "latency=60", "latency=60&slice=1,gap:60"])
def test_who_resets_a_slow_line_is_gone_at_once(query: str, over: str) -> None:
    query = query.replace("&", ",direction:in&") + ",direction:in"
    with asking(query, over=over) as played:
        played.raw.send(1, b"x" * 2000)
        played.raw.reset_at_close()
        played.raw.close()
        assert played.server.accepted[0].wait_closed(TIMEOUT) == 1006
