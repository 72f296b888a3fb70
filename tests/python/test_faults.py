"""Each fault as bytes on a socket or an event of TCP, with and without TLS, from Python and by URL.

Each has a check, and each check is tried on a server without the fault, too: there it fails.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from echoserver._core import FAULTS
from echoserver.testing import Bandwidth, EchoTestServer, Latency, Slice
from fault_rows import OVER, ROWS, Row, Scene, asking
from footprint import forget_names
from support import RawClient


@contextlib.contextmanager
def scene(row: Row, *, acts: bool, over: str) -> Iterator[Scene]:
    with EchoTestServer(**OVER[over]) as server:
        context = server.ssl_context() if "tls" in OVER[over] else None
        offers = ["Sec-WebSocket-Extensions: permessage-deflate"] * ("compression" in OVER[over])
        with RawClient(server.port, *offers, context=context).opened() as raw:
            client = server.accept()
            assert bool(client.extensions) == bool(offers)
            with RawClient(server.port, *offers, path="/other", context=context).opened() as other:
                yield Scene(server, raw, other, client.fault(row.fault) if acts else None)


CASES = [(row, over) for row in ROWS for over in row.over]
IDS = [f"{row.fault!r}-{over}" for row, over in CASES]


@pytest.mark.parametrize(("row", "over"), CASES, ids=IDS)
def test_a_fault_is_this(row: Row, over: str) -> None:
    with scene(row, acts=True, over=over) as played:
        seen = row.talk(played)
        assert row.check(seen), seen
        assert played.fault
        assert played.fault.hits == 1
        played.fault.stop()
        assert played.raw.file.read(len(row.rest)) == row.rest


@pytest.mark.parametrize(("row", "over"), CASES, ids=IDS)
def test_without_it_it_is_not(row: Row, over: str) -> None:
    with scene(row, acts=False, over=over) as played:
        assert not row.check(row.talk(played))


BY_URL = [(row, over) for row, over in CASES if row.text and "deflate" not in over]


@pytest.mark.parametrize(("row", "over"), BY_URL, ids=[f"{row.text}-{over}" for row, over in BY_URL])
def test_by_url_it_is_the_same(row: Row, over: str) -> None:
    with asking(row.text, over=over) as played:
        seen = row.talk(played)
        assert row.check(seen), seen


def test_every_fault_can_be_asked_for_by_url() -> None:
    classes = {row["class"] for row in FAULTS if row["opportunity"] != "request"}
    assert {type(row.fault).__name__ for row, _ in BY_URL} == classes


def test_every_fault_has_a_row() -> None:
    # Those of requests have theirs in test_faults_requests.py.
    classes = {row["class"] for row in FAULTS if row["opportunity"] != "request"}
    assert {type(row.fault).__name__ for row in ROWS} == classes


def test_what_is_late_comes_by_itself() -> None:
    with EchoTestServer() as server:
        server.fault(Latency(0.02, jitter=0.01, direction="both"))
        server.fault(Bandwidth(100_000, direction="both"))
        server.fault(Slice(7, 0.001))
        with RawClient(server.port).opened() as raw:
            for number in range(10):
                raw.send(1, b"%d" % number)
            raw.send(9, b"end")
            assert [raw.receive() for _ in range(11)] == [*((1, b"%d" % number) for number in range(10)), (10, b"end")]
            raw.send(8, b"\x03\xe8")
            assert raw.close_code() == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="counts segments as Linux tells them")
def test_slices_are_segments() -> None:
    def segments(raw: RawClient) -> int:
        # tcpi_data_segs_in
        (count,) = struct.unpack_from("=I", raw.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)
        return int(count)

    with EchoTestServer() as server, RawClient(server.port).opened() as raw:
        before = segments(raw)
        raw.send(1, bytes(60))
        raw.receive()
        assert segments(raw) == before + 1
        with server.fault(Slice(10)) as fault:
            raw.send(1, bytes(60))
            raw.receive()
            assert segments(raw) >= before + 1 + 7
        assert fault.hits == 1


def test_a_fault_that_is_made_leaves_no_names_behind() -> None:
    forget_names()
    Latency(0.1)
    kept, before = [], sys.getallocatedblocks()
    for _ in range(1000):
        Latency(0.1)
        # A new name would be a new object, and not where the one before was.
        kept.append(bytes(30))
    assert sys.getallocatedblocks() - before < len(kept) + 50
