"""EchoTestServer: how it ends, and that what went wrong in callbacks comes out of that."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import websockets

from echoserver import Client, EchoServer
from echoserver.testing import EchoTestServer
from support import TIMEOUT, RawClient, connect, in_thread, join


class Mine(Exception):  # noqa: N818
    """Of a callback."""


def fail(_client: Client, message: str) -> None:
    raise Mine(message)


def test_it_is_an_echo_server_on_a_free_port_of_this_machine() -> None:
    with EchoTestServer() as server, connect(server.url) as ws:
        assert isinstance(server, EchoServer)
        assert server.address[0] == "127.0.0.1"
        ws.send("hello")
        assert ws.recv() == server.accept().recv() == "hello"


def test_it_takes_every_option_of_a_server() -> None:
    with EchoTestServer(subprotocols=["a"], host="127.0.0.2", workers=2, on_text=lambda _, text: text * 2) as server:
        assert server.url.startswith("ws://127.0.0.2:")
        with connect(server.url, subprotocols=[websockets.Subprotocol("a")]) as ws:
            ws.send("x")
            assert ws.recv() == "xx"
            assert server.accept().subprotocol == "a"
    with pytest.raises(TypeError, match="no_option"):
        EchoTestServer(no_option=1)


def test_clients_that_do_not_answer_the_close_are_dropped_and_named() -> None:
    server = EchoTestServer().start()
    with RawClient(server.port, path="/silent").opened() as raw, connect(server.url):
        silent = server.accept("/silent")
        server.stop()
        assert raw.close_code() == 1001
        assert raw.is_dropped()
    assert server.unanswered == (silent,)
    assert silent.close_code == 1001
    assert server.transcript().splitlines()[-1] == f"did not answer the close: {silent!r}"


def test_with_a_timeout_they_have_so_long_and_are_named_as_well() -> None:
    server = EchoTestServer().start()
    with RawClient(server.port).opened() as raw, connect(server.url):
        silent = server.accept()
        server.accept()
        server.stop(timeout=0.1)
        assert raw.close_code() == 1001
        assert raw.is_dropped()
    assert server.unanswered == (silent,)


def test_whoever_stops_it_who_did_not_answer_is_named_once() -> None:
    server = EchoTestServer().start()
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(RawClient(server.port).opened())
        silent = server.clients
        for thread in [in_thread(server.stop) for _ in range(8)]:
            join(thread)
    assert sorted(client.id for client in server.unanswered) == [client.id for client in silent]
    assert server.transcript().count("did not answer the close") == 100


def test_who_answers_within_the_timeout_is_not_named() -> None:
    server = EchoTestServer().start()
    with RawClient(server.port).opened() as raw, ThreadPoolExecutor() as pool:
        stopping = pool.submit(server.stop, TIMEOUT)
        assert raw.close_code() == 1001
        raw.send(8, (1001).to_bytes(2))
        stopping.result(TIMEOUT)
    assert server.unanswered == ()


@pytest.mark.parametrize("timeout", ["1", -1, float("nan")])
def test_a_wrong_timeout_is_refused_as_by_every_server(timeout: Any) -> None:
    with EchoServer(0, host="127.0.0.1") as server, EchoTestServer() as test_server:
        with pytest.raises((TypeError, ValueError)) as expected:
            server.stop(timeout)
        with pytest.raises(expected.type) as caught:
            test_server.stop(timeout)
        assert str(caught.value) == str(expected.value)
        assert test_server.is_serving


@pytest.mark.parametrize("way", ["async with", "stop_async", "stop_async(0.1)"])
def test_on_a_loop_they_are_dropped_as_well(way: str) -> None:
    async def main() -> None:
        if way == "async with":
            async with EchoTestServer() as server:
                raw = await asyncio.to_thread(lambda: RawClient(server.port).opened())
        else:
            server = EchoTestServer().start()
            raw = await asyncio.to_thread(lambda: RawClient(server.port).opened())
            await server.stop_async(0.1 if "0.1" in way else None)
        with raw:
            assert raw.close_code() == 1001
            assert raw.is_dropped()
        assert len(server.unanswered) == 1

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))


def test_a_cancelled_async_with_is_left_when_the_server_has_ended() -> None:
    async def main() -> None:
        server = EchoTestServer()

        async def use() -> None:
            async with server:
                raw.append(await asyncio.to_thread(lambda: RawClient(server.port).opened()))

        raw: list[RawClient] = []
        using = asyncio.create_task(use())
        while server.is_serving or not server.accepted:
            await asyncio.sleep(0)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        raw[0].close()
        assert repr(server).endswith(" stopped>")
        assert len(server.unanswered) == 1

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))


def fails_in_a_callback(server: EchoTestServer) -> None:
    with connect(server.url) as ws:
        ws.send("first")
        ws.send("second")
        server.wait_received(2)


def test_leaving_with_raises_the_first_error_of_a_callback_with_its_traceback() -> None:
    server = EchoTestServer(on_text=fail)
    with pytest.raises(Mine, match="first") as caught, server:
        fails_in_a_callback(server)
    assert caught.traceback[-1].name == "fail"
    assert caught.value.__notes__ == ["a callback has raised after it: Mine('second')"]
    # Once.
    server.stop()


def test_stop_raises_it() -> None:
    server = EchoTestServer(on_text=fail).start()
    fails_in_a_callback(server)
    with pytest.raises(Mine, match="first"):
        server.stop()


def test_on_a_loop_it_comes_out_as_well() -> None:
    async def main() -> None:
        async with EchoTestServer(on_text=fail) as server, websockets.connect(server.url, proxy=None) as ws:
            await ws.send("first")
            await server.wait_received_async(1)

    with pytest.raises(Mine, match="first"):
        asyncio.run(main())

    async def stops() -> None:
        server = EchoTestServer(on_text=fail).start()
        async with websockets.connect(server.url, proxy=None) as ws:
            await ws.send("first")
            await server.wait_received_async(1)
        await server.stop_async()

    with pytest.raises(Mine, match="first"):
        asyncio.run(stops())


def test_an_exception_of_the_block_goes_first_with_a_note() -> None:
    def fails_itself(server: EchoTestServer) -> None:
        fails_in_a_callback(server)
        raise ZeroDivisionError

    server = EchoTestServer(on_text=fail)
    with pytest.raises(ZeroDivisionError) as caught, server:
        fails_itself(server)
    assert caught.value.__notes__ == [
        "a callback has raised, too: Mine('first')",
        "a callback has raised, too: Mine('second')",
    ]


def test_what_was_expected_is_taken_out() -> None:
    with EchoTestServer(on_text=fail) as server:
        fails_in_a_callback(server)
        assert [str(error) for error in server.errors] == ["first", "second"]
        server.errors.clear()
    with EchoTestServer(on_text=fail, check_errors=False) as server:
        fails_in_a_callback(server)
    assert len(server.errors) == 2


def test_on_error_has_them_instead() -> None:
    seen: list[BaseException] = []
    with EchoTestServer(on_text=fail, on_error=lambda _, error: seen.append(error)) as server:
        fails_in_a_callback(server)
    assert [str(error) for error in seen] == ["first", "second"]

    class Own(EchoTestServer):
        def on_error(self, _client: Client | None, error: BaseException) -> None:
            seen.append(error)

    with Own(on_text=fail) as server:
        fails_in_a_callback(server)
    assert len(seen) == 4


def test_a_callback_may_stop_it() -> None:
    stopped = threading.Event()

    def on_text(client: Client, _message: str) -> None:
        server: Any = client.server
        server.stop()
        stopped.set()

    with EchoTestServer(on_text=on_text) as server, connect(server.url) as ws:
        ws.send("x")
        assert stopped.wait(TIMEOUT)


def test_the_transcript_has_what_clients_did() -> None:
    with EchoTestServer() as server:
        assert server.transcript() == "no request came"
        with connect(server.url_for("a?b")) as ws:
            ws.send("hello")
            ws.send(b"\0")
            server.wait_received(2)
            ws.close(4000, "done")
        server.wait_until(lambda: server.accepted[0].close_code)
    lines = [line.lstrip() for line in server.transcript().splitlines()]
    assert lines[0].startswith("0.000  GET /a?b from 127.0.0.1:")
    assert lines[0].endswith(": 101")
    assert [line.split("  ", 1)[1] for line in lines[1:]] == [
        "client 1 is connected",
        "client 1 sent 'hello'",
        "client 1 sent b'\\x00'",
        "client 1 is closed: 4000 'done'",
    ]
