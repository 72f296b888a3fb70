"""Who is refused by TLS, with which alert, and that each is logged once."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from certificates import Authority, HeldClient
from echoserver import TLS, EchoServer
from support import TIMEOUT, connect, eventually

if TYPE_CHECKING:
    from conftest import Listen

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="NOT TESTED WITH OPENSSL: there is no program openssl")
# A record with a fatal alert, without its description (RFC 8446 section 6).
ALERT = b"\x15\x03\x03\x00\x02\x02"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "echoserver")


def logged(server: EchoServer, caplog: pytest.LogCaptureFixture, count: int = 1) -> list[str]:
    """What the server has logged in all its life, at INFO: these many failures of TLS."""
    eventually(lambda: server.stats().tls_failures == count, f"{count} failures of TLS")
    # It ends when everything is logged.
    server.stop()
    records = [record for record in caplog.records if record.name == "echoserver"]
    assert {record.levelno for record in records} <= {logging.INFO}
    texts = [record.getMessage() for record in records]
    assert len(texts) == count
    assert server.stats().tls_failures == count
    assert all(re.match(r"TLS with 127\.0\.0\.1:\d+ failed: ", text) for text in texts)
    return [text.partition("failed: ")[2] for text in texts]


def still_serves(server: EchoServer, context: ssl.SSLContext) -> None:
    with connect(server.url, ssl=context) as client:
        client.send("hello")
        assert client.recv() == "hello"


# Clients that refuse the server


def test_a_client_that_does_not_know_the_authority_says_so(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(tls="self-signed")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        connect(server.url, ssl=ssl.create_default_context())
    assert logged(server, caplog) == [
        "the client refuses: it does not know the authority of the server's certificate (alert unknown_ca)"
    ]


def test_an_expired_certificate_is_served_and_refused_by_the_client(
    run: Listen, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    server = run(tls=TLS(*authority.issue("server", days=-1)))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        connect(server.url, ssl=authority.context())
    assert logged(server, caplog) == [
        "the client refuses: the server's certificate has expired (alert certificate_expired)"
    ]


def test_a_certificate_for_another_name_is_refused_by_the_client(
    run: Listen, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    server = run(tls=TLS(*authority.issue("server", "elsewhere.example")))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for|mismatch"):
        connect(server.url, ssl=authority.context())
    assert logged(server, caplog) == [
        "the client refuses: it does not accept the server's certificate (alert bad_certificate)"
    ]


# Clients that are refused


@pytest.mark.parametrize("version", VERSIONS)
def test_no_client_certificate(
    run: Listen, authority: Authority, caplog: pytest.LogCaptureFixture, version: ssl.TLSVersion
) -> None:
    server = run(tls=TLS(*authority.issue("server"), client_ca=authority.pem))
    alert = "CERTIFICATE_REQUIRED" if version == ssl.TLSVersion.TLSv1_3 else "HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED"
    with (
        HeldClient(server.port, authority.context(maximum_version=version)) as client,
        pytest.raises(ssl.SSLError, match=alert),
    ):
        # With 1.3 the client is through before it hears of it.
        client.open().read(1)
    assert logged(server, caplog) == ["the client has no certificate, which client_ca demands"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("issuer", "days", "alert", "reason"),
    [
        ("other", 1, "UNKNOWN_CA", "it comes from none of the authorities in client_ca"),
        ("authority", -1, "CERTIFICATE_EXPIRED", "it has expired"),
    ],
)
def test_a_bad_client_certificate(  # noqa: PLR0913, PLR0917  # The cases.
    run: Listen,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    version: ssl.TLSVersion,
    issuer: str,
    days: int,
    alert: str,
    reason: str,
) -> None:
    server = run(tls=TLS(*authority.issue("server"), client_ca=authority.pem))
    context = authority.context(maximum_version=version)
    signer = authority if issuer == "authority" else Authority(authority.folder, issuer)
    context.load_cert_chain(*signer.issue("client", "probe.example", days=days))
    with HeldClient(server.port, context) as client, pytest.raises(ssl.SSLError, match=alert):
        client.open().read(1)
    assert logged(server, caplog) == [f"the client's certificate is refused: {reason}"]


def test_an_application_protocol_that_is_not_ours(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(tls="self-signed")
    context = server.ssl_context()
    context.set_alpn_protocols(["h2"])
    with (
        HeldClient(server.port, context) as client,
        pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"),
    ):
        client.open()
    assert logged(server, caplog) == ["the client offers application protocols, but not http/1.1"]


@needs_openssl
def test_tls_1_1(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    assert OPENSSL is not None
    server = run(tls="self-signed")
    command = [OPENSSL, "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_1", "-cipher", "ALL@SECLEVEL=0"]
    result = subprocess.run(command, input=b"", capture_output=True, timeout=TIMEOUT, check=False)
    assert result.returncode != 0
    assert b"alert protocol version" in result.stderr
    assert logged(server, caplog) == ["the client speaks no TLS newer than 1.1"]


@needs_openssl
def test_a_renegotiation(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    assert OPENSSL is not None
    server = run(tls="self-signed")
    command = [OPENSSL, "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"]
    # A line with an R alone asks for one.
    result = subprocess.run(command, input=b"R\n", capture_output=True, timeout=TIMEOUT, check=False)
    assert b"RENEGOTIATING" in result.stdout + result.stderr
    assert b"no renegotiation" in result.stderr
    assert logged(server, caplog) == ["the client wants to renegotiate, which is not supported"]


def test_a_hello_that_is_cut_off_by_the_end(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(tls="self-signed")
    with HeldClient(server.port, server.ssl_context()) as client:
        client.socket.sendall(client.written()[:100])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()
    assert logged(server, caplog) == ["the client left in the middle of it"]


def test_a_hello_that_never_gets_complete_is_ended_at_open_timeout(
    run: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    server = run(tls="self-signed", open_timeout=0.2)
    with HeldClient(server.port, server.ssl_context()) as client:
        client.socket.sendall(client.written()[:100])
        assert client.is_closed()
    assert logged(server, caplog) == ["the handshake was not done within open_timeout"]


def test_a_handshake_leaves_the_request_the_rest_of_open_timeout(run: Listen) -> None:
    server = run(tls="self-signed", open_timeout=0.2)
    with HeldClient(server.port, server.ssl_context()).open() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        assert client.read_head().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("sent", "answered", "reason"),
    [
        (b"\x00" * 100, ALERT + b"\x32", "the client sent something wrong: "),
        # rustls has no alert for it.
        (b"\x16\x03\x01\x00\x05hello" * 5, b"", "the client sent something wrong: "),
        (b"\x16\x09\x01\x00\x05hello", ALERT + b"\x32", "the client sent something wrong: "),
        (
            b"\x17\x03\x03\x00\x05hello",
            ALERT + b"\x0a",
            "the client sent a message of a kind that does not fit here: application data",
        ),
        (b"\x16\x03\x01\xff\xff" + b"x" * 100, ALERT + b"\x32", "the client sent something wrong: "),
        (b"\x80\x2e\x01\x03\x01" + b"\x00" * 60, ALERT + b"\x32", "the client sent something wrong: "),
        (b"SSH-2.0-client\r\n", b"HTTP/1.1 400 ", "the client speaks plain HTTP"),
    ],
    ids=["zeros", "no handshake", "no version", "data at once", "too long", "SSL 2", "SSH"],
)
def test_what_is_no_tls_is_answered_and_closed(
    run: Listen, caplog: pytest.LogCaptureFixture, sent: bytes, answered: bytes, reason: str
) -> None:
    server = run(tls="self-signed")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while data := client.recv(1000):
            answer += data
    assert answer.startswith(answered)
    assert bool(answer) is bool(answered)
    (text,) = logged(server, caplog)
    assert text.startswith(reason)


def test_plain_http_is_logged(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(tls="self-signed")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        with client.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 400 Bad Request\r\n"
            assert b"\r\n\r\nthis port speaks TLS: " in answer.read()
    assert logged(server, caplog) == ["the client speaks plain HTTP"]


def test_a_connection_that_says_nothing_and_goes_is_no_failure(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    server = run(tls="self-signed")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert logged(server, caplog, 0) == []


def test_a_record_that_was_changed_on_the_way_ends_the_connection(
    run: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    server = run(tls="self-signed")
    with HeldClient(server.port, server.ssl_context()).open() as client:
        client.tls.write(b"GET / HTTP/1.1\r\n")
        record = client.written()
        client.socket.sendall(record[:-1] + bytes([record[-1] ^ 1]))
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            client.read(1)
    assert logged(server, caplog) == ["the client sent a record that can't be decrypted"]


def test_a_thousand_half_open_handshakes_hinder_nobody_and_are_logged_once_each(
    run: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource", reason="NOT TESTED WITH 1,000 HANDSHAKES: no such limits on Windows")
    count = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * count + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"NOT TESTED WITH 1,000 HANDSHAKES: only {hard} descriptors, {needed} are needed")
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        server = run(tls="self-signed", open_timeout=3)
        context = server.ssl_context()
        with ExitStack() as stack:
            clients = []
            for index in range(count):
                client = stack.enter_context(HeldClient(server.port, context))
                # Some say nothing, some a part of their hello, some all of it and nothing after.
                client.socket.sendall(client.written()[: (0, 100, 100_000)[index % 3]])
                clients.append(client)
            still_serves(server, context)
            for client in clients:
                assert client.is_closed()
        still_serves(server, context)
        texts = logged(server, caplog, count)
        assert all("within open_timeout" in text for text in texts)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.needs_worker
def test_the_log_is_bounded_while_python_is_busy(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    def on_text(_client: object, _message: str) -> None:
        for _ in range(1500):
            with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
                client.sendall(b"\0" * 5)
                while client.recv(100):
                    pass

    server = run(tls="self-signed", on_text=on_text)
    with connect(server.url, ssl=server.ssl_context()) as client:
        client.send("fail often")
        assert client.recv() == "fail often"
    eventually(lambda: server.stats().tls_failures == 1500, "1500 failures")
    server.stop()
    texts = [record.getMessage() for record in caplog.records if record.name == "echoserver"]
    assert sum(text.startswith("TLS with 127.0.0.1:") for text in texts) == 1024
    assert "476 more were refused, too many at once to be logged" in texts
    assert len(texts) == 1025
