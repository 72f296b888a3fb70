"""The lines that debug prints: those of Qt's example."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from aio_support import connect as connect_async
from echoserver import EchoServer
from support import TIMEOUT, connect, eventually

if TYPE_CHECKING:
    from conftest import Listen


def test_debug_prints_the_lines_of_the_example(listen: Listen, capsys: pytest.CaptureFixture[str]) -> None:
    server = listen(debug=True)
    with server, connect(server.url) as client:
        peer = "{}:{}".format(*client.local_address)
        client.send("héllo")
        assert client.recv(TIMEOUT) == "héllo"
        client.send(b"\0a")
        assert client.recv(TIMEOUT) == b"\0a"
        client.close()
        eventually(lambda: server.stats().clients_closed, "the end of the client")
    assert capsys.readouterr().out.splitlines() == [
        f"Echoserver listening on port {server.port}",
        "Message received: héllo",
        "Binary Message received: b'\\x00a'",
        f"socketDisconnected: <Client 1 {peer} / closed 1000>",
    ]


def test_debug_lines_come_before_the_callback_and_its_reply(listen: Listen, capsys: pytest.CaptureFixture[str]) -> None:
    server = listen(debug=True, on_text=lambda _, text: print("callback", text))
    with server, connect(server.url) as client:
        client.send("x")
        client.recv(TIMEOUT)
        assert capsys.readouterr().out.splitlines()[1:] == ["Message received: x", "callback x"]


def test_debug_can_be_set_while_it_runs(server: EchoServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.debug is False
    with connect(server.url) as client:
        for number in range(4):
            server.debug = number % 2 == 1
            assert server.debug is (number % 2 == 1)
            client.send(f"{number}")
            assert client.recv(TIMEOUT) == f"{number}"
        server.debug = False
    assert capsys.readouterr().out.splitlines() == ["Message received: 1", "Message received: 3"]


def test_messages_are_printed_while_they_are_iterated_over(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        server = EchoServer(0, True, host="127.0.0.1")
        clients = aiter(server)
        async with server, connect_async(server.url) as socket:
            await socket.send("hello")
            await socket.send(b"bytes")
            messages = aiter(await anext(clients))
            assert [await anext(messages), await anext(messages)] == ["hello", b"bytes"]
            # Whoever has a message has not answered it, which the close waits for.
            del messages

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["Message received: hello", "Binary Message received: b'bytes'"]
