"""What a server of `echoserver.qt` tells of TLS that fails. It needs PySide6, which has Qt's classes for it."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

import pytest
import trustme

from certificates import Authority
from qt_variants import PYSIDE6, environment, needs
from support import FACTOR, TIMEOUT, connect, finished, first_line, program

PROGRAM = """
import sys
from pathlib import Path
from echoserver.qt.QtCore import QByteArray, QCoreApplication
from echoserver.qt.QtNetwork import QHostAddress, QSsl, QSslCertificate, QSslConfiguration, QSslKey, QSslSocket
from echoserver.qt.QtWebSockets import QWebSocketServer

app = QCoreApplication(sys.argv)
certificate, key, *authorities = map(Path, sys.argv[1:])
configuration = QSslConfiguration()
configuration.setLocalCertificate(QSslCertificate(certificate.read_bytes(), QSsl.EncodingFormat.Pem))
data = QByteArray(key.read_bytes())
configuration.setPrivateKey(QSslKey(data, QSsl.KeyAlgorithm.Rsa, QSsl.EncodingFormat.Pem))
if VERIFIES:
    configuration.setPeerVerifyMode(QSslSocket.PeerVerifyMode.VerifyPeer)
    configuration.setCaCertificates([
        QSslCertificate(file.read_bytes(), QSsl.EncodingFormat.Pem) for file in authorities
    ])
server = QWebSocketServer("TLS", QWebSocketServer.SslMode.SecureMode)
server.setSslConfiguration(configuration)

def say(*words):
    print(*words, flush=True)

server.serverError.connect(lambda code: say("serverError", code.name, server.errorString()))
server.peerVerifyError.connect(lambda error: say("peerVerifyError", error.error().name))
server.sslErrors.connect(lambda errors: say("sslErrors", [error.error().name for error in errors]))
sockets = []

def come():
    sockets.append(server.nextPendingConnection())
    sockets[-1].textMessageReceived.connect(sockets[-1].sendTextMessage)
    sockets[-1].disconnected.connect(app.quit)

server.newConnection.connect(come)
if not server.listen(QHostAddress(QHostAddress.SpecialAddress.LocalHost), 0):
    sys.exit(server.errorString())
say(server.serverPort())
app.exec()
"""

LOGGED = """
import logging

class Handler(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("TLS with "):
            print("logged", flush=True)

logging.getLogger("echoserver").addHandler(Handler())
logging.getLogger("echoserver").setLevel(logging.INFO)
"""


@pytest.mark.parametrize("verifies", [False, True])
def test_what_fails_is_told(authority: Authority, tmp_path: Path, verifies: bool) -> None:
    needs(PYSIDE6)
    certfile, keyfile = authority.issue("server", key_type=trustme.KeyType.RSA)
    stranger = Authority(tmp_path, "stranger")
    command = [sys.executable, "-c", f"VERIFIES = {verifies}\n{PROGRAM}", certfile, keyfile, authority.pem]
    process = program(*map(str, command), env=environment(PYSIDE6))
    url = f"wss://localhost:{first_line(process)}"

    # In TLS 1.3 a client has done its part before it hears that it is refused.
    trusting, distrusting = authority.context(maximum_version=ssl.TLSVersion.TLSv1_2), ssl.create_default_context()
    with pytest.raises(ssl.SSLError):
        connect(url, ssl=distrusting)
    if verifies:
        with pytest.raises(ssl.SSLError):
            connect(url, ssl=trusting)
        trusting.load_cert_chain(*stranger.issue("other", "other.example"))
        with pytest.raises(ssl.SSLError):
            connect(url, ssl=trusting)
        trusting.load_cert_chain(*authority.issue("late", "late.example", days=-1))
        with pytest.raises(ssl.SSLError):
            connect(url, ssl=trusting)
        trusting.load_cert_chain(*authority.issue("client", "client.example"))
    with connect(url, ssl=trusting) as client:
        client.send("text")
        assert client.recv() == "text"
    status, out, err = finished(process, 60 * FACTOR)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [
        "serverError CloseCodeTlsHandshakeFailed the client refuses: it does not know the authority of the server's "
        "certificate (alert unknown_ca)",
        "sslErrors ['UnspecifiedError']",
    ]
    if not verifies:
        assert lines[2:] == []
        return
    assert lines[2:5] == [
        "serverError CloseCodeTlsHandshakeFailed the client has no certificate, which client_ca demands",
        "peerVerifyError NoPeerCertificate",
        "sslErrors ['NoPeerCertificate']",
    ]
    assert lines[5].startswith("serverError CloseCodeTlsHandshakeFailed the client's certificate is refused: ")
    assert lines[6:8] == [
        "peerVerifyError UnableToGetLocalIssuerCertificate",
        "sslErrors ['UnableToGetLocalIssuerCertificate']",
    ]
    assert lines[8].endswith(" the client's certificate is refused: it has expired")
    assert lines[9:] == ["peerVerifyError CertificateExpired", "sslErrors ['CertificateExpired']"]


def test_tls_that_breaks_later_is_no_handshake_that_fails(authority: Authority) -> None:
    needs(PYSIDE6)
    certfile, keyfile = authority.issue("server", key_type=trustme.KeyType.RSA)
    command = [sys.executable, "-c", f"VERIFIES = False\n{LOGGED}{PROGRAM}", certfile, keyfile]
    process = program(*map(str, command), env=environment(PYSIDE6))
    port = int(first_line(process))
    context = authority.context()
    plain = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    with context.wrap_socket(plain, server_hostname="localhost") as one:
        one.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert one.recv(1000).startswith(b"HTTP/1.1 101 ")
        with socket.socket(fileno=one.detach()) as broken:
            broken.sendall(b"\x17\x03\x03\x00\x05junk!")
            # The program quits when that client is gone.
            status, out, err = finished(process, 60 * FACTOR)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["logged"]


def refused(certfile: Path, keyfile: Path, *, verifies: bool) -> str:
    """The error with which a program ends that listens with these."""
    command = [sys.executable, "-c", f"VERIFIES = {verifies}\n{PROGRAM}", certfile, keyfile]
    status, _, err = finished(program(*map(str, command), env=environment(PYSIDE6)), 60 * FACTOR)
    assert status == 1
    return err.splitlines()[-1]


def test_a_wrong_key_is_told_by_what_has_set_it(authority: Authority) -> None:
    needs(PYSIDE6)
    certfile, _ = authority.issue("server", key_type=trustme.KeyType.RSA)
    _, keyfile = authority.issue("other", key_type=trustme.KeyType.RSA)
    assert refused(certfile, keyfile, verifies=False) == (
        "ValueError: setPrivateKey(): is not the key of the first certificate in setLocalCertificate()"
    )


def test_who_verifies_has_authorities(authority: Authority) -> None:
    needs(PYSIDE6)
    certfile, keyfile = authority.issue("server", key_type=trustme.KeyType.RSA)
    assert refused(certfile, keyfile, verifies=True) == (
        "ValueError: a server with VerifyPeer needs setCaCertificates(): those of its clients"
    )
