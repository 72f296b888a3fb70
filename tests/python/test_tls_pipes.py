"""Certificates, keys and passwords that come through a pipe, as a shell's `<(command)` has it."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certificates import Authority, converted
from echoserver import TLS, EchoServer
from support import (
    LISTENING,
    LOCAL,
    SCRIPT,
    connect,
    eventually,
    finished,
    first_line,
    has_open,
    in_thread,
    join,
    program,
    python,
)

if TYPE_CHECKING:
    from conftest import Listen

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="NOT TESTED WITH PIPES: this system has no FIFOs")
NOBODY = "is a pipe that nobody writes to"


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("option", ["certfile", "keyfile", "client_ca"])
def test_a_pipe_that_nobody_writes_to_is_refused(authority: Authority, fifo: Path, option: str) -> None:
    certfile, keyfile = authority.issue("server")
    files: dict[str, Any] = {"certfile": certfile, "keyfile": keyfile, "client_ca": authority.pem, option: fifo}
    with pytest.raises(OSError, match=f"{option}: {NOBODY}") as caught:
        EchoServer(0, host="127.0.0.1", tls=TLS(**files))
    assert caught.value.filename == str(fifo)


def test_a_certificate_may_be_renewed_by_no_pipe_without_a_writer(authority: Authority, listen: Listen) -> None:
    certfile, keyfile = authority.issue("server")
    server = listen(tls=TLS(certfile, keyfile)).start()
    certfile.unlink()
    os.mkfifo(certfile)
    with pytest.raises(OSError, match=NOBODY):
        server.reload_tls()
    with connect(server.url, ssl=ssl.create_default_context(cafile=authority.pem)) as client:
        client.send("as before")
        assert client.recv() == "as before"


def test_what_comes_through_a_pipe_is_read_to_its_end(authority: Authority, fifo: Path, listen: Listen) -> None:
    certfile, keyfile = authority.issue("server")
    content = certfile.read_bytes()
    half = len(content) // 2

    def write() -> None:
        # Waits until somebody reads.
        with fifo.open("wb", buffering=0) as file:
            file.write(content[:half])
            file.write(content[half:])

    writer = in_thread(write)
    server = listen(tls=TLS(fifo, keyfile)).start()
    join(writer)
    with connect(server.url, ssl=ssl.create_default_context(cafile=authority.pem)) as client:
        client.send("secret")
        assert client.recv() == "secret"


def test_what_never_ends_is_read_to_a_limit(authority: Authority, fifo: Path) -> None:
    _, keyfile = authority.issue("server")
    endless = subprocess.Popen(["/bin/sh", "-c", 'exec cat /dev/zero > "$0"', str(fifo)])
    with endless, pytest.raises(ValueError, match="is longer than 16 MiB"):
        EchoServer(0, host="127.0.0.1", tls=TLS(fifo, keyfile))
    assert endless.returncode == -signal.SIGPIPE


WAITS = """
import sys
from echoserver import TLS, EchoServer

try:
    EchoServer(0, host="127.0.0.1", tls=TLS(sys.argv[1], sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_the_wait_for_a_pipe(fifo: Path) -> None:
    # It has a writer, who writes nothing.
    descriptor = os.open(fifo, os.O_RDWR)
    try:
        process = python(WAITS, str(fifo))
        eventually(lambda: has_open(process.pid, fifo), "its reading")
        process.send_signal(signal.SIGINT)
        assert finished(process) == (0, "interrupted\n", "")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("option", ["--certfile", "--password-file"])
def test_ctrl_c_ends_the_program_while_it_waits_for_a_pipe(fifo: Path, option: str) -> None:
    descriptor = os.open(fifo, os.O_RDWR)
    try:
        process = program(SCRIPT, *LOCAL, "-d", f"--certfile={fifo}", f"{option}={fifo}")
        eventually(lambda: has_open(process.pid, fifo), "its reading")
        process.send_signal(signal.SIGINT)
        assert finished(process) == (0, "", "")
    finally:
        os.close(descriptor)


def test_the_password_of_a_pipe_that_nobody_writes_to_is_refused(authority: Authority, fifo: Path) -> None:
    certfile, keyfile = authority.issue("server")
    options = (f"--certfile={certfile}", f"--keyfile={keyfile}", f"--password-file={fifo}")
    status, out, err = finished(program(SCRIPT, *LOCAL, *options))
    assert (status, out) == (2, "")
    assert err.endswith(f"argument --password-file: '{fifo}': {NOBODY}\n")


@pytest.mark.skipif(not Path("/dev/fd").exists() or not Path("/bin/bash").exists(), reason="NOT TESTED WITH BASH")
def test_the_process_substitution_of_a_shell_works(authority: Authority) -> None:
    certfile, keyfile = authority.issue("server")
    encrypted = converted(keyfile, "PKCS8", b"open sesame")
    files = '--certfile <(cat "$2") --keyfile <(cat "$3") --password-file <(echo open sesame)'
    command = ["/bin/bash", "-c", f'exec "$0" -m echoserver -p0 --host "$1" {files}']
    process = program(*command, sys.executable, "127.0.0.1", str(certfile), str(encrypted))
    with connect(first_line(process), ssl=ssl.create_default_context(cafile=authority.pem)) as client:
        client.send("x")
        assert client.recv() == "x"
    process.terminate()
    assert finished(process) == (0, "", LISTENING.replace("on: page", "on: TLS, page"))
