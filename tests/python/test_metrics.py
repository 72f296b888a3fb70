"""/metrics: what is counted, as Python's own parser of OpenMetrics reads it."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import Client, EchoServer, Response
from echoserver.testing import Drop, Duplicate, EchoTestServer
from support import TIMEOUT, Door, RawClient, connect, eventually, frame, in_thread, join, refused
from watching import BOTH, ask, connection_to, get, metrics, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Listen

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def test_what_clients_say_is_counted_by_its_kind(run: Listen) -> None:
    server = run(**BOTH)
    before = metrics(server)
    assert before["echoserver_messages_received_total"] == {"text": 0, "binary": 0}
    with RawClient(server.port).opened() as client:
        for opcode, payload in ((1, b"text"), (2, b"12"), (2, bytes(70_000)), (9, b"")):
            client.send(opcode, payload)
        assert [client.receive()[0] for _ in range(4)] == [1, 2, 2, 10]
        seen = metrics(server)
        assert seen["echoserver_connections_open"] == {"": 1}
        assert seen["echoserver_connections_total"] == {"": 1}
        assert seen["echoserver_accepted_total"] == {"": 3}
        assert seen["echoserver_http_requests_total"] == {"": 1}
        for what in ("messages_received", "messages_sent"):
            assert seen[f"echoserver_{what}_total"] == {"text": 1, "binary": 2}
        for what in ("payload_received", "payload_sent"):
            assert seen[f"echoserver_{what}_bytes_total"] == {"text": 4, "binary": 70_002}
        assert seen["echoserver_pings_received_total"] == {"": 1}
        stats = server.stats()
        assert seen["echoserver_received_bytes_total"] == {"": stats.bytes_received}
        assert seen["echoserver_sent_bytes_total"] == {"": stats.bytes_sent}
    eventually(lambda: metrics(server)["echoserver_connections_open"] == {"": 0})


def test_compressed_messages_count_for_what_they_say(run: Listen) -> None:
    server = run(compression="deflate", on_binary=lambda *_: "reply", **BOTH)
    with connect(server.url, compression="deflate") as client:
        client.send("x" * 10_000)
        assert client.recv(TIMEOUT) == "x" * 10_000
        client.send(bytes(500))
        assert client.recv(TIMEOUT) == "reply"
        server.clients[0].send(b"unasked")
        assert client.recv(TIMEOUT) == b"unasked"
        server.broadcast("to all")
        assert client.recv(TIMEOUT) == "to all"
        seen = metrics(server)
    assert seen["echoserver_payload_received_bytes_total"] == {"text": 10_000, "binary": 500}
    assert seen["echoserver_payload_sent_bytes_total"] == {"text": 10_000 + 5 + 6, "binary": 7}
    assert seen["echoserver_messages_sent_total"] == {"text": 3, "binary": 1}
    assert seen["echoserver_sent_bytes_total"][""] < 1000


@pytest.mark.needs_worker
def test_what_waits_behind_an_answer_is_counted_when_it_goes(run: Listen) -> None:
    door = Door()
    server = run(on_text=lambda *_: door.answers.get(timeout=TIMEOUT), **BOTH)
    with RawClient(server.port).opened() as client:
        client.send(1, b"wait")
        client.send(2, b"behind")
        client.send(2, b"it")
        eventually(lambda: server.stats().binary_messages_received == 2)
        assert metrics(server)["echoserver_messages_sent_total"] == {"text": 0, "binary": 0}
        door.answers.put("no more")
        assert [client.receive()[1] for _ in range(3)] == [b"no more", b"behind", b"it"]
        seen = metrics(server)
    assert seen["echoserver_messages_sent_total"] == {"text": 1, "binary": 2}
    assert seen["echoserver_payload_sent_bytes_total"] == {"text": 7, "binary": 8}


def test_ends_are_counted_by_their_code(run: Listen) -> None:
    server = run(**BOTH)
    for code in (1000, 1001, 3000, 4000, 4999):
        with RawClient(server.port).opened() as client:
            client.send(8, code.to_bytes(2))
            assert client.close_code() == code
    with RawClient(server.port).opened() as client:
        client.send(3)
        assert client.close_code() == 1002
    with RawClient(server.port).opened() as client:
        client.reset_at_close()
    with RawClient(server.port).opened() as client:
        client.send(8)
        assert client.receive()[0] == 8
    eventually(lambda: server.stats().clients_closed == 8)
    counted = metrics(server)["echoserver_closed_total"]
    assert {code: count for code, count in counted.items() if count} == {
        "1000": 1,
        "1001": 1,
        "1002": 1,
        "1005": 1,
        "1006": 1,
        "3000-3999": 1,
        "4000-4999": 2,
    }


def late(server: EchoServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        assert slow.recv(12) == b"HTTP/1.1 408"


def full(server: EchoServer) -> None:
    with RawClient(server.port).opened():
        assert refused(server)[0] == 503


def bad_tls(server: EchoServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as odd:
        odd.sendall(b"\x16no hello")
        odd.makefile("rb").read()


# Why one is refused: options of the server, and what is done to it.
REFUSED: dict[str, tuple[dict[str, Any], Callable[[EchoServer], object]]] = {
    "request": ({}, lambda server: refused(server, "Sec-WebSocket-Version: 8")),
    "origin": ({"origins": ["https://a"]}, refused),
    "open_timeout": ({"open_timeout": 0.1}, late),
    "max_connections": ({"max_connections": 1}, full),
    "memory_limit": ({"memory_limit": 1500}, lambda server: refused(server, "X-Long: " + 1500 * "x")),
    "application": ({"on_handshake": lambda _: Response(401)}, refused),
    "tls": ({"tls": "self-signed"}, bad_tls),
}


@pytest.mark.parametrize("why", REFUSED)
def test_who_is_refused_is_counted_by_the_reason(run: Listen, why: str) -> None:
    options, refuse = REFUSED[why]
    server = run(metrics=True, **options)
    refuse(server)
    if why == "tls":
        context = server.ssl_context()
        connection = connection_to(server, context)
        eventually(lambda: server.stats().tls_failures == 1)
    else:
        connection = connection_to(server)
        eventually(lambda: server.stats().handshakes_refused == 1)
    _, text = ask(connection, "/metrics")
    connection.close()
    counted = read(text.decode())["echoserver_refused_total"]
    assert {reason: count for reason, count in counted.items() if count} == {why: 1}
    assert counted.keys() - {"undecided", "stopping", "proxy_header"} == REFUSED.keys()


@pytest.mark.needs_worker
def test_who_is_not_decided_about_is_counted_as_that(run: Listen, reported: Any) -> None:
    door = Door()
    server = run(open_timeout=0.1, on_handshake=door, metrics=True)
    assert refused(server)[0] == 503
    door.answers.put(None)
    assert isinstance(reported.get(timeout=TIMEOUT), TimeoutError)
    assert metrics(server)["echoserver_refused_total"]["undecided"] == 1


def test_callbacks_are_timed_by_their_name_and_their_errors_counted(run: Listen, reported: Any) -> None:
    entered, go_on = Door(), Door()

    def on_text(client: Client, message: str) -> None:
        entered.answers.put(message)
        go_on.answers.get(timeout=TIMEOUT)
        raise ValueError(client)

    server = run(on_text=on_text, on_binary=lambda *_: None, **BOTH)
    assert metrics(server)["echoserver_callback_seconds_total"] == {}
    with RawClient(server.port).opened() as client:
        client.send(1, b"x")
        assert entered.answers.get(timeout=TIMEOUT) == "x"
        go_on.answers.put(None)
        client.send(2, b"y")
        assert client.receive() == (2, b"y")
        seen = metrics(server)
    assert isinstance(reported.get(timeout=TIMEOUT), ValueError)
    assert seen["echoserver_callback_errors_total"] == {"": 1}
    seconds = seen["echoserver_callback_seconds_total"]
    assert seconds.keys() == {"on_text", "on_binary"}
    assert all(0 < each < TIMEOUT for each in seconds.values())


def test_the_most_that_ever_waited_for_one_client_is_known(run: Listen) -> None:
    server = run(metrics=True)
    with RawClient(server.port).opened() as client:
        (one,) = server.clients
        one.send(bytes(1000))
        assert client.receive()[0] == 2
        # A message counts for 64 bytes more.
        assert metrics(server)["echoserver_send_queue_high_water_bytes"] == {"": 1064}
        one.send(bytes(10))
        assert client.receive()[0] == 2
    eventually(lambda: server.stats().clients_closed == 1)
    assert metrics(server)["echoserver_send_queue_high_water_bytes"] == {"": 1064}


def test_what_is_charged_is_told(run: Listen) -> None:
    server = run(metrics=True)
    with RawClient(server.port).opened() as client:
        client.socket.sendall(frame(2, bytes(1 << 20))[: 1 << 19])
        eventually(lambda: metrics(server)["echoserver_memory_charged_bytes"][""] > 1 << 18)


def test_faults_are_counted_where_they_acted_also_when_they_are_gone() -> None:
    with EchoTestServer(metrics=True, fault_urls=True, check_unused=False) as server:
        with connect(server.url) as client:
            with server.fault(Duplicate(), times=1):
                client.send("a")
                assert [client.recv(TIMEOUT), client.recv(TIMEOUT)] == ["a", "a"]
            with server.fault(Drop(), times=2):
                for text in "bcd":
                    client.send(text)
                assert client.recv(TIMEOUT) == "d"
        with connect(server.url_for("/faults?replace=x")) as client:
            client.send("a")
            assert client.recv(TIMEOUT) == "x"
        with RawClient(server.port, path="/faults?status=429") as client:
            assert client.status() == 429
        counted = metrics(server)
    assert counted["echoserver_faults_total"] == {"duplicate": 1, "drop": 2, "replace": 1, "status": 1}
    # What was sent is what was, and not what would have been.
    assert counted["echoserver_messages_sent_total"] == {"text": 4, "binary": 0}
    assert counted["echoserver_refused_total"]["application"] == 1


def test_many_ask_at_once(run: Listen) -> None:
    server = run(workers=2, **BOTH)
    answers: list[int] = []

    def watch() -> None:
        connection = connection_to(server)
        for _ in range(50):
            answers.append(ask(connection, "/metrics")[0])
        connection.close()

    threads = [in_thread(watch) for _ in range(4)]
    with RawClient(server.port).opened() as client:
        for _ in range(100):
            client.send(1, b"x")
            assert client.receive() == (1, b"x")
    for thread in threads:
        join(thread)
    assert answers == [200] * 200


@pytest.mark.skipif(not OPERATIONS.exists(), reason="THERE ARE NO DOCUMENTS")
def test_the_document_has_every_family(run: Listen) -> None:
    _, text = get(run(metrics=True).port, "/metrics")
    families = re.findall(r"^# TYPE (\w+) (\w+)$", text.decode(), re.MULTILINE)
    names = {name + "_total" * (kind == "counter") for name, kind in families}
    section = OPERATIONS.read_text(encoding="utf-8").partition("## Metrics\n")[2]
    assert set(re.findall(r"`(echoserver_\w+)", section)) == names
