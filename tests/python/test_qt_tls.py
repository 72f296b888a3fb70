"""What a server of `echoserver.qt` tells of TLS that fails. It needs PySide6, which has Qt's classes for it."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest
import trustme

from certificates import Authority
from qt_variants import PYSIDE6, environment, needs
from support import FACTOR, connect, finished, first_line, program

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
    assert lines[6:] == ["peerVerifyError CertificateRejected", "sslErrors ['CertificateRejected']"]


def test_who_verifies_has_authorities(authority: Authority) -> None:
    needs(PYSIDE6)
    certfile, keyfile = authority.issue("server", key_type=trustme.KeyType.RSA)
    command = [sys.executable, "-c", f"VERIFIES = True\n{PROGRAM}", certfile, keyfile]
    status, _, err = finished(program(*map(str, command), env=environment(PYSIDE6)), 60 * FACTOR)
    assert status == 1
    assert err.splitlines()[-1] == (
        "ValueError: a server with VerifyPeer needs setCaCertificates(): those of its clients"
    )
