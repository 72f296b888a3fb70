"""What the next clients get instead of a plain 101, as a raw client sees it."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import websockets

from echoserver import EchoServer
from echoserver.testing import (
    Accept,
    BadAccept,
    Delay,
    EchoTestServer,
    Hang,
    Reset,
    Response,
    WrongExtension,
    WrongSubprotocol,
)
from echoserver.testing.handshakes import Handshake
from support import TIMEOUT, RawClient, connect, eventually, finished, python

NEEDS_FORK = pytest.mark.skipif(sys.platform == "win32", reason="no fork")


def answered(server: EchoServer, *lines: str) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer."""
    with RawClient(server.port, *lines) as raw:
        return raw.status(), raw.headers


def test_each_request_takes_one_and_then_all_is_as_usual() -> None:
    with EchoTestServer() as server:
        server.handshakes.extend([Response(503, {"Retry-After": "1"}, "later"), Response(429)])
        assert answered(server)[0] == 503
        assert answered(server)[0] == 429
        assert not server.handshakes
        with connect(server.url) as ws:
            ws.send("x")
            assert ws.recv() == "x"
        assert [one.status for one in server.requests] == [503, 429, 101]


def test_only_good_requests_take_one_and_they_do_before_on_handshake() -> None:
    asked: list[str] = []
    with EchoTestServer(on_handshake=lambda request: asked.append(request.path)) as server:
        server.handshakes.append(Response(401))
        assert answered(server, "Sec-WebSocket-Version: 8")[0] == 426
        assert answered(server)[0] == 401
        assert asked == []
        assert answered(server)[0] == 101
        assert asked == ["/"]


def test_accept_adds_to_the_101_and_chooses_a_subprotocol() -> None:
    with EchoTestServer() as server:
        server.handshakes.append(Accept({"Set-Cookie": "a=b"}, subprotocol="second"))
        status, headers = answered(server, "Sec-WebSocket-Protocol: first, second")
        assert (status, headers["set-cookie"], headers["sec-websocket-protocol"]) == (101, "a=b", "second")
        assert server.accept().subprotocol == "second"


OTHER = Accept(subprotocol="other")


@pytest.mark.parametrize("entry", [OTHER, Delay(0.01, OTHER), Delay(0, then=Delay(0, OTHER))])
def test_a_subprotocol_that_is_not_offered_is_an_error_of_the_test(entry: Handshake) -> None:
    server = EchoTestServer(on_handshake=lambda _: None).start()
    server.handshakes.append(entry)
    assert answered(server)[0] == 500
    server.handshakes.append(entry)
    assert answered(server, "Sec-WebSocket-Protocol: first, other")[0] == 101
    with pytest.raises(
        ValueError, match=r"subprotocol='other': an entry of handshakes has chosen what the client does not offer"
    ):
        server.stop()


def test_without_on_error_the_log_says_that_an_entry_was_wrong(
    caplog: pytest.LogCaptureFixture, reported: queue.Queue[BaseException | None]
) -> None:
    with EchoTestServer(on_handshake=lambda _: None) as server:
        server.on_error = None  # pyright: ignore[reportAttributeAccessIssue] - takes it for a method
        server.handshakes.append(OTHER)
        assert answered(server)[0] == 500
    assert isinstance(reported.get_nowait(), ValueError)
    (record,) = caplog.records
    assert record.getMessage().startswith("error in handshakes, request of 127.0.0.1:")


@pytest.mark.parametrize("is_entry", [False, True])
def test_who_has_its_500_finds_the_error(is_entry: bool) -> None:
    with EchoTestServer(on_handshake=lambda _: OTHER) as server:
        for count in range(1, 51):
            if is_entry:
                server.handshakes.append(OTHER)
            assert answered(server)[0] == 500
            assert len(server.errors) == server.stats().callback_errors == count
        server.errors.clear()


def test_bad_accept_is_a_101_for_another_key() -> None:
    with EchoTestServer() as server:
        good = answered(server)[1]["sec-websocket-accept"]
        assert not good.startswith("A")
        server.handshakes.append(BadAccept())
        status, headers = answered(server)
        assert (status, headers["sec-websocket-accept"]) == (101, "A" + good[1:])
        server.handshakes.append(BadAccept())
        with pytest.raises(websockets.InvalidHeader, match="Sec-WebSocket-Accept"), connect(server.url):
            pass


@pytest.mark.parametrize("lines", [[], ["Sec-WebSocket-Protocol: a"]])
def test_wrong_subprotocol_is_a_101_with_what_was_not_offered(lines: list[str]) -> None:
    with EchoTestServer(subprotocols=["a"]) as server:
        server.handshakes.extend([WrongSubprotocol(), WrongSubprotocol("b")])
        assert answered(server, *lines)[1]["sec-websocket-protocol"] == "not-offered"
        assert answered(server, *lines)[1]["sec-websocket-protocol"] == "b"


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_wrong_extension_is_a_101_with_what_was_not_offered(compression: Any) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    with EchoTestServer(compression=compression) as server:
        server.handshakes.extend([WrongExtension(), WrongExtension("permessage-deflate; a=1")])
        assert answered(server)[1]["sec-websocket-extensions"] == "x-not-offered"
        with RawClient(server.port, offer) as raw:
            raw.opened()
            assert raw.headers["sec-websocket-extensions"] == "permessage-deflate; a=1"
            # It is not spoken, whatever is offered.
            raw.send(1, b"long " * 100)
            assert raw.receive() == (1, b"long " * 100)
        server.handshakes.append(WrongExtension())
        with pytest.raises(websockets.NegotiationError, match="extension"), connect(server.url):
            pass
    with pytest.raises(ValueError, match="control characters"):
        WrongExtension("a\r\nb")


RESET = """
import os, socket, sys
from echoserver.testing import EchoTestServer, Reset
sys.path.insert(0, TESTS)
from support import RawClient
with EchoTestServer() as server:
    server.handshakes.append(Reset())
    if FORKS:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    with RawClient(server.port) as raw:
        try:
            raw.socket.recv(1)
        except ConnectionResetError:
            print("reset")
    assert [one.status for one in server.requests] == [None]
"""


@pytest.mark.parametrize("forks", [False, pytest.param(True, marks=NEEDS_FORK)])
def test_reset_is_a_tcp_reset(forks: bool) -> None:
    """Also after a fork, since when connections are shut down before they are closed."""
    here = str(Path(__file__).parent)
    program = RESET.replace("TESTS", repr(here)).replace("FORKS", repr(forks))
    assert finished(python(program, env={"PYTHONWARNINGS": "ignore"})) == (0, "reset\n", "")


def test_hang_answers_nothing_until_the_client_goes_or_the_server_ends() -> None:
    with EchoTestServer(open_timeout=0.05) as server:
        server.handshakes.extend([Hang(), Hang()])
        with RawClient(server.port) as raw:
            (request,) = server.wait_until(lambda: server.requests)
            raw.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                raw.socket.recv(1)
            assert request.status is None
        # The next one is not held up by it, and sees the end of the server.
        with RawClient(server.port) as raw:
            eventually(lambda: not server.handshakes, "the second")
            server.stop()
            assert raw.socket.recv(1) == b""


def test_delay_answers_later_also_beyond_open_timeout() -> None:
    with EchoTestServer(open_timeout=0.05) as server:
        for then, status in [(None, 101), (Response(503), 503), (Delay(0.01, Response(404)), 404)]:
            server.handshakes.append(Delay(0.1, then=then))
            begin = time.monotonic()
            assert answered(server)[0] == status
            assert time.monotonic() - begin >= 0.1


def test_after_a_delay_on_handshake_is_asked() -> None:
    asked: list[str] = []
    with EchoTestServer(on_handshake=lambda request: asked.append(request.path)) as server:
        server.handshakes.extend([Delay(0.01), Response(503)])
        assert answered(server)[0] == 101
        assert asked == ["/"]
        # It has taken one, not two.
        assert answered(server)[0] == 503


def test_who_goes_during_a_delay_is_not_asked_about() -> None:
    with EchoTestServer() as server:
        server.handshakes.append(Delay(3600))
        with RawClient(server.port):
            eventually(lambda: not server.handshakes, "the delay")
        server.handshakes.append(Response(503))
        assert answered(server)[0] == 503


def test_concurrent_requests_take_one_each() -> None:
    with EchoTestServer() as server:
        server.handshakes.extend([Response(400 + count) for count in range(20)])
        seen: list[int] = []
        threads = [threading.Thread(target=lambda: seen.append(answered(server)[0])) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert sorted(seen) == [400 + count for count in range(20)]


def test_what_is_left_is_an_error_of_the_test() -> None:
    server = EchoTestServer().start()
    server.handshakes.append(Hang())
    with pytest.raises(AssertionError, match=r"no client has asked for these handshakes: Hang\(\)"):
        server.stop()
    server = EchoTestServer(check_unused=False).start()
    server.handshakes.append(Hang())
    server.stop()


@pytest.mark.parametrize(
    "put",
    [
        lambda queue, entry: queue.append(entry),
        lambda queue, entry: queue.appendleft(entry),
        lambda queue, entry: queue.extend([Hang(), entry]),
        lambda queue, entry: queue.extendleft([Hang(), entry]),
        lambda queue, entry: queue.insert(0, entry),
        lambda queue, entry: queue.__iadd__([entry]),
        lambda queue, entry: queue.__setitem__(0, entry),
        lambda _, entry: Delay(1, then=entry),
    ],
)
def test_what_is_no_answer_is_refused_where_it_is_put_in(put: Any) -> None:
    with EchoTestServer(check_unused=False) as server:
        server.handshakes.append(Reset())
        for entry, shown in [(503, "503"), ("x", "'x'"), (Hang, r"the class Hang: an object of it is Hang\(\)")]:
            with pytest.raises(TypeError, match=f"handshakes does not take {shown}; it takes Accept, BadAccept, "):
                put(server.handshakes, entry)
        assert list(server.handshakes) == [Reset()]


def test_it_is_a_deque() -> None:
    with EchoTestServer(check_unused=False) as server:
        queue = server.handshakes
        assert isinstance(queue, deque)
        assert queue is server.handshakes
        queue.extend([Reset(), Hang()])
        queue.rotate(1)
        queue += [Delay(1)]
        queue.appendleft(BadAccept())
        queue[0] = WrongSubprotocol()
        assert list(queue) == [WrongSubprotocol(), Hang(), Reset(), Delay(1)]
        assert queue.pop() == Delay(1)


def test_arguments_are_checked_where_they_are_given() -> None:
    wrong: Any = "1"
    with pytest.raises(TypeError, match="Delay: seconds='1': must be 0 to 3600 seconds, not str"):
        Delay(wrong)
    for seconds in (-1, 3601, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"Delay: seconds=.*: must be 0 to 3600 seconds"):
            Delay(seconds)
    with pytest.raises(ValueError, match="name='a b'"):
        WrongSubprotocol("a b")
