"""Each fault of requests as bytes on a socket, with and without TLS, and how it is selected.

Each has a check, and each check is tried on a server without the fault, too: there it fails.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from echoserver import Accept, Client, Request, Response
from echoserver._core import FAULTS
from echoserver.faults import FaultKind
from echoserver.testing import (
    BadAccept,
    Delay,
    Drop,
    EchoTestServer,
    Fault,
    Hang,
    Reset,
    WrongExtension,
    WrongSubprotocol,
)
from support import RawClient, connect, eventually, in_thread, join

OFFERS = ("Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: permessage-deflate")


@dataclass
class Scene:
    """A client that has asked, and the fault that it meets, if there is one."""

    server: EchoTestServer
    raw: RawClient
    fault: Fault | None


def answered(scene: Scene) -> tuple[int, dict[str, str]]:
    """Status and headers."""
    return scene.raw.status(), scene.raw.headers


def refused(scene: Scene) -> tuple[int, dict[str, str], bytes]:
    """All of the response, if that is the end of the connection."""
    status, headers = answered(scene)
    if status == 101:
        return status, headers, b""
    return status, headers, scene.raw.file.read()


def is_silent(scene: Scene) -> bool:
    """Whether there is no answer when the fault has acted."""
    fault, socket = scene.fault, scene.raw.socket
    if fault:
        eventually(lambda: select.select([socket], [], [], 0)[0] or fault.hits)
    # On one worker: these are answered after what was asked before.
    for _ in range(3):
        with RawClient(scene.server.port, path="/other", context=context_of(scene.server)).opened():
            pass
    return not select.select([socket], [], [], 0)[0]


def echoes(raw: RawClient) -> bool:
    raw.send(1, b"one")
    return raw.receive() == (1, b"one")


@dataclass
class Row:
    """A fault, and what comes of it: `talk` says what was seen, `check` whether it is that."""

    fault: FaultKind | Response | Accept
    talk: Callable[[Scene], Any]
    check: Callable[[Any], bool]


ROWS = [
    Row(Response(503), refused, lambda got: got[0] == 503 and got[2] == b""),
    Row(
        Response(429, {"Retry-After": "2"}, "later"),
        refused,
        lambda got: (got[0], got[1].get("retry-after"), got[2]) == (429, "2", b"later"),
    ),
    Row(
        Accept({"X-Room": "7"}, "b"),
        answered,
        lambda got: got[0] == 101 and got[1].get("x-room") == "7" and got[1].get("sec-websocket-protocol") == "b",
    ),
    # The client has not offered it.
    Row(Accept(subprotocol="c"), answered, lambda got: got[0] == 500),
    Row(Delay(3600), is_silent, bool),
    Row(Delay(0.01, Response(503)), refused, lambda got: got[0] == 503),
    Row(Delay(0, Delay(0, Hang())), is_silent, bool),
    Row(Hang(), is_silent, bool),
    Row(BadAccept(), answered, lambda got: got[0] == 101 and got[1]["sec-websocket-accept"].startswith("A")),
    Row(WrongSubprotocol(), answered, lambda got: got[1].get("sec-websocket-protocol") == "not-offered"),
    Row(WrongSubprotocol("c"), answered, lambda got: got[1].get("sec-websocket-protocol") == "c"),
    Row(WrongExtension(), answered, lambda got: got[1].get("sec-websocket-extensions") == "x-not-offered"),
    Row(WrongExtension("a; b=c"), answered, lambda got: got[1].get("sec-websocket-extensions") == "a; b=c"),
]


def context_of(server: EchoTestServer) -> Any:
    return server.ssl_context() if server.url.startswith("wss") else None


def play(row: Row, *, acts: bool, tls: bool) -> bool:
    options: dict[str, Any] = {"tls": "self-signed"} if tls else {}
    with EchoTestServer(compression="deflate", subprotocols=["a"], **options) as server:
        fault = server.fault(row.fault, path="/") if acts else None
        with RawClient(server.port, *OFFERS, context=context_of(server)) as raw:
            found = row.check(row.talk(Scene(server, raw, fault)))
        # Only who asks for the path, and nobody when it has ended.
        with RawClient(server.port, path="/other", context=context_of(server)).opened() as raw:
            assert echoes(raw)
        if fault:
            assert fault.hits == 1
            fault.stop()
        with RawClient(server.port, context=context_of(server)).opened() as raw:
            assert echoes(raw)
        return found


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: repr(row.fault))
def test_a_fault_is_this(row: Row, tls: bool) -> None:
    assert play(row, acts=True, tls=tls)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: repr(row.fault))
def test_without_it_it_is_not(row: Row) -> None:
    assert not play(row, acts=False, tls=False)


def test_every_fault_of_requests_has_a_row() -> None:
    requests = {row["class"] for row in FAULTS if row["opportunity"] == "request"}
    assert {type(row.fault).__name__ for row in ROWS} == requests


def statuses(server: EchoTestServer, count: int, path: str = "/") -> list[int]:
    found = []
    for _ in range(count):
        with RawClient(server.port, path=path) as raw:
            found.append(raw.status())
    return found


def test_requests_count_for_the_server() -> None:
    with EchoTestServer() as server:
        with server.fault(Response(503), path="/a", after=1, every=2, times=2) as fault:
            assert statuses(server, 3, "/a?b=c") == [101, 101, 503]
            assert statuses(server, 3, "/b") == [101, 101, 101]
            assert statuses(server, 4, "/a") == [101, 503, 101, 101]
            assert fault.hits == 2
        with server.fault(Response(503)) as one, server.fault(Response(429)) as other:
            # One answer, of the first that acts.
            assert statuses(server, 2) == [503, 503]
            assert (one.hits, other.hits) == (2, 0)
            one.stop()
            assert statuses(server, 1) == [429]


def test_text_says_the_same() -> None:
    text = "status=429,retry-after:2,times:1&wrong-subprotocol=x,times:1&delay=10ms,times:1&bad-accept,path:/b,times:1"
    with EchoTestServer(faults=text) as server:
        seen: list[tuple[int, str | None, str | None, str | None]] = []
        for path in ("/a", "/a", "/a", "/b"):
            with RawClient(server.port, path=path) as raw:
                status = raw.status()
                protocol, key = (raw.headers.get(f"sec-websocket-{name}") for name in ("protocol", "accept"))
                seen.append((status, raw.headers.get("retry-after"), protocol, key))
        good = seen[2][3]
        assert good
        assert seen == [
            (429, "2", None, None),
            (101, None, "x", good),
            (101, None, None, good),
            (101, None, None, "A" + good[1:]),
        ]


def test_only_good_requests_are_opportunities() -> None:
    with EchoTestServer() as server, server.fault(Response(503), times=1) as fault:
        with RawClient(server.port, "Sec-WebSocket-Version: 8") as raw:
            assert raw.status() == 426
        assert fault.hits == 0
        assert statuses(server, 2) == [503, 101]


def test_the_same_seed_refuses_the_same_requests() -> None:
    def refusals(seed: int) -> list[int]:
        with EchoTestServer(seed=seed) as server, server.fault(Response(503), probability=0.5):
            return statuses(server, 32)

    first = refusals(7)
    assert refusals(7) == first != refusals(8)
    assert set(first) == {101, 503}


def test_it_acts_before_handshakes_and_on_handshake() -> None:
    asked: list[str] = []

    def on_handshake(request: Request) -> Response:
        asked.append(request.path)
        return Response(401)

    with EchoTestServer(on_handshake=on_handshake) as server:
        server.handshakes.append(Response(402))
        with server.fault(Response(503)):
            assert statuses(server, 1) == [503]
        assert asked == []
        # What would come anyway comes later.
        with server.fault(Delay(0.01)) as fault:
            assert statuses(server, 1) == [402]
            assert statuses(server, 1) == [401]
            assert (fault.hits, asked) == (2, ["/"])


def test_after_a_delay_the_next_fault_answers() -> None:
    with EchoTestServer() as server:
        faults = [server.fault(kind) for kind in (Delay(0.01), Delay(0.01), Response(503), Response(429))]
        assert statuses(server, 1) == [503]
        assert [fault.hits for fault in faults] == [1, 1, 1, 0]
        faults[2].stop()
        assert statuses(server, 1) == [429]
        faults[3].stop()
        assert statuses(server, 1) == [101]


def test_what_hangs_does_so_after_the_fault_until_somebody_goes() -> None:
    with EchoTestServer() as server, server.fault(Hang()) as fault, RawClient(server.port) as raw:
        eventually(lambda: fault.hits)
        fault.stop()
        assert statuses(server, 1) == [101]
        assert not select.select([raw.socket], [], [], 0)[0]
        server.stop()
        assert raw.file.read() == b""


def test_a_callback_may_set_one_for_requests_that_follow() -> None:
    def on_text(client: Client, _message: str) -> None:
        client.server.fault(Response(503), times=1)

    with EchoTestServer(on_text=on_text) as server, connect(server.url) as ws:
        ws.send("refuse the next")
        ws.recv()
        assert statuses(server, 2) == [503, 101]


def test_requests_in_parallel_share_the_times() -> None:
    with EchoTestServer(workers=2) as server, server.fault(Response(503), times=20) as fault:
        found: list[int] = []
        threads = [in_thread(lambda: found.extend(statuses(server, 10))) for _ in range(4)]
        for thread in threads:
            join(thread)
        assert (found.count(503), found.count(101), fault.hits) == (20, 20, 20)


def test_a_fault_of_requests_changes_nothing_of_who_is_there() -> None:
    with (
        EchoTestServer() as server,
        connect(server.url) as ws,
        server.fault(Response(503)),
        server.fault(Drop()) as drop,
    ):
        ws.send("dropped")
        eventually(lambda: drop.hits)
        drop.stop()
        ws.send("x")
        assert ws.recv() == "x"
        assert statuses(server, 1) == [503]


@pytest.mark.parametrize("kind", [Response(503), Accept(), Delay(1), Hang(), BadAccept()], ids=repr)
def test_what_a_request_does_not_have_is_no_selector(kind: Any) -> None:
    name = type(kind).__name__
    with EchoTestServer() as server, connect(server.url):
        client = server.accept()
        with pytest.raises(ValueError, match=rf"^{name}: client=.*: it acts on requests, which are of no client yet"):
            server.fault(kind, client=client)
        with pytest.raises(ValueError, match=rf"^{name}: after='1s': it acts on requests, before there is a 101"):
            server.fault(kind, after="1s")
        assert statuses(server, 1) == [101]


@pytest.mark.parametrize("then", [Drop(), "x", Response, 5])
def test_what_a_delay_can_not_have(then: Any) -> None:
    with pytest.raises(
        TypeError, match=f"^handshakes does not take {re.escape(shown(then))}; it takes Accept, BadAccept, "
    ):
        Delay(1, then)


def shown(value: Any) -> str:
    return "the class Response: an object of it is Response()" if value is Response else repr(value)


def test_a_reset_answers_a_delayed_request() -> None:
    with (
        EchoTestServer() as server,
        server.fault(Delay(0, Reset())),
        RawClient(server.port) as raw,
        pytest.raises(ConnectionResetError),
    ):
        raw.socket.recv(1)
