"""What a server must not send arrives as it is, and strict clients do with it what the table says."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import websockets
from websockets.sync.client import ClientConnection

from echoserver import Client, ClientClosed, EchoServer
from echoserver.testing import EchoTestServer, violations
from support import RawClient, connect

# Where it is not strict, or fails the connection for another reason. It is a list, so that a change is seen.
TOLERATED = {
    "length not minimal, 16 bits": "short",
    "length not minimal, 64 bits": "short",
    "compressed message that is cut": "compressed, and lon`",
}
OTHER_CODES = {
    "length beyond 63 bits": 1009,
    "compressed block of a reserved type": 1002,
    "compressed reference to nothing": 1002,
}


def test_raw_bytes_go_between_frames_as_they_are() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened() as raw:
        client = server.accept()
        client.send("before")
        assert client.send_raw(b"\x81\x03raw") == 5
        client.send_raw(bytearray(b"\x09"))
        client.send_raw(memoryview(b"\x00"))
        client.send("after")
        assert [raw.receive(), raw.receive()] == [(1, b"before"), (1, b"raw")]
        assert raw.file.read(2) == b"\x09\x00"
        assert raw.receive() == (1, b"after")


def test_raw_bytes_follow_the_answer_of_the_callback_before() -> None:
    def on_text(client: Client, _message: str) -> str:
        client.send_raw(b"\x81\x03raw")
        return "reply"

    with EchoTestServer(on_text=on_text) as server, RawClient(server.port).opened() as raw:
        raw.send(1, b"a")
        assert [raw.receive(), raw.receive()] == [(1, b"raw"), (1, b"reply")]


def test_they_are_not_compressed_and_keep_their_place_among_what_is() -> None:
    with EchoTestServer(compression="deflate") as server, connect(server.url, compression="deflate") as ws:
        client = server.accept()
        for _ in range(3):
            client.send("long " * 100_000)
            client.send_raw(b"\x81\x03raw")
        assert [ws.recv() for _ in range(6)] == ["long " * 100_000, "raw"] * 3


def test_what_can_not_be_sent(server: EchoServer) -> None:
    with connect(server.url) as ws:
        ws.send("x")
        ws.recv()
        (client,) = server.clients
        with pytest.raises(TypeError, match=r"send_raw\(\) takes bytes-like data, not str"):
            client.send_raw("text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"send_raw\(\) takes bytes-like data, not int"):
            client.send_raw(1)  # type: ignore[arg-type]
        client.close()
        with pytest.raises(ClientClosed):
            client.send_raw(b"x")


def read(ws: ClientConnection) -> None:
    """Until it ends: some of it is judged only where it is read."""
    while True:
        ws.recv()


@pytest.mark.parametrize("name", violations)
def test_websockets_fails_the_connection_as_it_should(name: str) -> None:
    violation = violations[name]
    compression: Any = "deflate" if violation.compression else None
    with (
        EchoTestServer(compression=compression) as server,
        connect(server.url, compression=compression, max_size=2**20) as ws,
    ):
        client = server.accept()
        assert bool(client.extensions) is violation.compression
        # Together, since it may go in between; and as it is: what is compressed would refer to what was.
        client.send_raw(violation.data + b"\x81\x04next")
        if name in TOLERATED:
            assert [ws.recv(), ws.recv()] == [TOLERATED[name], "next"]
            return
        with pytest.raises(websockets.ConnectionClosed):
            read(ws)
        assert server.wait_until(lambda: client.close_code) == OTHER_CODES.get(name, violation.code)


@pytest.mark.parametrize(("mebibytes", "header"), [(16, 4), (256, 10)])
def test_a_bomb_is_small_on_the_wire_and_large_inflated(mebibytes: int, header: int) -> None:
    data = violations[f"bomb of {mebibytes} MiB"].data
    assert len(data) < mebibytes * 1500
    inflate = zlib.decompressobj(wbits=-15)
    rest, size = data[header:], 0
    while rest:
        size += len(inflate.decompress(rest, 16 << 20))
        rest = inflate.unconsumed_tail
    assert size == mebibytes << 20
