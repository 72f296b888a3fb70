"""/healthz, and the connection that goes on behind it and behind /metrics."""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from echoserver import EchoServer
from echoserver.testing import EchoTestServer, ManualClock
from support import (
    LOCAL,
    REQUEST,
    SCRIPT,
    TIMEOUT,
    RawClient,
    connect,
    eventually,
    finished,
    first_line,
    frame,
    port_of,
    program,
)
from watching import BOTH, ask, connection_to, get, metrics

if TYPE_CHECKING:
    import logging

    from conftest import Listen


def test_health_is_good_while_clients_are_accepted(run: Listen) -> None:
    server = run(**BOTH)
    connection = connection_to(server)
    assert ask(connection, "/healthz") == (200, b"accepting\n")
    kept = connection.sock
    server.pause()
    assert ask(connection, "/healthz") == (503, b"not accepting\n")
    server.resume()
    assert ask(connection, "/healthz?probe=1") == (200, b"accepting\n")
    with server.down(clients="keep"):
        assert ask(connection, "/healthz") == (503, b"not accepting\n")
    assert ask(connection, "/healthz") == (200, b"accepting\n")
    assert connection.sock is kept
    connection.close()


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_who_asks_for_the_head_gets_no_body(run: Listen, path: str) -> None:
    connection = connection_to(run(**BOTH))
    connection.request("HEAD", path)
    response = connection.getresponse()
    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 0
    assert response.read() == b""
    # The connection is where the next answer begins.
    assert ask(connection, "/healthz") == (200, b"accepting\n")
    connection.close()


def test_other_methods_are_refused(run: Listen) -> None:
    assert get(run(**BOTH).port, "/healthz", "POST")[0] == 405


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_an_upgrade_there_is_an_echo_like_any_other(run: Listen, path: str) -> None:
    server = run(**BOTH)
    with connect(server.url_for(path)) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"


def test_nobody_is_counted_or_logged_for_asking(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "echoserver")
    server = run(max_connections=1, **BOTH)
    kept = connection_to(server)
    with RawClient(server.port).opened() as client:
        assert ask(kept, "/healthz")[0] == 200
        assert metrics(server)["echoserver_connections_open"] == {"": 1}
        client.send(1, b"x")
        assert client.receive() == (1, b"x")
    eventually(lambda: server.client_count == 0)
    with RawClient(server.port) as next_one:
        next_one.opened()
    kept.close()
    server.stop()
    stats = server.stats()
    assert (stats.http_requests, stats.handshakes_refused, stats.clients_opened) == (2, 0, 2)
    logged: list[logging.LogRecord] = caplog.records
    assert [record.getMessage() for record in logged if "refused" in record.getMessage()] == []


def test_a_library_has_neither_unless_it_wants_them(run: Listen) -> None:
    server = run(health=True)
    assert get(server.port, "/healthz")[0] == 200
    assert get(server.port, "/metrics")[0] == 426
    assert get(run().port, "/healthz")[0] == 426


@pytest.mark.parametrize("flags", [[], ["--no-health"], ["--no-metrics"]], ids=" ".join)
def test_the_program_has_both_unless_they_are_turned_off(flags: list[str]) -> None:
    process = program(SCRIPT, *LOCAL, *flags)
    port = port_of(first_line(process))
    statuses = [get(port, path)[0] for path in ("/healthz", "/metrics")]
    assert statuses == [426 if "--no-health" in flags else 200, 426 if "--no-metrics" in flags else 200]
    process.terminate()
    assert finished(process)[0] == 0


# The connection goes on, as clients of HTTP/1.1 expect


def exchange(server: EchoServer, data: bytes) -> bytes:
    """All that comes back, for a client that says no more."""
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        return raw.makefile("rb").read()


def test_requests_may_come_one_behind_the_other(run: Listen) -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    server = run(**BOTH)
    assert exchange(server, get * 5).count(b"HTTP/1.1 200 OK\r\n") == 5
    # Byte for byte as well.
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw, raw.makefile("rb") as file:
        for _ in range(2):
            for byte in get:
                raw.sendall(bytes([byte]))
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            while file.readline() != b"\r\n":
                pass
            assert file.readline() == b"accepting\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        # What follows would be its body.
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
    ],
)
def test_the_connection_ends_where_that_is_asked_for(run: Listen, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", run(**BOTH).port), TIMEOUT) as raw:
        raw.sendall(request_ + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = raw.makefile("rb").read()
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert b"\r\nConnection: close\r\n" in answer


def test_a_client_of_http_1_0_may_ask_for_more(run: Listen) -> None:
    get = b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answer = exchange(run(**BOTH), get * 2)
    assert answer.count(b"\r\nConnection: keep-alive\r\n") == 2


def test_an_upgrade_may_follow(run: Listen) -> None:
    server = run(**BOTH)
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw, raw.makefile("rb") as file:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" + REQUEST + frame(1, b"hello"))
        while (line := file.readline()) != b"# EOF\n":
            assert line
        assert file.readline().startswith(b"HTTP/1.1 101 ")
        while file.readline() != b"\r\n":
            pass
        assert file.read(7) == b"\x81\x05hello"
    eventually(lambda: server.stats().memory_used == 0)


def test_curl_uses_the_connection_again(run: Listen) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("THERE IS NO curl")
    url = f"http://127.0.0.1:{run(**BOTH).port}"
    command = [curl, "--silent", "--fail", "--noproxy", "*", "--max-time", str(TIMEOUT), "-w", "%{num_connects};"]
    asked = subprocess.run([*command, f"{url}/healthz", f"{url}/healthz"], capture_output=True, check=True)
    assert asked.stdout == b"accepting\n1;accepting\n0;"


def test_over_tls_as_well(run: Listen) -> None:
    server = run(tls="self-signed", **BOTH)
    connection = connection_to(server, server.ssl_context())
    assert ask(connection, "/healthz") == (200, b"accepting\n")
    kept = connection.sock
    status, body = ask(connection, "/metrics")
    assert (status, body[-6:], connection.sock is kept) == (200, b"# EOF\n", True)
    connection.close()


def test_who_asks_for_nothing_more_is_let_go_in_silence() -> None:
    clock = ManualClock()
    with EchoTestServer(clock=clock, open_timeout=10, health=True) as server:
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as idle, idle.makefile("rb") as file:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: server.stats().http_requests == 1)
            clock.advance(9)
            # It has the whole time anew.
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: server.stats().http_requests == 2)
            clock.advance(11)
            assert file.read().count(b"\r\n\r\naccepting\n") == 2
        assert server.stats().handshakes_refused == 0
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as slow, slow.makefile("rb") as file:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET ")
            eventually(lambda: server.stats().http_requests == 3)
            clock.advance(11)
            assert b"\r\n\r\naccepting\nHTTP/1.1 408 " in file.read()


def test_a_stop_waits_for_nobody_who_may_ask_again(listen: Listen) -> None:
    server = listen(**BOTH).start()
    kept = connection_to(server)
    assert ask(kept, "/healthz")[0] == 200
    server.stop(TIMEOUT)
    with pytest.raises(ConnectionError):
        ask(kept, "/healthz")
