"""Certificates: of files and of the server's own, what they are valid for, and reloading."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from certificates import Authority, converted, of_version_1, strict, with_unknown_critical_extension
from echoserver import TLS, EchoServer
from support import Watched, connect

if TYPE_CHECKING:
    from conftest import Listen


def shown_certificate(port: int, context: ssl.SSLContext) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as plain:
        tls = context.wrap_socket(plain, server_hostname="127.0.0.1")
        certificate = tls.getpeercert(binary_form=True)
        tls.close()
    assert certificate
    return certificate


def test_the_url_is_wss(listen: Listen) -> None:
    server = listen(tls="self-signed")
    assert server.url == f"wss://127.0.0.1:{server.port}/"
    assert repr(server).startswith("<EchoServer wss://")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", socket.gethostname()])
def test_a_self_signed_certificate_is_valid_for_this_machine(run: Listen, name: str) -> None:
    server = run(tls="self-signed")
    with socket.create_connection(("127.0.0.1", server.port)) as plain:
        tls = strict(server).wrap_socket(plain, server_hostname=name)
        assert tls.version() == "TLSv1.3"
        tls.close()


def test_a_self_signed_certificate_is_valid_for_the_host_that_is_listened_on(run: Listen) -> None:
    server = run(host="127.0.0.2", tls="self-signed")
    with connect(server.url, ssl=strict(server)) as client:
        client.send("hello")
        assert client.recv() == "hello"


def test_the_ca_is_one_certificate_and_trusted_by_text(run: Listen) -> None:
    server = run(tls="self-signed")
    assert server.ca_pem is not None
    assert server.ca_pem.count("BEGIN CERTIFICATE") == 1
    with connect(server.url, ssl=ssl.create_default_context(cadata=server.ca_pem)) as client:
        client.send("hello")
        assert client.recv() == "hello"


def test_each_server_has_an_authority_of_its_own(run: Listen) -> None:
    one, other = run(tls="self-signed"), run(tls="self-signed")
    assert one.ca_pem != other.ca_pem
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(one.url, ssl=other.ssl_context())


def test_the_context_of_a_server_with_files_trusts_its_certificate(run: Listen, authority: Authority) -> None:
    server = run(tls=TLS(*authority.issue("server")))
    assert server.ca_pem is None
    for context in (server.ssl_context(), authority.context()):
        with connect(server.url, ssl=context) as client:
            client.send("hello")
            assert client.recv() == "hello"
    other = Authority(authority.folder, "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(run(tls=TLS(*other.issue("server"))).url, ssl=server.ssl_context())


def test_without_tls_there_is_nothing_of_it(run: Listen) -> None:
    watched = Watched(run)
    assert watched.server.ca_pem is None
    with pytest.raises(RuntimeError, match="no TLS"):
        watched.server.ssl_context()
    with pytest.raises(RuntimeError, match="no TLS"):
        watched.server.reload_tls()
    with connect(watched.url):
        assert watched.next().tls is None


@pytest.mark.parametrize("kind", [{"key_type": "RSA"}, {"key_type": "ECDSA"}], ids=["RSA", "ECDSA"])
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_keys_of_the_usual_kinds_and_forms(run: Listen, authority: Authority, kind: dict[str, str], form: str) -> None:
    certfile, keyfile = authority.issue("server", key_type=trustme.KeyType[kind["key_type"]])
    server = run(tls=TLS(certfile, converted(keyfile, form)))
    with connect(server.url, ssl=authority.context()) as client:
        client.send("hello")
        assert client.recv() == "hello"


@pytest.mark.parametrize("password", ["grün", "grün".encode()])
def test_an_encrypted_key_is_opened_with_its_password(run: Listen, authority: Authority, password: str | bytes) -> None:
    certfile, keyfile = authority.issue("server")
    encrypted = converted(keyfile, "PKCS8", "grün".encode())
    assert "ENCRYPTED PRIVATE KEY" in encrypted.read_text()
    server = run(tls=TLS(certfile, encrypted, password=password))
    with connect(server.url, ssl=authority.context()) as client:
        client.send("hello")
        assert client.recv() == "hello"


def test_certificate_and_key_may_be_in_one_file(run: Listen, authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    both = authority.folder / "both.pem"
    both.write_bytes(keyfile.read_bytes() + certfile.read_bytes())
    server = run(tls=TLS(str(both), str(both)))
    with connect(server.url, ssl=authority.context()) as client:
        client.send("hello")
        assert client.recv() == "hello"


def test_min_version_1_3_refuses_1_2(run: Listen, authority: Authority) -> None:
    server = run(tls=TLS(*authority.issue("server"), min_version="1.3"))
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        connect(server.url, ssl=authority.context(maximum_version=ssl.TLSVersion.TLSv1_2))
    with connect(server.url, ssl=authority.context()) as client:
        client.send("hello")
        assert client.recv() == "hello"


# Reloading


def test_a_reloaded_certificate_is_for_new_clients_and_disturbs_nobody(run: Listen, authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    server = run(tls=TLS(certfile, keyfile))
    before = shown_certificate(server.port, authority.context())
    with connect(server.url, ssl=authority.context()) as client:
        authority.issue("server")
        assert shown_certificate(server.port, authority.context()) == before
        server.reload_tls()
        after = shown_certificate(server.port, authority.context())
        assert after != before
        client.send("still here")
        assert client.recv() == "still here"
    with connect(server.url, ssl=server.ssl_context()) as client:
        client.send("hello")
        assert client.recv() == "hello"


def test_a_reload_that_fails_changes_nothing(run: Listen, authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    server = run(tls=TLS(certfile, keyfile))
    before = shown_certificate(server.port, authority.context())
    certfile.write_text("nothing")
    with pytest.raises(ValueError, match=r"certfile=.*no certificate"):
        server.reload_tls()
    certfile.unlink()
    with pytest.raises(FileNotFoundError):
        server.reload_tls()
    assert shown_certificate(server.port, authority.context()) == before


def test_a_reload_of_a_self_signed_certificate_keeps_the_authority(run: Listen) -> None:
    server = run(tls="self-signed")
    context, pem = strict(server), server.ca_pem
    before = shown_certificate(server.port, context)
    server.reload_tls()
    assert server.ca_pem == pem
    assert shown_certificate(server.port, context) != before


# Certificates that rustls would not take from a peer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_version_1_is_served(run: Listen, authority: Authority, version: ssl.TLSVersion) -> None:
    certfile, keyfile = authority.issue("server")
    of_version_1(certfile, authority.ca)
    server = run(tls=TLS(certfile, keyfile))
    context = authority.context(check_hostname=False, maximum_version=version)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with connect(server.url, ssl=context) as client:
        client.send("hello")
        assert client.recv() == "hello"


def test_a_critical_extension_is_for_the_clients_to_judge(
    run: Listen, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "echoserver")
    certfile, keyfile = authority.issue("server")
    with_unknown_critical_extension(certfile, authority.ca)
    server = run(tls=TLS(certfile, keyfile))
    with pytest.raises(ssl.SSLCertVerificationError, match="unhandled critical extension"):
        connect(server.url, ssl=authority.context())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connect(server.url, ssl=context) as client:
        client.send("hello")
        assert client.recv() == "hello"
    server.stop()
    assert "the client refuses: " in caplog.text


def test_a_key_of_another_certificate_of_version_1_is_named(authority: Authority) -> None:
    certfile, _ = authority.issue("server")
    of_version_1(certfile, authority.ca)
    _, other = authority.issue("other")
    with pytest.raises(ValueError, match="is not the key of the first certificate"):
        EchoServer(0, host="127.0.0.1", tls=TLS(certfile, other))
