"""How a connection ends, and how that is told to the application."""

from __future__ import annotations

import asyncio
import enum
import threading
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from echoserver import Client
from support import TIMEOUT, RawClient, Watched, connect, eventually, frame, in_thread, join

if TYPE_CHECKING:
    from conftest import Listen


class Code(enum.IntEnum):
    MINE = 4001


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [((), 1000, ""), ((1001, "bye"), 1001, "bye"), ((3000,), 3000, ""), ((Code.MINE, "é" * 61), 4001, "é" * 61)],
)
def test_close_tells_code_and_reason(watched: Watched, arguments: Any, code: int, reason: str) -> None:
    with connect(watched.url) as raw:
        client = watched.next()
        client.close(*arguments)
        with pytest.raises(ConnectionClosed):
            raw.recv(TIMEOUT)
        assert (raw.close_code, raw.close_reason) == (code, reason)
    assert watched.gone() is client
    assert (client.close_code, client.close_reason) == (code, reason)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, 65536, 2**40])
def test_a_close_code_that_may_not_be_sent_is_a_value_error(watched: Watched, code: int) -> None:
    with connect(watched.url) as raw:
        client = watched.next()
        with pytest.raises(ValueError, match=f"code={code}"):
            client.close(code)
        raw.send("still open")
        assert raw.recv(TIMEOUT) == "still open"


@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62])
def test_a_reason_beyond_123_bytes_is_a_value_error(watched: Watched, reason: str) -> None:
    with connect(watched.url):
        client = watched.next()
        with pytest.raises(ValueError, match="124 bytes"):
            client.close(1000, reason)


def test_wrong_types_of_close_are_type_errors(watched: Watched) -> None:
    with connect(watched.url):
        client = watched.next()
        for arguments in [("1000",), (None,), (1000, None), (1000, b"x"), (1000.0,)]:
            with pytest.raises(TypeError):
                client.close(*arguments)  # type: ignore[arg-type]


def test_closing_in_a_callback_sends_the_replies_before_it(run: Listen) -> None:
    def on_text(client: Client, text: str) -> None:
        if text == "end":
            client.close(4000, "as you wish")

    server = run(on_text=on_text)
    with RawClient(server.port).opened() as client:
        client.socket.sendall(frame(1, b"a") + frame(1, b"b") + frame(1, b"end"))
        received = [client.receive() for _ in range(3)]
    assert received == [(1, b"a"), (1, b"b"), (8, b"\x0f\xa0as you wish")]


def test_abort_drops_the_connection_without_a_close_frame(watched: Watched) -> None:
    with RawClient(watched.port).opened() as raw:
        client = watched.next()
        client.abort()
        with pytest.raises((EOFError, ConnectionResetError)):
            raw.receive()
    assert watched.gone() is client
    assert (client.close_code, client.close_reason) == (1006, "")


def test_aborting_in_a_callback_ends_that_client_only(run: Listen) -> None:
    server = run(on_text=lambda client, _: client.abort())
    with RawClient(server.port).opened() as one, RawClient(server.port).opened() as two:
        one.send(1, b"x")
        assert one.is_dropped()
        two.send(2, b"y")
        assert two.receive() == (2, b"y")


@pytest.mark.parametrize(
    ("last", "code", "reason"),
    [
        (frame(8, b"\x0f\xa0bye"), 4000, "bye"),
        (frame(8, b"\x03\xe8"), 1000, ""),
        (frame(8), 1005, ""),
        (b"", 1006, ""),
        (frame(3), 1002, None),
        (frame(1, b"\xff"), 1007, None),
    ],
)
def test_close_codes_are_told_honestly(watched: Watched, last: bytes, code: int, reason: str | None) -> None:
    with RawClient(watched.port).opened() as raw:
        client = watched.next()
        assert (client.close_code, client.close_reason) == (None, None)
        raw.socket.sendall(last)
    assert watched.gone() is client
    assert client.close_code == code
    assert client.close_reason if reason is None else client.close_reason == reason


def test_a_stop_is_1001_also_on_this_side(watched: Watched) -> None:
    with connect(watched.url):
        client = watched.next()
        watched.server.stop()
    assert client.close_code == 1001


# What a client's last bytes may be, and the code of the close frame that answers them.
LAST_WORDS = [(frame(8, b"\x03\xe8"), 1000), (b"\xff", 1002)]


@pytest.mark.parametrize(("last", "code"), LAST_WORDS)
def test_what_a_callback_sends_beside_a_close_goes_out_before_it(run: Listen, last: bytes, code: int) -> None:
    open_in_callback: list[bool] = []

    def on_text(client: Client, text: str) -> str:
        open_in_callback.append(client.is_open)
        assert client.send(b"sent") == 4
        return text

    server = run(on_text=on_text)
    with RawClient(server.port).opened() as client:
        client.socket.sendall(frame(1, b"a") + frame(1, b"b") + last)
        received = [client.receive() for _ in range(4)]
        assert client.close_code() == code
    assert received == [(2, b"sent"), (1, b"a"), (2, b"sent"), (1, b"b")]
    assert open_in_callback == [True, True]


def test_a_client_is_not_idle_while_its_callback_runs(run: Listen) -> None:
    answered = threading.Event()
    slow = threading.Event()

    def on_text(_: Client, __: str) -> None:
        slow.wait(0.6)

    server = run(on_text=on_text, idle_timeout=0.2, on_disconnect=lambda _: answered.set())
    with RawClient(server.port).opened() as client:
        client.send(1, b"a question")
        assert client.receive() == (1, b"a question")
        assert client.close_code() == 1001
    assert answered.wait(TIMEOUT)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("where", ["in the callback", "in another thread"])
@pytest.mark.parametrize("is_async", [False, True])
def test_after_our_close_no_message_reaches_a_callback(run: Listen, how: str, where: str, is_async: bool) -> None:
    calls: list[str] = []
    gone = threading.Event()

    def on_text(client: Client, message: str) -> None:
        calls.append(message)
        if message == "2":
            if where == "in the callback":
                getattr(client, how)()
            else:
                join(in_thread(getattr(client, how)))

    async def coroutine(client: Client, message: str) -> None:
        await asyncio.sleep(0)
        on_text(client, message)

    server = run(on_text=coroutine if is_async else on_text, on_disconnect=lambda _: gone.set())
    with RawClient(server.port) as raw:
        raw.opened()
        raw.socket.sendall(b"".join(frame(1, str(number).encode()) for number in range(1, 7)))
        if how == "close":
            replies = []
            while (received := raw.receive())[0] == 1:
                replies.append(received[1])
            assert received == (8, b"\x03\xe8")
            assert replies == [b"1"]
        else:
            assert raw.is_dropped()
    assert gone.wait(TIMEOUT)
    assert calls == ["1", "2"]


@pytest.mark.parametrize("end", ["close", "violation", "reset", "stop"])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_came_before_any_other_end_still_reaches_the_callback(run: Listen, end: str, is_async: bool) -> None:
    calls: list[str] = []
    first, gone, go_on = threading.Event(), threading.Event(), threading.Event()

    def on_text(_client: Client, message: str) -> None:
        calls.append(message)
        first.set()
        assert go_on.wait(TIMEOUT)

    async def coroutine(client: Client, message: str) -> None:
        await asyncio.to_thread(on_text, client, message)

    callback = coroutine if is_async else on_text
    server = run(on_text=callback, on_disconnect=lambda _: gone.set(), close_timeout=1.0)
    endings = {"close": frame(8, b"\x03\xe8"), "violation": b"\xff\xff", "reset": b"", "stop": b""}
    with RawClient(server.port) as raw:
        raw.opened()
        raw.socket.sendall(b"".join(frame(1, str(number).encode()) for number in range(4)) + endings[end])
        assert first.wait(TIMEOUT)
        eventually(lambda: server.stats().text_messages_received == 4)
        if end == "reset":
            raw.reset_at_close()
            raw.close()
        ending = in_thread(server.stop if end == "stop" else lambda: None)
        if end == "stop":
            eventually(lambda: not server.is_serving)
            raw.send(8, b"\x03\xe9")
        go_on.set()
        assert gone.wait(TIMEOUT)
        join(ending)
    assert calls == ["0", "1", "2", "3"]
