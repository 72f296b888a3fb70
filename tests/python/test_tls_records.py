"""TLS in records of any size: a whole record may bring a part of a handshake message."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from certificates import Authority, HeldClient
from echoserver import TLS, EchoServer
from support import REQUEST, TIMEOUT, connect, eventually, finished, first_line, frame, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Listen

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="NOT TESTED WITH OPENSSL: there is no program openssl")
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
HANDSHAKE = 22
# Whole records with the beginning of a client hello of 256 bytes: its first byte, its header, its version.
HALVES = [b"\x01", b"\x01\x00\x01\x00", b"\x01\x00\x01\x00\x03\x03"]


def record(payload: bytes, kind: int = HANDSHAKE) -> bytes:
    return struct.pack("!BHH", kind, 0x0301, len(payload)) + payload


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Header and payload of each record."""
    while data:
        end = 5 + int.from_bytes(data[3:5])
        yield data[:5], data[5:end]
        data = data[end:]


def cut(data: bytes, size: int) -> bytes:
    """The same with its handshake messages in records of at most this size; those that are not encrypted."""
    out = b""
    is_encrypted = False
    for header, payload in records(data):
        if header[0] != HANDSHAKE or is_encrypted:
            # After a change of the cipher, or data, nothing is in the clear.
            is_encrypted = True
            out += header + payload
        else:
            parts = [payload[start : start + size] for start in range(0, len(payload), size)]
            out += b"".join(header[:3] + len(part).to_bytes(2) + part for part in parts)
    return out


class CuttingClient(HeldClient):
    """Sends what is not encrypted in records of `size` bytes."""

    size = 1

    def written(self) -> bytes:
        """What TLS wants to be sent, cut."""
        return cut(super().written(), self.size)


def still_serves(server: EchoServer) -> None:
    with connect(server.url, ssl=server.ssl_context()) as client:
        client.send("hello")
        assert client.recv() == "hello"


@pytest.mark.parametrize("half", HALVES)
def test_half_a_client_hello_has_open_timeout_and_holds_nobody_up(run: Listen, half: bytes) -> None:
    server = run(tls="self-signed", workers=1, open_timeout=1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(record(half))
        still_serves(server)
        assert client.recv(1) == b""
    assert server.stats().tls_failures == 1


@pytest.mark.parametrize("half", HALVES)
def test_a_client_may_leave_in_the_middle_of_its_hello(run: Listen, half: bytes) -> None:
    server = run(tls="self-signed", workers=1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(record(half))
        still_serves(server)
    eventually(lambda: server.stats().tls_failures == 1)
    still_serves(server)


def test_a_stop_does_not_wait_for_the_rest_of_a_hello(run: Listen) -> None:
    server = run(tls="self-signed", workers=1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(record(HALVES[1]))
        still_serves(server)
        server.stop(TIMEOUT)
        assert client.recv(1) == b""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_the_program_ends_beside_half_a_hello() -> None:
    process = program(sys.executable, "-m", "echoserver", "-p0", "--host=127.0.0.1", "--tls=self-signed")
    port = int(first_line(process).rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as client:
        client.sendall(record(HALVES[0]))
        # The next client is served only after that was read: one worker takes turns, several are not busy.
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as other:
            other.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert other.recv(12) == b"HTTP/1.1 400"
        process.send_signal(signal.SIGTERM)
        assert finished(process)[0] == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 9, 10, 11, 60, 300])
def test_a_handshake_in_small_records(
    run: Listen, authority: Authority, version: ssl.TLSVersion, size: int, at_once: bool
) -> None:
    server = run(tls=TLS(*authority.issue("server"), client_ca=authority.pem), workers=1)
    context = authority.context(maximum_version=version)
    context.load_cert_chain(*authority.issue("client", "probe.example"))
    with CuttingClient(server.port, context) as client:
        client.size = size
        if not at_once:
            for header, payload in records(client.written()):
                client.socket.sendall(header)
                client.socket.sendall(payload)
        client.open()
        client.send(REQUEST)
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        client.send(frame(1, b"hi"))
        assert client.read(4) == b"\x81\x02hi"
    assert server.stats().tls_failures == 0


@needs_openssl
@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_openssl_with_small_records_and_a_chain_of_certificates(
    run: Listen, authority: Authority, version: str
) -> None:
    assert OPENSSL is not None
    server = run(tls=TLS(*authority.issue("server"), client_ca=authority.pem), workers=1)
    lower = Authority(authority.folder, "lower")
    lower.ca = authority.ca.create_child_ca()
    certfile, keyfile = lower.issue("client", *(f"{number}.a-long-name.example" for number in range(100)))
    assert certfile.read_bytes().count(b"BEGIN") > 1
    command: list[str | Path] = [
        *(OPENSSL, "s_client", "-quiet", "-connect", f"127.0.0.1:{server.port}", f"-{version}"),
        *("-max_send_frag", "512", "-CAfile", authority.pem, "-verify_return_error"),
        *("-cert", certfile, "-key", keyfile, "-cert_chain", certfile),
    ]
    sent = REQUEST + frame(2, bytes(10_000)) + frame(8, b"\x03\xe8")
    result = subprocess.run(command, input=sent, capture_output=True, timeout=TIMEOUT, check=True)
    assert result.stdout.startswith(b"HTTP/1.1 101 ")
    assert result.stdout.endswith(bytes(10_000) + b"\x88\x02\x03\xe8")
    assert server.stats().tls_failures == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("left", [1, 5, 8, -1])
def test_half_a_record_at_the_end(run: Listen, version: ssl.TLSVersion, left: int) -> None:
    server = run(tls="self-signed", workers=1)
    context = server.ssl_context()
    context.maximum_version = version
    with HeldClient(server.port, context) as client:
        client.open()
        client.send(REQUEST)
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        client.tls.write(frame(1, b"hi"))
        client.socket.sendall(client.written()[:left])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()
    eventually(lambda: server.stats().clients_closed == 1)
    still_serves(server)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_record_of_nothing_is_an_error_or_nothing(run: Listen, version: ssl.TLSVersion) -> None:
    server = run(tls="self-signed", workers=1)
    context = server.ssl_context()
    context.maximum_version = version
    with HeldClient(server.port, context) as client:
        # RFC 8446 section 5.1: no handshake message is in a record of nothing.
        client.socket.sendall(record(b"") + client.written())
        assert client.is_closed()
    eventually(lambda: server.stats().tls_failures == 1)
    still_serves(server)
