"""Faults that clients ask for by URL: each as bytes on a socket, what is told instead, and what nobody gets."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import client_packages
import test_faults_requests as requests
from echoserver import Accept, EchoServer, Request, Response
from echoserver._core import FAULTS
from echoserver.testing import Delay, Drop, EchoTestServer
from fault_rows import WHOLE, Scene, as_text, asking, begun, closed, held_up, said
from support import (
    LOCAL,
    SCRIPT,
    TIMEOUT,
    RawClient,
    connect,
    eventually,
    finished,
    first_line,
    port_of,
    program,
)

NODE = Path(__file__).parent / "node"


@dataclass
class Row:
    """A URL, and what comes of it: `talk` says what was seen, `check` whether it is that."""

    query: str
    talk: Callable[[Scene], Any]
    check: Callable[[Any], bool]


# As nobody writes them who goes by the defaults; the others are in fault_rows.py.
ROWS = [
    Row("duplicate", said, lambda got: got == 2 * WHOLE),
    Row("replace=a%2Cb%26c", said, lambda got: got == b"\x81\x05a,b&c"),
    Row("fragment=size:2&duplicate", said, lambda got: got == 2 * b"\x01\x02on\x80\x01e"),
    Row("close", closed, lambda got: got == b"\x88\x02\x03\xe8"),
    Row("close=4000,reason:%C3%A9", closed, lambda got: got == b"\x88\x04\x0f\xa0\xc3\xa9"),
    Row("violate=rsv1", said, lambda got: got == b"\xc1\x04rsv1" + WHOLE),
    Row("violate=reserved-bit-1", said, lambda got: got == b"\xc1\x04rsv1" + WHOLE),
    Row("latency=1min,direction:in", held_up, lambda seen: seen == (False, True)),
    Row("slice=2,gap:60", begun, lambda size: size == 2),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.query)
def test_a_fault_is_this(row: Row) -> None:
    with asking(row.query, over="plain") as played:
        seen = row.talk(played)
        assert row.check(seen), seen


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.query)
def test_without_it_it_is_not(row: Row) -> None:
    with asking("seed=1", over="plain") as played:
        assert not row.check(row.talk(played))


ANSWERS: list[tuple[str, Callable[[requests.Scene], Any], Callable[[Any], bool]]] = [
    ("status=503", requests.refused, lambda got: got[0] == 503),
    ("status=429,retry-after:1", requests.refused, lambda got: (got[0], got[1].get("retry-after")) == (429, "1")),
    ("delay=10ms&status=503", requests.refused, lambda got: got[0] == 503),
    ("accept=b", requests.answered, lambda got: got[1].get("sec-websocket-protocol") == "b"),
    ("accept=c", requests.answered, lambda got: got[0] == 500),
    ("delay=60", requests.is_silent, bool),
    ("wrong-subprotocol", requests.answered, lambda got: got[1].get("sec-websocket-protocol") == "not-offered"),
    # What a table can say is the same from Python.
    *(
        (as_text(row.fault), row.talk, row.check)
        for row in requests.ROWS
        if not isinstance(row.fault, Accept | Delay | Response)
    ),
]


@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(("query", "talk", "check"), ANSWERS, ids=[query for query, _, _ in ANSWERS])
def test_a_request_gets_this(
    query: str, talk: Callable[[requests.Scene], Any], check: Callable[[Any], bool], acts: bool, recorded: bool
) -> None:
    options: dict[str, Any] = {} if recorded else {"record": None}
    with EchoTestServer(fault_urls=True, subprotocols=["a"], **options) as server:
        path = f"/faults?{query if acts else 'seed=1'}"
        with RawClient(server.port, *requests.OFFERS, path=path) as raw:
            assert check(talk(requests.Scene(server, raw, None))) == acts


def test_what_answers_by_url_may_act_by_chance_and_goes_on() -> None:
    with EchoTestServer(fault_urls=True) as server:
        path = "/faults?status=503,probability:0.5&drop"
        found = requests.statuses(server, 32, path)
        assert set(found) == {503, 101}
        assert requests.statuses(server, 4, f"{path}&seed=7") in ([503] * 4, [101] * 4)
        with RawClient(server.port, path="/faults?delay=1ms&replace=b").opened() as raw:
            raw.send(1, b"a")
            assert raw.receive() == (1, b"b")


def test_every_fault_of_requests_has_a_row() -> None:
    names = {re.split("[=,]", query)[0] for query, _, _ in ANSWERS}
    assert names == {row["name"] for row in FAULTS if row["opportunity"] == "request"}


def test_a_client_of_a_library_gets_what_it_asks_for() -> None:
    with EchoServer(0, host="127.0.0.1", fault_urls=True) as server:
        with connect(server.url_for("/faults?drop,after:1,times:1&close=1011,after:2")) as ws:
            for text in ("1", "2", "3", "4"):
                ws.send(text)
            assert [ws.recv(TIMEOUT), ws.recv(TIMEOUT)] == ["1", "3"]
            with pytest.raises(ConnectionClosed, match="1011"):
                ws.recv(TIMEOUT)
        # State is the connection's: the next one begins anew.
        with connect(server.url_for("/faults?close=1011,after:2")) as ws:
            ws.send("1")
            assert ws.recv(TIMEOUT) == "1"


def test_a_bomb_goes_off_in_who_inflates() -> None:
    with EchoTestServer(fault_urls=True, compression="deflate") as server:
        url = server.url_for("/faults?violate=bomb-of-16-MiB,times:1")
        with connect(url, compression="deflate", max_size=1 << 20) as ws:
            ws.send("a")
            with pytest.raises(ConnectionClosed):
                ws.recv(TIMEOUT)
            assert server.accept().wait_closed(TIMEOUT) == 1009
        with connect(url, compression="deflate", max_size=16 << 20) as ws:
            ws.send("a")
            assert [ws.recv(TIMEOUT), ws.recv(TIMEOUT)] == [bytes(16 << 20), "a"]


# What a client of any language says there is "one", "two" and "end"; it closes then.
TALKS: dict[str, tuple[list[str], int, str]] = {
    "/": (["one", "two", "end"], 1000, ""),
    "/faults?drop,times:1&fragment=1": (["two", "end"], 1000, ""),
    "/faults?duplicate=2,times:1&latency=20ms": (["one", "one", "one", "two", "end"], 1000, ""),
    "/faults?replace=b%2Cc,after:1,times:1": (["one", "b,c", "end"], 1000, ""),
    "/faults?close=4000,after:1,reason:enough": (["one"], 4000, "enough"),
    "/faults?reset": ([], 1006, ""),
    "/faults?half-close,after:1": (["one"], 1006, ""),
    "/faults?lattency=20ms": ([], 1006, ""),
}


@pytest.fixture(scope="module")
def node_path() -> str:
    """A folder where Node.js finds `ws`."""
    try:
        return str(client_packages.node_modules())
    except client_packages.Missing as missing:
        pytest.skip(f"NO TEST WITH NODE: {missing}")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("client", ["ws", "its own"])
def test_so_does_one_on_node(node_path: str, client: str) -> None:
    if client != "ws" and finished(program("node", "-p", "typeof WebSocket"))[1] != "function\n":
        pytest.skip("NO TEST WITH NODE'S OWN CLIENT: it has none before 22")
    with EchoServer(0, host="127.0.0.1", fault_urls=True) as server:
        urls = json.dumps([server.url_for(path) for path in TALKS])
        process = program("node", str(NODE / "faults.js"), client, urls, env={"NODE_PATH": node_path})
        status, out, err = finished(process)
    assert (status, err) == (0, "")
    told = [(one["messages"], one["code"], one["reason"]) for one in json.loads(out)]
    assert dict(zip(TALKS, told, strict=True)) == TALKS


def dropped(server: EchoServer, query: str) -> list[int]:
    with RawClient(server.port, path=f"/faults?{query}").opened() as raw:
        for number in range(50):
            raw.send(1, b"%d" % number)
        raw.send(9, b"end")
        got = []
        while (received := raw.receive()) != (10, b"end"):
            got.append(int(received[1]))
        return [number for number in range(50) if number not in got]


def test_a_seed_gives_the_same_on_each_connection() -> None:
    query = "drop,probability:0.5"
    with EchoTestServer(seed=1, fault_urls=True) as one, EchoTestServer(seed=2, fault_urls=True) as another:
        seven = dropped(one, f"{query}&seed=7")
        assert 5 < len(seven) < 45
        assert [dropped(server, f"seed=7&{query}") for server in (one, another, another)] == [seven] * 3
        # Without one it is the server's, by the number of the connection.
        assert len({tuple(dropped(server, query)) for server in (one, one, another)} - {tuple(seven)}) == 3


def test_faults_of_the_server_come_behind() -> None:
    with EchoTestServer(fault_urls=True) as server:
        fault = server.fault(Drop(), after=1)
        with RawClient(server.port, path="/faults?drop,after:1,times:1").opened() as raw:
            for text in (b"1", b"2", b"3"):
                raw.send(1, text)
            raw.send(9, b"end")
            # The second is dropped by URL, so the third is the server's second.
            assert [raw.receive(), raw.receive()] == [(1, b"1"), (10, b"end")]
            fault.stop()
            raw.send(1, b"4")
            assert raw.receive() == (1, b"4")
        assert fault.hits == 1


SECRET = "Basic dXNlcjpwYXNz"


def test_info_says_what_the_server_saw() -> None:
    lines = [
        f"Authorization: {SECRET}",
        "cookie: id=secret",
        f"Proxy-Authorization: {SECRET}",
        'X-Odd: \t"\\\u00e9 ',
        "X-Twice: 1",
        "X-Twice: 2",
        "Sec-WebSocket-Protocol: b, a",
    ]
    with EchoTestServer(fault_urls=True, subprotocols=["a"], tls="self-signed") as server:
        context = server.ssl_context()
        with RawClient(server.port, *lines, path="/faults?info&replace=x", context=context).opened() as raw:
            opcode, payload = raw.receive()
            raw.send(1, b"one")
            assert (opcode, raw.receive()) == (1, (1, b"x"))
            client = server.accept()
        assert SECRET.encode() not in payload
        assert b"secret" not in payload
        told = json.loads(payload)
        assert told["headers"][-7:] == [
            ["Authorization", len(SECRET)],
            ["cookie", 9],
            ["Proxy-Authorization", len(SECRET)],
            # Bytes as Latin-1, as `client.headers` has them.
            ["X-Odd", '"\\\u00c3\u00a9'],
            ["X-Twice", "1"],
            ["X-Twice", "2"],
            ["Sec-WebSocket-Protocol", "b, a"],
        ]
        assert (told["method"], told["path"], told["query"]) == ("GET", "/faults", "info&replace=x")
        assert (tuple(told["peer"]), tuple(told["local"])) == (client.peer, client.local_address)
        assert (told["subprotocol"], told["extensions"]) == ("a", None)
        assert client.tls
        assert (told["tls"]["version"], told["tls"]["cipher"]) == (client.tls.version, client.tls.cipher)


def answer(port: int, method: str, target: str) -> tuple[int, bytes, bytes]:
    """Status, head and body for plain HTTP."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as raw:
        raw.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = raw.makefile("rb").read().partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def test_plain_http_says_how() -> None:
    with EchoTestServer(fault_urls=True) as server:
        status, head, body = answer(server.port, "GET", "/faults")
        assert status == 200
        assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in head
        for row in FAULTS:
            assert re.search(rf"^{row['name']}(\[?[=,].*)?$", body.decode(), re.MULTILINE), row["name"]
            for parameter in row["parameters"]:
                assert f"{parameter['name']}: {parameter['range']}\n" in body.decode()
        assert answer(server.port, "HEAD", "/faults")[0::2] == (200, b"")
        # A browser does not show why a WebSocket was refused, but it shows this.
        status, _, body = answer(server.port, "GET", "/faults?latency=1h")
        assert status == 400
        assert body.startswith(b"latency: seconds='1h': must be 0 to 60 seconds")
        assert answer(server.port, "GET", "/")[0] == 426
        assert answer(server.port, "POST", "/faults")[0] == 405
        stats = server.stats()
        assert (stats.http_requests, stats.handshakes_refused) == (4, 1)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "lattency=1",
            "'lattency': there is no such fault; there are drop, duplicate, .*, seed, info; a GET of /faults ",
        ),
        ("latency=61s", "latency: seconds='61s': must be 0 to 60 seconds; "),
        ("latency=60&latency=1ms", "latency: by URL bytes can arrive 60 seconds later at most"),
        ("duplicate=11", "duplicate: copies='11': must be 1 to 10 copies"),
        ("duplicate=10&duplicate", "duplicate: by URL a message can be sent 10 more times at most"),
        ("delay=40&delay=21", "delay: by URL an answer can come 60 seconds later at most, altogether"),
        ("status=302", "status: by URL a status can be 400 to 599"),
        ("status=600", "status: status='600': must be 300 to 599; "),
        ("status=503,retry-after:%0D%0AX", r"status: retry-after='\\r\\nX': by URL a value can have no CR or LF"),
        ("hang,after:1", "hang: by URL there is one request: it takes neither after nor every"),
        ("hang,after:1s", "hang: after='1s': it acts on requests, before there is a 101"),
        ("hang&drop", "drop: hang leaves nothing for it: they exclude each other"),
        (
            "bad-accept&status=503",
            "bad-accept: status leaves nothing for it: they exclude each other|status: bad-accept",
        ),
        ("violate=bomb-of-256-MiB", "violate: by URL violations can have 24576 bytes at most"),
        ("violate=x", "violate: name='x': must be the name of a violation: 'reserved bit 1', "),
        ("replace=a%0D%0Ab", r"replace: data='a\\r\\nb': by URL a value can have no CR or LF"),
        ("drop,path:/x", "drop: 'path': there is no such key; there are after, every, probability, times"),
        ("freeze&drop", "drop: freeze leaves nothing for it: they exclude each other"),
        ("drop,after:%zz", "drop: '%zz': a % is followed by two hexadecimal digits"),
        ("&".join(["latency=0"] * 17), "latency: a URL can have 16 faults at most"),
    ],
)
def test_what_can_not_be_asked_for_is_400(query: str, message: str) -> None:
    with EchoTestServer(fault_urls=True) as server:
        with pytest.raises(InvalidStatus) as caught:
            connect(server.url_for(f"/faults?{query}"))
        response = caught.value.response
        assert response.status_code == 400
        assert re.match(message, response.body.decode()), response.body
        assert response.body.count(b"\n") == 1
        assert [(request.path, request.status) for request in server.requests] == [("/faults", 400)]
        assert server.stats().clients_opened == 0
        eventually(lambda: server.stats().memory_used <= len(query) + 1000)


def test_a_library_has_no_such_urls() -> None:
    with EchoTestServer() as server:
        assert answer(server.port, "GET", "/faults")[0] == 426
        with connect(server.url_for("/faults?drop&x&info")) as ws:
            ws.send("a")
            assert ws.recv(TIMEOUT) == "a"


@pytest.mark.parametrize("flags", [[], ["--no-faults"]], ids=["on", "off"])
def test_the_program_has_them_unless_they_are_turned_off(flags: list[str]) -> None:
    process = program(SCRIPT, *LOCAL, *flags)
    port = port_of(first_line(process))
    with RawClient(port, path="/faults?replace=b").opened() as raw:
        raw.send(1, b"a")
        assert raw.receive() == (1, b"a" if flags else b"b")
    assert answer(port, "GET", "/faults")[0] == (426 if flags else 200)
    process.terminate()
    assert finished(process)[0] == 0


@pytest.mark.parametrize(
    "query",
    [
        "latency=0",
        "bad-accept",
        "wrong-extension",
        "wrong-subprotocol",
        "accept=a",
        "delay=1ms&bad-accept",
        "delay=1ms&accept=a",
    ],
)
def test_a_url_lets_nobody_in_whom_the_application_would_not(query: str) -> None:
    asked = []

    def on_handshake(request: Request) -> Response | Accept:
        asked.append(request.path)
        return Accept({"X-Seen": "1"}) if "X-Key" in request.headers else Response(401)

    with EchoServer(0, host="127.0.0.1", fault_urls=True, on_handshake=on_handshake) as server:
        lines, path = ["Sec-WebSocket-Protocol: a"], f"/faults?{query}"
        with RawClient(server.port, *lines, path=path) as client:
            assert client.status() == 401
        with RawClient(server.port, *lines, "X-Key: 1", path=path) as client:
            assert client.opened().headers["x-seen"] == "1"
    assert len(asked) == 2


def test_callbacks_see_such_a_client_as_any() -> None:
    with EchoTestServer(fault_urls=True, on_text=lambda _client, message: message.upper()) as server:
        with connect(server.url_for("/faults?duplicate")) as ws:
            ws.send("a")
            assert [ws.recv(TIMEOUT), ws.recv(TIMEOUT)] == ["A", "A"]
        client = server.accept()
        assert (client.path, client.query, client.received) == ("/faults", "duplicate", ["a"])


def test_who_is_held_has_a_place_and_gives_it_back() -> None:
    with EchoTestServer(fault_urls=True, max_connections=2) as server:
        before = server.stats().memory_used
        with RawClient(server.port, path="/faults?freeze").opened() as frozen:
            with RawClient(server.port, path="/faults?no-close-reply").opened() as unanswered:
                unanswered.send(8, b"\x03\xe8")
                with RawClient(server.port) as third:
                    assert third.status() == 503
                frozen.send(1, b"x" * 10_000)
            eventually(lambda: server.client_count == 1)
            assert server.stats().memory_used > before
        server.stop()
        assert server.unanswered == ()
