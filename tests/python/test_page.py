"""The page at `/`, as bytes. What it does is tested in a browser: tests/browser/test_browser_page.py."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from http.client import HTTPConnection

import pytest

from echoserver import EchoServer
from support import LOCAL, SCRIPT, TIMEOUT, connect, eventually, finished, first_line, port_of, program


def plain_http(port: int, method: str, target: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request(method, target)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def test_it_is_html_with_a_strict_policy_and_an_upgrade_there_is_an_echo() -> None:
    with EchoServer(0, host="127.0.0.1", page=True, server_header="mine") as server:
        status, fields, body = plain_http(server.port, "GET", "/?x=1")
        assert status == 200
        assert fields["content-type"] == "text/html; charset=utf-8"
        assert fields["content-length"] == str(len(body))
        assert (fields["server"], fields["connection"]) == ("mine", "close")
        assert (fields["x-content-type-options"], fields["referrer-policy"]) == ("nosniff", "no-referrer")
        assert plain_http(server.port, "HEAD", "/")[0::2] == (200, b"")
        assert plain_http(server.port, "HEAD", "/")[1]["content-length"] == str(len(body))
        assert plain_http(server.port, "GET", "/other")[0] == 426
        assert plain_http(server.port, "POST", "/")[0] == 405
        with connect(server.url) as client:
            client.send("an echo like any other")
            assert client.recv() == "an echo like any other"
        stats = server.stats()
        assert (stats.http_requests, stats.handshakes_refused) == (4, 1)
    policy = dict(part.strip().split(" ", 1) for part in fields["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in fields["content-security-policy"]
    for name in ("style", "script"):
        (inline,) = re.findall(rf"<{name}>(.*?)</{name}>", body.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert policy[f"{name}-src"] == f"'sha256-{digest}'", f"src/server/page.rs: what page.html has as {name}"
    assert not re.search(rb"<script [^>]|<link (?!rel=\"icon\" href=\"data:)|\son\w+=|style=", body)


def test_a_library_has_none() -> None:
    with EchoServer(0, host="127.0.0.1") as server:
        assert plain_http(server.port, "GET", "/")[0] == 426


@pytest.mark.parametrize("flags", [[], ["--no-page"]], ids=["on", "off"])
def test_the_program_has_it_unless_it_is_turned_off(flags: list[str]) -> None:
    process = program(SCRIPT, *LOCAL, *flags)
    port = port_of(first_line(process))
    assert plain_http(port, "GET", "/")[0] == (426 if flags else 200)
    process.terminate()
    assert finished(process)[0] == 0


def test_who_reads_nothing_of_it_costs_no_memory() -> None:
    with EchoServer(0, host="127.0.0.1", page=True) as server:
        waiting = [socket.create_connection(server.address, TIMEOUT) for _ in range(20)]
        for client in waiting:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.stats().http_requests == 20)
        assert server.stats().memory_used < 20 * 500
        for client in waiting:
            client.close()
