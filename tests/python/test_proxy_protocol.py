"""The PROXY protocol: balancers that say for whom they have connected, and those who may not."""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from balancers import path_of
from echoserver import Client, EchoServer
from echoserver.testing import ManualClock
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
    port_of,
    program,
)

if TYPE_CHECKING:
    from conftest import Listen

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 5555, 443)
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack("!HH", 5555, 443)
CLIENT = ("192.0.2.7", 5555)


def v2(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


V2 = v2(0x21, 0x11, IPV4)


class Come:
    """Who has come, in the order of coming."""

    def __init__(self) -> None:
        self.clients = queue.SimpleQueue[Client]()

    def next(self) -> Client:
        return self.clients.get(timeout=TIMEOUT)


@pytest.fixture
def come() -> Come:
    return Come()


@pytest.fixture
def server(run: Listen, come: Come) -> EchoServer:
    """One that lists those who connect to it here."""
    return run(proxy_from=["192.0.2.0/24", "127.0.0.1"], on_connect=come.clients.put, metrics=True)


def echoes(raw: RawClient) -> bool:
    raw.send(1, b"x")
    return raw.receive() == (1, b"x")


def refused_by(server: EchoServer) -> dict[str, str]:
    """How many were refused, by the reason, of those that there are."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as plain:
        plain.sendall(V1 + b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        body = b"".join(iter(lambda: plain.recv(65536), b""))
    lines = [line for line in body.decode().splitlines() if line.startswith("echoserver_refused_total{")]
    counts = {line.split('"')[1]: line.split()[-1] for line in lines}
    return {reason: count for reason, count in counts.items() if count != "0"}


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (V1, CLIENT),
        (V2, CLIENT),
        (b"PROXY TCP6 2001:db8::7 ::1 5555 443\r\n", ("2001:db8::7", 5555)),
        (v2(0x21, 0x21, IPV6), ("2001:db8::7", 5555)),
        # IPv4, as those who listen on both have it.
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 5555 443\r\n", CLIENT),
        (v2(0x21, 0x11, IPV4 + b"\x04\x00\x02ab"), CLIENT),
    ],
)
def test_the_peer_is_the_client_that_is_named(server: EchoServer, come: Come, header: bytes, peer: object) -> None:
    with RawClient(server.port, first=header).opened() as raw:
        client = come.next()
        assert (client.peer, client.proxied_by) == (peer, raw.socket.getsockname())
        assert client.local_address == ("127.0.0.1", server.port)
        assert echoes(raw)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, IPV4),
        # Nothing else of such a header is to be looked at.
        b"PROXY UNKNOWN a b c d e f \xff\r\n",
        v2(0x20, 0x11, b""),
        v2(0x20, 0xFF, b"abc"),
        v2(0x21, 0x00, b"abc"),
        v2(0x21, 0x31, bytes(216)),
        v2(0x21, 0x12, IPV4),
    ],
)
def test_who_names_nobody_is_the_peer(server: EchoServer, come: Come, header: bytes) -> None:
    with RawClient(server.port, first=header).opened() as raw:
        client = come.next()
        assert (client.peer, client.proxied_by) == (raw.socket.getsockname(), None)
        assert echoes(raw)


@pytest.mark.parametrize("header", [V1, V2])
def test_it_may_come_byte_by_byte(server: EchoServer, come: Come, header: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header + REQUEST:
            client.sendall(bytes([byte]))
        assert client.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert come.next().peer == CLIENT


@pytest.mark.parametrize("header", [V1, V2])
@pytest.mark.parametrize("is_together", [False, True])
def test_tls_comes_behind_it(run: Listen, come: Come, header: bytes, is_together: bool) -> None:
    server = run(tls="self-signed", proxy_from=["127.0.0.1"], on_connect=come.clients.put)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = server.ssl_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:

        def pump(step: Any, *arguments: Any) -> Any:
            while True:
                try:
                    return step(*arguments)
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    incoming.write(client.recv(65536))
                finally:
                    client.sendall(outgoing.read())

        if is_together:
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            client.sendall(header + outgoing.read())
        else:
            client.sendall(header)
        pump(tls.do_handshake)
        pump(tls.write, REQUEST)
        assert pump(tls.read, 1000).startswith(b"HTTP/1.1 101 ")
        seen = come.next()
        assert (seen.peer, seen.proxied_by) == (CLIENT, client.getsockname())
        assert seen.tls is not None


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (REQUEST, "there is none"),
        (b"\x16\x03\x01\x00\xa5", "there is none"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 99999\r\n", "it is malformed: "),
        (v2(0x21, 0x21, IPV4), "it is malformed: "),
        (b"PROXY " + b"x" * 101, "it is longer than the 107 bytes of version 1"),
        (v2(0x21, 0x11, IPV4 + bytes(5000))[:16], "it is longer than 4096 bytes"),
        (V1[:-1], "the connection has ended in the middle of it"),
        (V2[:-1], "the connection has ended in the middle of it"),
    ],
)
def test_a_listed_address_without_a_good_one_is_refused(
    server: EchoServer, caplog: pytest.LogCaptureFixture, sent: bytes, reason: str
) -> None:
    caplog.set_level(logging.INFO, "echoserver")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
        host, port = client.getsockname()
    assert refused_by(server) == {"proxy_header": "1"}
    assert server.stats().handshakes_refused == 1
    server.stop()
    (logged,) = caplog.messages
    assert logged.startswith(f"PROXY header of {host}:{port} refused: {reason}")
    assert vars(caplog.records[0])["echoserver"]["event"] == "proxy_refused"


@pytest.mark.parametrize("sent", [b"", V1[:20], V2[:20]])
def test_one_that_is_late_is_refused(run: Listen, caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    caplog.set_level(logging.INFO, "echoserver")
    clock = ManualClock()
    server = run(proxy_from=["127.0.0.1"], clock=clock, open_timeout=7)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(sent)
        clock.advance(6.9)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(TIMEOUT)
        clock.advance(0.2)
        assert client.recv(100) == b""
    server.stop()
    (logged,) = caplog.messages
    assert logged.endswith(" refused: it was not there in time (open_timeout)")


def test_the_request_has_what_is_left_of_the_time(run: Listen) -> None:
    clock = ManualClock()
    server = run(proxy_from=["127.0.0.1"], clock=clock, open_timeout=7)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(V1 + REQUEST[:20])
        clock.advance(7.1)
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


def test_who_only_looks_whether_the_port_is_open_is_no_refusal(
    server: EchoServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "echoserver")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    server.stop()
    assert (caplog.messages, server.stats().handshakes_refused) == ([], 0)


@pytest.mark.parametrize("header", [V1, V2])
def test_from_others_it_is_no_request(run: Listen, caplog: pytest.LogCaptureFixture, header: bytes) -> None:
    caplog.set_level(logging.INFO, "echoserver")
    server = run(proxy_from=["192.0.2.0/24"])
    with RawClient(server.port, first=header) as raw:
        assert raw.status() == 400
        peer = "{}:{}".format(*raw.socket.getsockname())
    with RawClient(server.port).opened() as raw:
        assert echoes(raw)
        assert server.clients[0].peer == raw.socket.getsockname()
        assert server.clients[0].proxied_by is None
    server.stop()
    assert [message.startswith(f"request of {peer} refused: 400 ") for message in caplog.messages] == [True]


def test_the_log_has_the_client_and_the_balancer(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "echoserver.connections")
    server = run(proxy_from=["127.0.0.1"])
    with RawClient(server.port, first=V2).opened() as raw:
        balancer = "{}:{}".format(*raw.socket.getsockname())
        raw.send(8, b"\x03\xe8")
        assert raw.close_code() == 1000
    server.stop()
    (line,) = caplog.messages
    assert line.startswith("client 1 from 192.0.2.7:5555 disconnected: ")
    assert line.endswith(f" proxied_by={balancer}")
    assert vars(caplog.records[0])["echoserver"]["proxied_by"] == balancer


@pytest.mark.parametrize(
    "value", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "", "\n", "192.0.2.1:80"]
)
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        EchoServer(0, host="127.0.0.1", proxy_from=["::1", value])
    assert str(caught.value).startswith(f"proxy_from={value!r}: ")


# The program


def test_the_program_has_it() -> None:
    process = program(SCRIPT, *LOCAL, "--proxy-from=127.0.0.1", "--proxy-from=::1", "--log-format=text")
    with RawClient(port_of(first_line(process)), first=V1).opened() as raw:
        raw.send(8, b"\x03\xe8")
        assert raw.close_code() == 1000
    process.terminate()
    status, _, err = finished(process)
    assert status == 0
    assert "on: PROXY protocol, page," in err
    assert "client 1 from 192.0.2.7:5555 disconnected: code=1000 " in err


def test_the_program_names_what_is_no_address() -> None:
    status, _, err = finished(program(SCRIPT, "--proxy-from=10.0.0.1/8"))
    assert status == 2
    assert "argument --proxy-from: '10.0.0.1/8': has bits set beyond those of the network" in err


# The real one


@pytest.mark.parametrize("kind", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,ssl"])
@pytest.mark.parametrize("has_tls", [False, True])
def test_haproxy_says_who_the_client_is(run: Listen, come: Come, tmp_path: Any, kind: str, has_tls: bool) -> None:
    haproxy = path_of("haproxy")
    options: dict[str, Any] = {"tls": "self-signed"} if has_tls else {}
    server = run(proxy_from=["127.0.0.1"], on_connect=come.clients.put, **options)
    with socket.create_server(("127.0.0.1", 0)) as front:
        port = front.getsockname()[1]
        config = tmp_path / "haproxy.cfg"
        config.write_text(
            "defaults\n mode tcp\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n"
            f"frontend front\n bind fd@{front.fileno()}\n default_backend back\n"
            f"backend back\n server one 127.0.0.1:{server.port} {kind}\n"
        )
        process = subprocess.Popen(
            [haproxy, "-db", "-f", str(config)],
            pass_fds=[front.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        scheme, context = ("wss", server.ssl_context()) if has_tls else ("ws", None)
        # The socket listens already: HAProxy takes it when it has begun.
        with connect(f"{scheme}://127.0.0.1:{port}/", ssl=context) as client:
            client.send("through it")
            assert client.recv(TIMEOUT) == "through it"
            seen = come.next()
            assert seen.peer == client.local_address
            assert seen.proxied_by is not None
            assert seen.proxied_by[0] == "127.0.0.1"
            assert seen.proxied_by != seen.peer
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def test_what_was_kept_of_a_refused_header_is_given_back_at_once(listen: Listen) -> None:
    server = listen(proxy_from=["127.0.0.1"], close_timeout=1000).start()
    with RawClient(server.port, first=v2(0x21, 0x99, bytes(3000))) as client:
        # The answer; it lingers, and waits for the client's end.
        assert client.file.read() == b""
        eventually(lambda: server.stats().memory_used == 0)
        server.stop(0)
