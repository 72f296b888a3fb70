"""TLS from the command line."""

from __future__ import annotations

import re
import signal
import ssl
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certificates import Authority, converted
from support import LISTENING, LOCAL, SCRIPT, connect, finished, first_line, program

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


@contextmanager
def running(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the URL of a server of the program, which must end in order."""
    process = program(SCRIPT, *LOCAL, *map(str, arguments))
    try:
        yield process, first_line(process)
    finally:
        process.terminate()


def ended(process: subprocess.Popen[str]) -> str:
    """What it said on stderr in all its life."""
    process.terminate()
    status, out, err = finished(process)
    assert (status, out) == (0, "")
    return re.sub(r"\Aechoserver: listening on .*\n", "", err)


def log_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    line = process.stderr.readline()
    return process.stderr.readline() if " listening on " in line else line


def serial(url: str, context: ssl.SSLContext) -> str:
    with connect(url, ssl=context) as client:
        certificate = client.socket.getpeercert()  # type: ignore[attr-defined]
        client.send("hello")
        assert client.recv() == "hello"
    return str(certificate["serialNumber"])


def test_self_signed_prints_where_the_ca_is_and_removes_it_at_the_end() -> None:
    with running("--tls", "self-signed") as (process, url):
        assert re.fullmatch(r"wss://127\.0\.0\.1:\d+/", url)
        ca = Path(first_line(process).removeprefix("CA certificate: "))
        assert ca.stat().st_mode & 0o777 == 0o644
        context = ssl.create_default_context(cafile=ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        assert serial(url, context)
        assert ended(process) == ""
    assert not ca.exists()


def test_certificate_and_encrypted_key_from_files(authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    encrypted = converted(keyfile, "PKCS8", b"secret word")
    password = authority.folder / "password"
    password.write_text("secret word\nnot this\n")
    files = ("--certfile", certfile, "--keyfile", encrypted, "--password-file", password)
    with running(*files) as (process, url):
        assert url.startswith("wss://")
        assert serial(url, authority.context())
        assert ended(process) == ""


def test_the_key_is_in_the_file_of_the_certificate_by_default(authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    certfile.write_bytes(certfile.read_bytes() + keyfile.read_bytes())
    with running("--certfile", certfile) as (process, url):
        assert serial(url, authority.context())
        assert ended(process) == ""


def test_client_ca_demands_certificates_and_refusals_are_shown_on_stderr(authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    files = ("--certfile", certfile, "--keyfile", keyfile, "--client-ca", authority.pem)
    with running(*files) as (process, url):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(url, ssl=authority.context(maximum_version=ssl.TLSVersion.TLSv1_2))
        shown = (
            r"echoserver: TLS with 127\.0\.0\.1:\d+ failed: the client has no certificate, which client_ca demands\n"
        )
        assert re.fullmatch(shown, log_line(process))
        context = authority.context()
        context.load_cert_chain(*authority.issue("client", "probe.example"))
        assert serial(url, context)
        assert ended(process) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_sighup_reloads_the_certificate_and_disturbs_nobody(authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    with running("--certfile", certfile, "--keyfile", keyfile) as (process, url):
        with connect(url, ssl=authority.context()) as client:
            before = serial(url, authority.context())
            authority.issue("server")
            process.send_signal(signal.SIGHUP)
            assert log_line(process) == "echoserver: the certificate was reloaded\n"
            after = serial(url, authority.context())
            assert before != after
            client.send("still here")
            assert client.recv() == "still here"
        keyfile.write_text("nothing")
        process.send_signal(signal.SIGHUP)
        text = f"keyfile='{keyfile}': has no private key in PEM (-----BEGIN PRIVATE KEY-----)"
        assert log_line(process) == f"echoserver: the certificate was not reloaded: {text}\n"
        assert serial(url, authority.context()) == after
        assert ended(process) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_sighup_without_tls_ends_the_program_as_ever() -> None:
    with running() as (process, _):
        process.send_signal(signal.SIGHUP)
        assert finished(process) == (-signal.SIGHUP, "", LISTENING)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--tls", "other"], "argument --tls: invalid choice: 'other'"),
        (["--tls", "self-signed", "--certfile", "x"], "argument --certfile: 'x': not together with --tls"),
        (["--keyfile", "x"], "argument --keyfile: 'x': needs --certfile"),
        (["--client-ca", "x"], "argument --client-ca: 'x': needs --certfile"),
        (["--certfile", "/no/such"], "argument --certfile: '/no/such': No such file or directory"),
        (
            ["--certfile", "x", "--password-file", "/no/such"],
            "argument --password-file: '/no/such': No such file or directory",
        ),
        (["--certfile", __file__], f"argument --certfile: '{__file__}': has no certificate in PEM"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(arguments: list[str], text: str) -> None:
    status, out, err = finished(program(SCRIPT, *LOCAL, *arguments))
    assert (status, out) == (2, "")
    assert f"echoserver: error: {text}" in err


def test_a_line_that_is_too_long_for_a_password_is_told(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_bytes(b"x" * ((1 << 16) + 1))
    process = program(SCRIPT, *LOCAL, "--certfile", "x", "--password-file", str(password))
    status, out, err = finished(process)
    assert (status, out) == (2, "")
    text = f"argument --password-file: '{password}': its first line is longer than 65536 bytes"
    assert f"echoserver: error: {text}" in err
