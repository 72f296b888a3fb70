"""TLS that works: messages, endings, and what is known of a client."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from certificates import Authority, HeldClient, strict
from echoserver import TLS, Client, Request, Response
from support import REQUEST, RawClient, Watched, connect, eventually, frame, in_thread, join

if TYPE_CHECKING:
    from conftest import Listen

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


# Echoes


@pytest.mark.parametrize("through_python", [False, True], ids=["natively", "through callbacks"])
@pytest.mark.parametrize("version", VERSIONS)
def test_messages_of_all_sizes_come_back(run: Listen, version: ssl.TLSVersion, through_python: bool) -> None:
    callbacks: dict[str, Any] = {"on_binary": lambda _, message: message} if through_python else {}
    server = run(tls="self-signed", **callbacks)
    context = strict(server)
    context.minimum_version = context.maximum_version = version
    with connect(server.url, ssl=context) as client:
        sizes = [0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 1 << 20, (8 << 20) + 1]
        for size in sizes:
            message = bytes(index * 31 % 251 for index in range(251)) * (size // 251 + 1)
            client.send(message[:size])
            assert client.recv() == message[:size]
        client.send("Grüße")
        assert client.recv() == "Grüße"
    eventually(lambda: server.stats().memory_used == 0, "all memory given back")


def test_many_messages_in_one_write_come_back_in_order(run: Listen) -> None:
    server = run(tls="self-signed")
    payloads = [b"%d" % index * (index % 50) for index in range(20_000)]
    echoes = b"".join(bytes([0x82, len(payload)]) + payload for payload in payloads if len(payload) < 126)
    with HeldClient(server.port, strict(server)).open() as client:
        client.send(REQUEST)
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        client.tls.write(b"".join(frame(2, payload) for payload in payloads if len(payload) < 126))
        sender = in_thread(client.socket.sendall, client.written())
        assert client.read(len(echoes)) == echoes
        join(sender)


def test_a_client_that_does_not_read_is_not_read_from_and_loses_nothing(run: Listen) -> None:
    server = run(tls="self-signed", memory_limit=64 << 20)
    message = bytes(range(256)) * 2048
    count = 64
    with HeldClient(server.port, strict(server)).open() as client:
        client.send(REQUEST)
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        client.tls.write(frame(2, message) * count)
        sender = in_thread(client.socket.sendall, client.written())
        eventually(lambda: server.stats().memory_used > 0, "output that waits")
        assert server.stats().messages_sent < count
        for _ in range(count):
            assert client.read(10) == b"\x82\x7f" + len(message).to_bytes(8, "big")
            assert client.read(len(message)) == message
        join(sender)
    eventually(lambda: server.stats().memory_used == 0, "all memory given back")


def test_a_message_in_the_segment_of_the_last_handshake_message_is_echoed(run: Listen) -> None:
    server = run(tls="self-signed")
    context = strict(server)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with HeldClient(server.port, context) as client:
        client.flush()
        while True:
            assert client.read_socket()
            try:
                client.tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        client.tls.write(REQUEST)
        client.tls.write(frame(1, b"at once"))
        client.flush()
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        assert client.read(9) == b"\x81\x07at once"


def test_a_hello_and_frames_that_come_byte_by_byte_are_understood(run: Listen) -> None:
    server = run(tls="self-signed")
    with HeldClient(server.port, strict(server)) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in client.written():
            client.socket.sendall(bytes([byte]))
        client.open()
        client.tls.write(REQUEST + frame(1, b"slowly"))
        for byte in client.written():
            client.socket.sendall(bytes([byte]))
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        assert client.read(8) == b"\x81\x06slowly"


def test_the_end_of_tcp_without_close_notify_does_not_lose_the_echo(run: Listen) -> None:
    server = run(tls="self-signed")
    with HeldClient(server.port, strict(server)).open() as client:
        client.send(REQUEST + frame(1, b"last words"))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        assert client.read(12) == b"\x81\x0alast words"


def test_a_close_notify_is_answered_with_one(run: Listen) -> None:
    watched = Watched(run, tls="self-signed")
    with HeldClient(watched.port, strict(watched.server)).open() as client:
        client.send(REQUEST)
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        # Returns when the server's has come.
        client.until(client.tls.unwrap)
    assert watched.gone().close_code == 1006


def test_the_closing_handshake_ends_with_close_notify(run: Listen) -> None:
    server = run(tls="self-signed")
    with RawClient(server.port, context=strict(server)).opened() as client:
        client.send(8, b"\x03\xe8bye")
        assert client.receive() == (8, b"\x03\xe8bye")
        # A socket of `ssl` raises SSLEOFError at an end without it.
        assert client.file.read() == b""


def test_stop_tells_clients_1001(run: Listen) -> None:
    server = run(tls="self-signed")
    with connect(server.url, ssl=strict(server)) as client:
        server.stop()
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


def test_stop_does_not_wait_for_an_unfinished_handshake(run: Listen) -> None:
    server = run(tls="self-signed", open_timeout=1000, close_timeout=1000)
    with HeldClient(server.port, strict(server)) as half, HeldClient(server.port, strict(server)) as silent:
        half.socket.sendall(half.written()[:100])
        eventually(lambda: server.stats().connections_accepted == 2, "both accepted")
        server.stop()
        assert half.is_closed()
        assert silent.is_closed()
    assert server.stats().tls_failures == 0


# What a client is told about


def test_a_client_knows_its_tls(run: Listen) -> None:
    watched = Watched(run, tls="self-signed")
    context = strict(watched.server)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(watched.url.replace("127.0.0.1", "localhost"), ssl=context) as connection:
        client = watched.next()
        assert client.tls is not None
        assert (client.tls.version, client.tls.server_name, client.tls.alpn) == ("TLSv1.3", "localhost", "http/1.1")
        cipher = connection.socket.cipher()  # type: ignore[attr-defined]
        assert client.tls.cipher == cipher[0]
        assert (client.tls.peer_subject, client.tls.peer_certificate) == (None, None)
        assert "TLSv1.3" in repr(client.tls)
        with pytest.raises(AttributeError):
            client.tls.version = "x"  # type: ignore[misc]


def test_a_client_of_tls_1_2_that_connects_to_an_address_names_nobody(run: Listen) -> None:
    watched = Watched(run, tls="self-signed")
    context = strict(watched.server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(watched.url, ssl=context):
        client = watched.next()
        assert client.tls is not None
        assert (client.tls.version, client.tls.server_name, client.tls.alpn) == ("TLSv1.2", None, None)
        assert client.tls.cipher.startswith("TLS_ECDHE_ECDSA_WITH_")


@pytest.mark.parametrize("version", VERSIONS)
def test_with_mutual_tls_a_client_has_a_subject(run: Listen, authority: Authority, version: ssl.TLSVersion) -> None:
    tls = TLS(*authority.issue("server"), client_ca=authority.pem)
    subjects: list[str | None] = []

    def on_text(client: Client, _: str) -> None:
        assert client.tls is not None
        subjects.append(client.tls.peer_subject)

    watched = Watched(run, tls=tls, on_text=on_text)
    files = authority.issue("client", "probe.example", common_name='a "comma", and + more', organization_name="Probes")
    context = authority.context(maximum_version=version)
    context.load_cert_chain(*files)
    with connect(watched.url, ssl=context) as connection:
        connection.send("hello")
        assert connection.recv() == "hello"
        client = watched.next()
        assert client.tls is not None
        assert client.tls.peer_certificate == ssl.PEM_cert_to_DER_cert(files[0].read_text())
    (subject,) = subjects
    assert subject is not None
    assert r"CN=a \"comma\"\, and \+ more" in subject
    assert "O=Probes" in subject


def test_on_handshake_knows_the_client_before_it_is_let_in(run: Listen, authority: Authority) -> None:
    def on_handshake(request: Request) -> Response | None:
        assert request.tls is not None
        assert request.tls.peer_subject is not None
        return None if "CN=friend" in request.tls.peer_subject else Response(403)

    watched = Watched(run, tls=TLS(*authority.issue("server"), client_ca=authority.pem), on_handshake=on_handshake)
    context = authority.context()
    context.load_cert_chain(*authority.issue("foe", "foe.example", common_name="foe"))
    with pytest.raises(InvalidStatus) as caught:
        connect(watched.url, ssl=context)
    assert caught.value.response.status_code == 403
    context = authority.context()
    context.load_cert_chain(*authority.issue("friend", "friend.example", common_name="friend"))
    with connect(watched.url, ssl=context):
        assert "CN=friend" in str(watched.next().tls)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_that_is_resumed_still_has_its_subject(
    run: Listen, authority: Authority, version: ssl.TLSVersion
) -> None:
    watched = Watched(run, tls=TLS(*authority.issue("server"), client_ca=authority.pem))
    context = authority.context(maximum_version=version, minimum_version=version)
    context.load_cert_chain(*authority.issue("client", "probe.example", common_name="probe"))
    session = None
    for reused in (False, True):
        with socket.create_connection(("127.0.0.1", watched.port)) as plain:
            tls = context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
            tls.sendall(REQUEST)
            assert tls.recv(1000).startswith(b"HTTP/1.1 101 ")
            session = tls.session
            assert tls.session_reused is reused
            tls.close()
        client = watched.next()
        assert client.tls is not None
        assert client.tls.peer_subject is not None
        assert "CN=probe" in client.tls.peer_subject


# Plain HTTP


def test_plain_http_gets_a_400_that_says_so(run: Listen) -> None:
    server = run(tls="self-signed")
    with pytest.raises(InvalidStatus) as caught:
        connect(server.url.replace("wss:", "ws:"))
    response = caught.value.response
    assert response.status_code == 400
    assert response.body == b"this port speaks TLS: connect with wss:// or https://, not with ws:// or http://\n"
    assert response.headers["Connection"] == "close"
    stats = server.stats()
    assert (stats.handshakes_refused, stats.tls_failures, stats.clients_opened) == (1, 1, 0)
