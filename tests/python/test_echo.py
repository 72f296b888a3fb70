"""What goes in comes out: every size and kind, from clients of others."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets

from support import TIMEOUT, RawClient, connect, frame, in_thread, join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Listen
    from echoserver import EchoServer

SIZES = [0, 1, 125, 126, 65_535, 65_536, 2**20, 60 * 2**20]
PATTERN = random.Random(1).randbytes(2**20)


def binary(size: int) -> bytes:
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def text(size: int) -> str:
    """`size` bytes of UTF-8 with characters of each length."""
    unit = "aé€😀"  # 10 bytes
    return unit * (size // 10) + "x" * (size % 10)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fragments", [1, 7])
def test_text_and_binary_come_back_intact(server: EchoServer, size: int, fragments: int) -> None:
    with connect(server.url) as client:
        for message in (binary(size), text(size)):
            client.send(message if fragments == 1 else pieces(message, fragments))
            echo = client.recv(TIMEOUT)
            # Not in the assertion: a difference of 60 MiB is not to be shown.
            is_same = echo == message
            assert is_same


def pieces(message: str | bytes, count: int) -> Iterator[Any]:
    step = len(message) // count + 1
    # The first piece is empty, as a fragment may be.
    yield message[:0]
    for start in range(0, max(len(message), 1), step):
        yield message[start : start + step]


@pytest.mark.parametrize("message", ["\ufeff", "\ufefftext\ufeff", "\0", "a\0b", "\U0010ffff", "\x7f\x80", "\u2028"])
def test_text_is_not_interpreted(server: EchoServer, message: str) -> None:
    with connect(server.url) as client:
        client.send(message)
        assert client.recv(TIMEOUT) == message


def test_characters_split_between_fragments_come_back_whole(server: EchoServer) -> None:
    payload = "aé€😀".encode()
    with RawClient(server.port).opened() as client:
        for index, byte in enumerate(payload):
            client.send(1 if index == 0 else 0, bytes([byte]), fin=index == len(payload) - 1)
        assert client.receive() == (1, payload)


def test_order_and_kind_are_kept(server: EchoServer) -> None:
    chooser = random.Random(2)
    messages = [text(n) if chooser.random() < 0.5 else binary(n) for n in (chooser.randrange(2000) for _ in range(500))]
    with connect(server.url) as client:

        def send() -> None:
            for message in messages:
                client.send(message)

        sender = in_thread(send)
        assert [client.recv(TIMEOUT) for _ in messages] == messages
        join(sender)


def test_messages_in_one_segment_come_back_one_by_one(server: EchoServer) -> None:
    with RawClient(server.port).opened() as client:
        client.socket.sendall(b"".join(frame(2, bytes([n])) for n in range(200)))
        assert [client.receive() for _ in range(200)] == [(2, bytes([n])) for n in range(200)]


def test_a_ping_is_answered_between_fragments(server: EchoServer) -> None:
    with RawClient(server.port).opened() as client:
        client.send(1, b"Hel", fin=False)
        client.send(9, b"are you there")
        assert client.receive() == (10, b"are you there")
        client.send(0, b"lo")
        assert client.receive() == (1, b"Hello")


def test_nothing_is_sent_unprompted(server: EchoServer) -> None:
    with RawClient(server.port).opened() as client:
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "é" * 61), (4999, "x" * 123)])
def test_a_close_comes_back_with_code_and_reason(server: EchoServer, code: int, reason: str) -> None:
    with RawClient(server.port).opened() as client:
        payload = code.to_bytes(2, "big") + reason.encode()
        client.send(8, payload)
        assert client.receive() == (8, payload)
        assert client.socket.recv(1) == b""


def test_many_clients_of_websockets_at_once(server: EchoServer) -> None:
    async def talk(number: int) -> None:
        async with websockets.connect(server.url, proxy=None) as client:
            for message in (f"{number}", str(number).encode(), "x" * number):
                await client.send(message)
                assert await client.recv() == message

    async def talk_all() -> None:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*(talk(number) for number in range(100)))

    asyncio.run(talk_all())


def test_aiohttp_talks_to_it(server: EchoServer) -> None:
    async def talk() -> None:
        async with (
            asyncio.timeout(TIMEOUT),
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url, compress=15) as client,
        ):
            await client.send_str("héllo")
            assert await client.receive_str() == "héllo"
            await client.send_bytes(bytes(70_000))
            assert await client.receive_bytes() == bytes(70_000)
            await client.ping(b"x")
            await client.close(code=4000, message=b"done")
            assert client.close_code == 4000

    asyncio.run(talk())


def test_more_clients_than_workers_are_all_served(run: Listen) -> None:
    server = run(workers=3)
    clients = [RawClient(server.port).opened() for _ in range(50)]
    for number, client in enumerate(clients):
        client.send(1, b"%d" % number)
    assert [client.receive() for client in clients] == [(1, b"%d" % number) for number in range(50)]
    for client in clients:
        client.close()
