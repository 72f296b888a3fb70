"""A server at several addresses, several servers at one, who waits there, and who is told that it serves."""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import BindError, EchoServer
from support import LISTENING, LOCAL, SCRIPT, TIMEOUT, RawClient, finished, first_line, most_waiting, port_of, program

if TYPE_CHECKING:
    from conftest import Listen

BOTH = ["127.0.0.1", "127.0.0.2"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this machine has no second address")


def echoes(port: int, host: str) -> bool:
    with RawClient(port, host=host).opened() as client:
        client.send(1, b"x")
        return client.receive() == (1, b"x")


# Several addresses


def test_all_hosts_have_the_same_port(run: Listen) -> None:
    server = run(host=BOTH)
    assert [echoes(server.port, host) for host in BOTH] == [True, True]
    assert server.url == f"ws://127.0.0.1:{server.port}/"
    assert server.address == ("127.0.0.1", server.port)
    with server.down():
        for host in BOTH:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, server.port), TIMEOUT)
    assert [echoes(server.port, host) for host in BOTH] == [True, True]


def test_any_sequence_will_do_and_an_address_that_is_there_twice_is_one(run: Listen) -> None:
    server = run(host=iter(("localhost", *BOTH, "127.0.0.1")))
    assert [echoes(server.port, host) for host in BOTH] == [True, True]


def test_a_host_that_is_no_use_is_named() -> None:
    with pytest.raises(BindError, match=r"^cannot listen on host=no-such-host\.invalid port=0: "):
        EchoServer(0, host=["127.0.0.1", "no-such-host.invalid"])
    # Of nobody else: a port of 127.0.0.1 may be that of a client.
    free, taken = "127.0.6.4", "127.0.6.5"
    with socket.create_server((taken, 0)) as listener:
        port = listener.getsockname()[1]
        text = f"cannot listen on host={taken} port={port}: Address already in use"
        with pytest.raises(BindError, match=f"^{re.escape(text)}"):
            EchoServer(port, host=[free, taken])
        # Nothing is left of the other one.
        EchoServer(port, host=free).stop()


@pytest.mark.parametrize(
    ("host", "error", "text"),
    [
        ([], ValueError, r"host=\[\]: must have at least one, or be None"),
        (["127.0.0.1", ""], ValueError, "host='': must be a name or an address"),
        (["127.0.0.1", 5], TypeError, "host=5: must be a str, not int"),
        (5, TypeError, "host=5: must be a str or a sequence of strings, not int"),
    ],
)
def test_what_are_no_hosts_are_refused(host: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{text}"):
        EchoServer(0, host=host)


def test_a_self_signed_certificate_is_for_all_of_them(run: Listen) -> None:
    server = run(host=BOTH, tls="self-signed")
    for host in BOTH:
        with RawClient(server.port, host=host, context=server.ssl_context()).opened():
            pass
    other = run(host=None, tls="self-signed")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        RawClient(other.port, host=BOTH[1], context=other.ssl_context())


def test_the_program_listens_on_all_of_them() -> None:
    process = program(SCRIPT, "-p0", "--host", BOTH[0], f"--bind={BOTH[1]}")
    port = port_of(first_line(process))
    assert [echoes(port, host) for host in BOTH] == [True, True]
    process.terminate()
    assert finished(process) == (0, "", LISTENING.replace("on 127.0.0.1;", "on 127.0.0.1, 127.0.0.2;"))


# Several servers


def test_servers_that_want_it_share_a_port(run: Listen) -> None:
    servers = [run(reuse_port=True)]
    port = servers[0].port
    servers.append(run(port=port, reuse_port=True))
    # The system spreads by a hash of the addresses.
    for _ in range(1000):
        assert echoes(port, "127.0.0.1")
        if all(server.stats().clients_opened for server in servers):
            break
    else:
        raise AssertionError("one server has all clients")
    # One that ends leaves all to the other.
    servers[0].stop()
    assert echoes(port, "127.0.0.1")


def test_a_port_is_shared_only_by_those_who_all_want_it(listen: Listen) -> None:
    for first, second in [(False, True), (True, False), (False, False)]:
        port = listen(reuse_port=first).port
        with pytest.raises(BindError, match="Address already in use"):
            listen(port, reuse_port=second)


def test_one_that_was_down_shares_as_before(run: Listen) -> None:
    server = run(reuse_port=True)
    with server.down():
        with pytest.raises(BindError):
            run(port=server.port)
        other = run(port=server.port, reuse_port=True)
        assert echoes(server.port, "127.0.0.1")
        assert other.stats().clients_opened == 1
    third = run(port=server.port, reuse_port=True)
    assert third.port == server.port
    with pytest.raises(BindError):
        run(port=server.port)


def test_processes_share_a_port_too() -> None:
    first = program(SCRIPT, *LOCAL, "--reuse-port")
    port = port_of(first_line(first))
    second = program(SCRIPT, f"-p{port}", "--host=127.0.0.1", "--reuse-port")
    assert first_line(second) == f"ws://127.0.0.1:{port}/"
    first.terminate()
    assert finished(first) == (0, "", LISTENING)
    assert echoes(port, "127.0.0.1")
    second.terminate()
    assert finished(second) == (0, "", LISTENING)


# Who waits


def backlog_of(server: EchoServer) -> int:
    (number,) = server._core.descriptors()
    with socket.socket(fileno=os.dup(number)) as listening:
        return most_waiting(listening)


def test_the_backlog_is_what_it_was_asked_to_be(listen: Listen) -> None:
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert backlog_of(listen()) == min(4096, most)
    assert backlog_of(listen(backlog=7)) == 7
    assert backlog_of(listen(backlog=2**31 - 1)) == most


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2**31, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_backlog_that_can_not_be_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^backlog={value}: "):
        EchoServer(0, host="127.0.0.1", backlog=value)


def test_those_in_a_short_backlog_come_in_before_an_outage(run: Listen) -> None:
    server = run(backlog=3)
    server.pause()
    waiting = [socket.create_connection(("127.0.0.1", server.port), TIMEOUT) for _ in range(3)]
    server.resume()
    with server.down(clients="keep"):
        assert server.stats().connections_accepted == 3
    for one in waiting:
        one.close()


# Who is told that it serves


@pytest.mark.parametrize("name", ["path", "abstract"])
def test_who_has_started_the_program_is_told_of_its_start_and_end(tmp_path: Path, name: str) -> None:
    address = str(tmp_path / "notify") if name == "path" else f"\0echoserver-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.settimeout(TIMEOUT)
        told.bind(address)
        process = program(SCRIPT, *LOCAL, "--close-timeout=1000", env={"NOTIFY_SOCKET": address.replace("\0", "@")})
        assert told.recv(100) == b"READY=1"
        with RawClient(port_of(first_line(process))).opened() as client:
            process.terminate()
            # It has not ended yet.
            assert told.recv(100) == b"STOPPING=1"
            assert client.close_code() == 1001
        assert finished(process) == (0, "", LISTENING)


def test_one_who_can_not_be_told_costs_a_line(tmp_path: Path) -> None:
    address = str(tmp_path / "nobody")
    process = program(SCRIPT, *LOCAL, env={"NOTIFY_SOCKET": address})
    first_line(process)
    process.terminate()
    status, _, err = finished(process)
    assert status == 0
    said = [f"echoserver: NOTIFY_SOCKET={address} can't be told {state}=1: " for state in ("READY", "STOPPING")]
    lines = err.removeprefix(LISTENING).splitlines()
    assert [line.partition("[")[0] for line in lines] == said
