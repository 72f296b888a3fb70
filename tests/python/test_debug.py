"""The lines that debug prints: those of Qt's example."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aio_support import connect as connect_async
from echoserver import EchoServer
from support import TIMEOUT, connect, eventually, finished, python

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


class Stream(io.StringIO):
    """A stream that is a terminal or not, and that can be written to or not."""

    def __init__(self, error: Exception | None = None, *, is_terminal: bool = False) -> None:
        super().__init__()
        self.error = error
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


def printed(listen: Listen, monkeypatch: pytest.MonkeyPatch, stream: Any, *messages: str | bytes) -> EchoServer:
    """A server that has echoed the messages of one client with `stream` as stdout, and is stopped."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        server = listen(debug=True)
        with server, connect(server.url) as client:
            for message in messages:
                client.send(message)
                assert client.recv(TIMEOUT) == message
            client.close()
            eventually(lambda: server.stats().clients_closed, "the end of the client")
        return server


def test_control_characters_are_written_out(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    forged = "\x1b]0;title\7\x1b[2J\r\nsocketDisconnected: nobody\x85\u2028\u202e\x7f\t"
    kept = "\ufeff\\n ünïcödé \N{WOMAN}\u200d\N{PERSONAL COMPUTER} \u00a0"
    printed(listen, monkeypatch, stream, forged, kept)
    _, first, second, _ = stream.getvalue().split("\n")[:-1]
    assert first == (r"Message received: \x1b]0;title\x07\x1b[2J\r\nsocketDisconnected: nobody\x85\u2028\u202e\x7f\t")
    assert second == f"Message received: {kept}"


def test_a_terminal_shows_the_beginning_of_what_is_long(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, binaries = ["é" * 200, "é" * 3000], [b"x" * 200, b"x" * 3000]
    terminal, file = Stream(is_terminal=True), Stream()
    printed(listen, monkeypatch, terminal, *texts, *binaries)
    assert terminal.getvalue().splitlines()[1:-1] == [
        f"Message received: {texts[0]}",
        f"Message received: {'é' * 200}... (3,000 characters)",
        f"Binary Message received: {binaries[0]!r}",
        f"Binary Message received: {b'x' * 200!r}... (3,000 bytes)",
    ]
    printed(listen, monkeypatch, file, *texts, *binaries)
    assert file.getvalue().splitlines()[1:-1] == [
        f"Message received: {texts[0]}",
        f"Message received: {texts[1]}",
        f"Binary Message received: {binaries[0]!r}",
        f"Binary Message received: {binaries[1]!r}",
    ]


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", r"h\xe9llo \u20ac"), ("latin-1", "h\xe9llo \\u20ac"), ("utf-8", "h\xe9llo \u20ac")],
)
def test_what_the_encoding_does_not_have_is_escaped(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    bytes_written = io.BytesIO()
    stream = io.TextIOWrapper(bytes_written, encoding=encoding, newline="\n", write_through=True)
    server = printed(listen, monkeypatch, stream, "héllo €")
    lines = bytes_written.getvalue().decode(encoding).split("\n")
    assert lines[1] == f"Message received: {shown}"
    assert server.stats().callback_errors == 0


class ClosedStream(Stream):
    def __init__(self) -> None:
        super().__init__()
        self.close()


class Shy(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise OSError

    __repr__ = __str__


NOT_WRITABLE: list[tuple[Any, str]] = [
    (ClosedStream(), "I/O operation on closed file"),
    (Stream(BrokenPipeError(32, "Broken pipe"), is_terminal=True), "Broken pipe"),
    (Stream(OSError(28, "No space left on device")), "No space left on device"),
    (Stream(ZeroDivisionError()), "ZeroDivisionError"),
    (Stream(Shy()), "<Shy whose repr() raises OSError>"),
    (object(), "'object' object has no attribute 'write'"),
]


@pytest.mark.parametrize(("stream", "reason"), NOT_WRITABLE, ids=[reason for _, reason in NOT_WRITABLE])
def test_a_stream_that_can_not_be_written_to_costs_no_echo_and_is_said_once(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stream: Any, reason: str
) -> None:
    server = printed(listen, monkeypatch, stream, "a", b"b", "c")
    assert caplog.messages == [f"sys.stdout: {reason}; nothing more is printed"]
    assert server.stats().callback_errors == 0
    # Another stream is another matter.
    working = Stream()
    printed(listen, monkeypatch, working, "a")
    assert len(working.getvalue().splitlines()) == 3


def test_a_stream_that_is_full_for_the_moment_is_tried_again(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(BlockingIOError(11, "write could not complete without blocking"))
    server = listen(debug=False)
    monkeypatch.setattr(sys, "stdout", stream)
    server.debug = True
    with server, connect(server.url) as client:
        for message in ("lost", "seen"):
            client.send(message)
            assert client.recv(TIMEOUT) == message
            stream.error = None
        server.debug = False
    assert stream.getvalue().splitlines()[0] == "Message received: seen"
    assert caplog.messages == []


def test_without_stdout_nothing_is_printed(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert printed(listen, monkeypatch, None, "a").stats().callback_errors == 0
    assert caplog.messages == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_program_with_a_full_stdout_goes_on() -> None:
    code = """
import sys
from websockets.sync.client import connect
from echoserver import EchoServer
sys.stdout = open("/dev/full", "w", buffering=1)
with EchoServer(0, True, host="127.0.0.1") as server, connect(server.url) as client:
    client.send("hello")
    assert client.recv() == "hello"
    print(server.stats().callback_errors, file=sys.stderr)
sys.stdout = None
"""
    status, out, err = finished(python(code, env={"PYTHONWARNINGS": "ignore"}))
    assert (status, out) == (0, "")
    assert err.splitlines()[:2] == ["sys.stdout: No space left on device; nothing more is printed", "0"]
