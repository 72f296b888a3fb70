"""What is wrong with the arguments and files of TLS, and how that is said."""

from __future__ import annotations

import errno
import re
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certificates import Authority, converted
from echoserver import TLS, EchoServer
from support import connect

if TYPE_CHECKING:
    from conftest import Listen

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="NOT TESTED WITH OPENSSL: there is no program openssl")


def refused(tls: object, kind: type[Exception]) -> Exception:
    with pytest.raises(kind) as caught:
        EchoServer(0, host="127.0.0.1", tls=tls)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("option", ["certfile", "keyfile", "client_ca"])
def test_a_missing_file_is_named_as_python_does(authority: Authority, option: str) -> None:
    certfile, keyfile = authority.issue("server")
    missing = authority.folder / "no such file"
    arguments: dict[str, Any] = {"certfile": certfile, "keyfile": keyfile, "client_ca": authority.pem, option: missing}
    error = refused(TLS(**arguments), FileNotFoundError)
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (errno.ENOENT, str(missing))
    assert str(error) == f"[Errno 2] {option}: No such file or directory: '{missing}'"


@pytest.mark.parametrize("option", ["certfile", "keyfile", "client_ca"])
def test_what_is_too_long_for_a_file_of_certificates_is_not_read_to_its_end(authority: Authority, option: str) -> None:
    certfile, keyfile = authority.issue("server")
    # A device may have no end; this one takes no room.
    long = authority.folder / "long.pem"
    with long.open("wb") as file:
        file.truncate((16 << 20) + 1)
    arguments: dict[str, Any] = {"certfile": certfile, "keyfile": keyfile, "client_ca": authority.pem, option: long}
    error = refused(TLS(**arguments), ValueError)
    assert str(error) == f"{option}='{long}': is longer than 16 MiB, so it is not what is meant"


@pytest.mark.parametrize("option", ["certfile", "keyfile", "client_ca"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "has no (certificate|private key) in PEM"),
        ("only text\n", "has no (certificate|private key) in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            "is no correct PEM: what it has is not in Base64$",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            "is no correct PEM: its -----END (CERTIFICATE|PRIVATE KEY)----- is missing$",
        ),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 of it is bad"),
    ],
    ids=["empty", "text", "no base64", "cut off", "no DER"],
)
def test_a_bad_file_is_a_value_error_with_its_name_and_what_is_wrong(
    authority: Authority, option: str, content: str, reason: str
) -> None:
    certfile, keyfile = authority.issue("server")
    if option == "keyfile":
        content = content.replace("CERTIFICATE", "PRIVATE KEY")
        reason = reason.replace("certificate 1 of it is bad", "kind that is not supported")
    bad = authority.folder / "bad.pem"
    bad.write_text(content)
    arguments: dict[str, Any] = {"certfile": certfile, "keyfile": keyfile, "client_ca": authority.pem, option: bad}
    assert re.match(f"{option}='{bad}': .*{reason}", str(refused(TLS(**arguments), ValueError)))


def test_a_key_of_another_certificate_is_named(authority: Authority) -> None:
    certfile, _ = authority.issue("server")
    _, other = authority.issue("other")
    text = str(refused(TLS(certfile, other), ValueError))
    assert text == f"keyfile='{other}': is not the key of the first certificate in certfile='{certfile}'"


def test_an_encrypted_key_wants_its_password(authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    encrypted = converted(keyfile, "PKCS8", b"right")
    assert str(refused(TLS(certfile, encrypted), ValueError)) == (
        f"keyfile='{encrypted}': is encrypted, and no password is given"
    )
    assert str(refused(TLS(certfile, encrypted, "wrong"), ValueError)) == (
        f"keyfile='{encrypted}': can't be decrypted: the password is wrong"
    )


def test_a_kind_of_key_that_is_not_supported_is_told(authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    key = ec.generate_private_key(ec.SECP521R1())
    keyfile.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    assert "P-256 or P-384" in str(refused(TLS(certfile, keyfile), ValueError))


@needs_openssl
@pytest.mark.parametrize(
    "options",
    [
        ("rsa", "-traditional", "-aes128"),
        ("pkcs8", "-topk8", "-v1", "PBE-MD5-DES", "-provider", "legacy", "-provider", "default"),
    ],
    ids=["PEM encryption", "PBES1"],
)
def test_the_command_in_the_error_converts_a_key_with_legacy_encryption(
    run: Listen, authority: Authority, options: tuple[str, ...]
) -> None:
    assert OPENSSL is not None
    certfile, keyfile = authority.issue("server", key_type=trustme.KeyType.RSA)
    legacy = authority.folder / "legacy.pem"
    command = [OPENSSL, options[0], "-in", str(keyfile), "-out", str(legacy), "-passout", "pass:secret", *options[1:]]
    subprocess.run(command, check=True, capture_output=True)
    text = str(refused(TLS(certfile, legacy, "secret"), ValueError))
    assert text.startswith(f"keyfile='{legacy}': ")
    advice = text.rpartition("convert ")[2].partition(": ")[2].split()
    assert advice[:2] == ["openssl", "pkcs8"]
    providers = list(options[4:])
    secret = ["-passin", "pass:secret", "-passout", "pass:secret"]
    subprocess.run([OPENSSL, *advice[1:], *secret, *providers], check=True, capture_output=True)
    server = run(tls=TLS(certfile, f"{legacy}.new", "secret"))
    with connect(server.url, ssl=authority.context()) as client:
        client.send("hello")
        assert client.recv() == "hello"


@needs_openssl
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-v2", "aes128", "-v2prf", "hmacWithSHA1"),
        ("-v2", "des3"),
        ("-scrypt",),
        ("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"),
    ],
    ids=" ".join,
)
def test_keys_that_openssl_encrypts_are_opened(authority: Authority, options: tuple[str, ...]) -> None:
    assert OPENSSL is not None
    certfile, keyfile = authority.issue("server")
    encrypted = authority.folder / "encrypted.pem"
    command = [
        OPENSSL,
        "pkcs8",
        "-topk8",
        "-in",
        str(keyfile),
        "-out",
        str(encrypted),
        "-passout",
        "pass:secret",
        *options,
    ]
    subprocess.run(command, check=True, capture_output=True)
    EchoServer(0, host="127.0.0.1", tls=TLS(certfile, encrypted, "secret")).stop()


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("self signed", ValueError, "tls='self signed': must be \"self-signed\", a TLS, or None"),
        (True, TypeError, 'tls=True: must be "self-signed", a TLS, or None, not bool'),
        (ssl.SSLContext, TypeError, "tls=<class"),
    ],
)
def test_another_value_of_tls_is_named(value: object, kind: type[Exception], text: str) -> None:
    assert str(refused(value, kind)).startswith(text)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"certfile": 5}, TypeError, "certfile=5: must be a path, not int"),
        ({"keyfile": None}, TypeError, "keyfile=None: must be a path, not NoneType"),
        ({"client_ca": b"x"}, TypeError, "client_ca=b'x': must be a path, not bytes"),
        ({"password": 5}, TypeError, "password: must be str, bytes or None, not int"),
        ({"min_version": "1.1"}, ValueError, 'min_version=\'1.1\': must be "1.2" or "1.3"'),
    ],
)
def test_wrong_arguments_of_tls_are_named(arguments: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        TLS(**{"certfile": "a", "keyfile": "b", **arguments})
    assert str(caught.value).startswith(text)


def test_a_tls_is_a_value_and_keeps_its_secret() -> None:
    tls = TLS("a.pem", Path("b.pem"), "secret", min_version="1.3")
    assert (tls.certfile, tls.keyfile, tls.client_ca, tls.min_version) == ("a.pem", "b.pem", None, "1.3")
    assert repr(tls) == "TLS(certfile='a.pem', keyfile='b.pem', password='***', client_ca=None, min_version='1.3')"
    assert tls == TLS("a.pem", "b.pem", b"secret", min_version="1.3")
    assert tls != TLS("a.pem", "b.pem", b"other", min_version="1.3")
    assert len({tls, TLS("a.pem", "b.pem", "secret", None, "1.3")}) == 1
    assert not hasattr(tls, "password")
    with pytest.raises(AttributeError):
        tls.certfile = "c.pem"  # type: ignore[misc]
