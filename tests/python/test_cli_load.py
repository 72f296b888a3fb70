"""`echoserver load`: what it measures, what it says of failures and of itself."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from certificates import signed_by_itself
from echoserver import TLS, EchoServer
from echoserver.cli import load
from support import SCRIPT, TIMEOUT, eventually, finished, has_open, program

if TYPE_CHECKING:
    from pathlib import Path

    from certificates import Authority
    from conftest import Listen


def loaded(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a run with these."""
    return ended([SCRIPT, "load", *arguments], **environment)


def ended(command: list[str], **environment: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of this."""
    env = os.environ | environment
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * TIMEOUT, check=False, env=env)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def measured(*arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Status, and the object that it prints."""
    status, out, err = loaded(*arguments, "--json", **environment)
    assert err == ""
    assert out.count("\n") == 1
    return status, json.loads(out)


@pytest.mark.parametrize("options", [[], ["--binary", "--size=70kB", "--inflight=3", "--threads=2"]])
def test_it_counts_the_answers_that_have_come(options: list[str], server: EchoServer) -> None:
    status, found = measured(server.url, "--clients=5", "--seconds=0.3", *options)
    assert (status, found["failed_clients"], found["failure"], found["wrong_answers"]) == (0, 0, None, 0)
    eventually(lambda: server.stats().clients_closed == 5, "the end of all clients")
    stats = server.stats()
    received = stats.binary_messages_received if options else stats.text_messages_received
    # Each client's last answers come after the time.
    assert 0 < found["messages"] <= received <= found["messages"] + 5 * found["inflight"]
    assert stats.clients_opened == 5
    assert stats.violations == 0
    latency = found["latency"]
    assert list(latency) == ["mean", "p50", "p90", "p99", "p99.9", "max"]
    quantiles = [latency[name] for name in ("p50", "p90", "p99", "p99.9", "max")]
    assert quantiles == sorted(quantiles)
    assert 1e-6 < latency["p50"] < TIMEOUT
    assert 1e-6 < latency["mean"] <= latency["max"]
    assert found["messages_per_second"] == pytest.approx(found["messages"] / 0.3)
    assert found["generator_busy"] > 0


def test_it_says_so_in_words(server: EchoServer) -> None:
    status, out, err = loaded(server.url.removeprefix("ws://"), "--clients=2", "--seconds=0.2")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "2 clients x 1 in flight x 125 bytes of text, 0.2 s"
    assert re.fullmatch(r"messages   [\d,]+, [\d,]+/s, [\d.]+ MB/s each way", lines[1])
    assert re.fullmatch(r"latency    mean \S+, p50 \S+, p90 \S+, p99 \S+, p99.9 \S+, max \S+ ms", lines[2])
    assert re.match(r"generator  busy \d+% of 1 thread", lines[3])


def test_more_than_all_buffers_is_on_its_way_without_a_lock(server: EchoServer) -> None:
    # A server that echoes reads no further while its own output is not read.
    status, found = measured(server.url, "--clients=2", "--size=2MiB", "--inflight=16", "--seconds=0.2")
    assert (status, found["failed_clients"], found["wrong_answers"]) == (0, 0, 0)


def test_answers_that_are_others_are_counted_and_status_1(run: Listen) -> None:
    server = run(on_text=lambda _, text: text.upper())
    status, found = measured(server.url, "--clients=1", "--seconds=0.2")
    assert status == 1
    assert found["wrong_answers"] >= found["messages"] > 0


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        ("/faults?close=1011,after:3", "the server closed with 1011"),
        ("/faults?reset,after:3", "Connection reset"),
        ("/faults?status=503", "HTTP error: 503"),
    ],
)
def test_who_fails_is_counted_and_the_first_reason_is_said(path: str, failure: str, run: Listen) -> None:
    server = run(fault_urls=True)
    status, found = measured(server.url_for(path), "--clients=3", "--seconds=0.2")
    assert (status, found["failed_clients"]) == (1, 3)
    assert failure in found["failure"]
    status, out, _ = loaded(server.url_for(path), "--clients=3", "--seconds=0.2")
    assert status == 1
    assert re.search(rf"^failed     3 clients: .*{failure}", out, re.MULTILINE)


def test_nobody_there_is_status_1_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = "ws://{}:{}".format(*free.getsockname())
    status, out, _ = loaded(url, "--clients=2", "--seconds=0.2")
    assert status == 1
    assert re.fullmatch(r"failed     2 clients: .*refused.*", out.splitlines()[1])


@pytest.mark.parametrize(
    ("busy", "machine", "said"),
    [
        (0.95, 0.5, "The generator was the bottleneck: the server may be faster."),
        (0.95, 1.0, "The generator was the bottleneck: the server may be faster."),
        (0.5, 0.95, "The machine had no time left: "),
        (0.5, None, None),
        (0.5, 0.5, None),
    ],
)
def test_it_says_when_it_was_the_bottleneck(busy: float, machine: float | None, said: str | None) -> None:
    given = load.parser().parse_args(["ws://h"])
    result = {
        **{"messages": 1, "messages_per_second": 1.0, "bytes_per_second": 1.0, "latency": {"mean": 1.0}},
        **{"failed_clients": 0, "wrong_answers": 0, "generator_busy": busy, "machine_busy": machine},
    }
    last = list(load._lines(result, given))[-1]
    assert last.startswith(said or "generator  busy 50% of 1 thread")


QUICK = ["--clients=2", "--seconds=0.2"]


@pytest.mark.parametrize("options", [[], ["--size=2MiB", "--inflight=8", "--clients=2"]])
def test_tls_is_measured(options: list[str], run: Listen, tmp_path: Path) -> None:
    server = run(tls="self-signed")
    ca = tmp_path / "ca.pem"
    ca.write_text(str(server.ca_pem))
    status, found = measured(server.url, f"--ca={ca}", "--seconds=0.2", *options)
    assert (status, found["failed_clients"], found["failure"], found["wrong_answers"]) == (0, 0, None, 0)
    eventually(lambda: server.stats().clients_closed == found["clients"], "the end of all clients")
    assert server.stats().text_messages_received >= found["clients"] * found["inflight"]
    assert server.stats().violations == 0


@pytest.mark.parametrize("by", ["file", "folder"])
def test_without_a_ca_the_systems_are_trusted(by: str, run: Listen, authority: Authority, tmp_path: Path) -> None:
    server = run(tls=TLS(*authority.issue("server")))
    folder = tmp_path / "trusted"
    folder.mkdir()
    # As `openssl rehash` names it; what it does not is not looked at.
    (folder / "0123abcd.0").write_bytes(authority.pem.read_bytes())
    (folder / "README").write_text("-----BEGIN CERTIFICATE-----")
    # What can not be used is left out, as OpenSSL leaves it out, and costs nothing else in its file.
    (folder / "0123abcd.1").write_text("-----BEGIN CERTIFICATE-----\nno base64\n-----END CERTIFICATE-----\n")
    with (folder / "0123abcd.0").open("a") as file:
        file.write((folder / "0123abcd.1").read_text())
        file.write("-----BEGIN X509 CRL-----\nno base64\n-----BEGIN CERTIFICATE-----\n")
    (folder / "0123abcd.2").symlink_to("nowhere")
    (folder / "0123abcd.3").mkdir()
    nothing = str(tmp_path / "nothing")
    trusted = {"file": (str(authority.pem), nothing), "folder": (nothing, str(folder))}[by]
    environment = dict(zip(("SSL_CERT_FILE", "SSL_CERT_DIR"), trusted, strict=True))
    assert measured(server.url, *QUICK, **environment)[0] == 0


def test_a_certificate_that_signed_itself_can_be_trusted(run: Listen, tmp_path: Path) -> None:
    certfile, keyfile = signed_by_itself(tmp_path, "localhost")
    server = run(tls=TLS(certfile, keyfile))
    here = f"wss://localhost:{server.port}/"
    assert measured(here, f"--ca={certfile}", *QUICK)[0] == 0
    # It is trusted for its names.
    status, found = measured(server.url, f"--ca={certfile}", *QUICK)
    assert (status, found["failed_clients"]) == (1, 2)
    assert found["failure"].startswith("the server's certificate is refused: certificate not valid for name")
    # Another of the same name is not.
    (tmp_path / "other").mkdir()
    other, _ = signed_by_itself(tmp_path / "other", "localhost")
    assert measured(here, f"--ca={other}", *QUICK)[0] == 1


@pytest.mark.parametrize(
    ("tls", "failure"),
    [
        ("expired", "refused: certificate expired"),
        ("wrong-host", 'refused: certificate not valid for name "127.0.0.1"'),
    ],
)
def test_a_flawed_certificate_is_refused(tls: str, failure: str, run: Listen, tmp_path: Path) -> None:
    server = run(tls=tls)
    ca = tmp_path / "ca.pem"
    ca.write_text(str(server.ca_pem))
    status, out, _ = loaded(server.url, f"--ca={ca}", *QUICK)
    assert status == 1
    assert f"failed     2 clients: the server's certificate is {failure}" in out
    assert "--ca" not in out


def test_who_is_not_trusted_fails_and_the_option_is_named(run: Listen, authority: Authority) -> None:
    server = run(tls="self-signed")
    status, out, _ = loaded(server.url, f"--ca={authority.pem}", *QUICK)
    assert status == 1
    assert out.splitlines()[1:] == [
        "failed     2 clients: the server's certificate comes from nobody who is trusted",
        "           --ca FILE says which certificates to trust, in PEM, instead of the system's.",
    ]


def test_who_has_signed_itself_is_trusted_only_by_name(run: Listen, authority: Authority, tmp_path: Path) -> None:
    server = run(tls=TLS(*signed_by_itself(tmp_path, "localhost")))
    status, out, _ = loaded(f"wss://localhost:{server.port}/", *QUICK, SSL_CERT_FILE=str(authority.pem))
    assert status == 1
    assert out.splitlines()[1:] == [
        "failed     2 clients: the server's certificate comes from nobody who is trusted",
        "           --ca FILE says which certificates to trust, in PEM, instead of the system's.",
    ]


def test_who_speaks_no_tls_is_told_so(server: EchoServer, authority: Authority) -> None:
    status, found = measured(server.url.replace("ws:", "wss:"), f"--ca={authority.pem}", *QUICK)
    assert (status, found["failure"]) == (1, "what answers there speaks no TLS")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        ("", "has no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "is no correct PEM: "),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "has no certificate in PEM"),
    ],
)
def test_a_wrong_file_is_status_2_and_its_option_named(content: str | None, said: str, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)
    status, out, err = loaded("wss://127.0.0.1:1/", f"--ca={ca}")
    assert (status, out) == (2, "")
    assert re.search(rf"error: argument --ca: '{re.escape(str(ca))}':? {re.escape(said)}", err)


@pytest.mark.parametrize("command", ["load", "send"])
def test_what_is_too_long_for_certificates_is_not_cut(command: str, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"\n" * ((16 << 20) + 1))
    status, out, err = ended([SCRIPT, command, "wss://127.0.0.1:1/", f"--ca={ca}"])
    assert (status, out) == (2, "")
    assert err.endswith(f"argument --ca: '{ca}': is longer than 16 MiB, so it is not what is meant\n")


def test_a_system_that_trusts_nobody_needs_a_ca(tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    status, _, err = loaded("wss://127.0.0.1:1/", SSL_CERT_FILE=nothing, SSL_CERT_DIR=nothing)
    assert status == 2
    assert "error: argument --ca: needed, since the system has no certificate in PEM" in err


def test_a_ca_without_a_name_is_no_file() -> None:
    # What a script says whose variable is not set.
    status, _, err = loaded("wss://127.0.0.1:1/", "--ca=")
    assert status == 2
    assert "error: argument --ca: ''" in err


@pytest.mark.parametrize("command", ["load", "send"])
def test_a_ca_for_no_tls_is_an_error(command: str, tmp_path: Path) -> None:
    status, out, err = ended([SCRIPT, command, "127.0.0.1:1", f"--ca={tmp_path}"])
    assert (status, out) == (2, "")
    assert "error: argument --ca: is for wss:// only" in err


WRONG = ["--clients=0", "--clients=x", "--inflight=0", "--threads=-1", "--size=x", "--seconds=0", "--seconds=inf"]


@pytest.mark.parametrize(
    "given", [*([f"ws://h {one}"] for one in WRONG), ["http://h"], ["wss://"], ["ws://"], []], ids=str
)
def test_a_wrong_argument_is_status_2_and_named(given: list[str]) -> None:
    words = " ".join(given).split()
    status, out, err = loaded(*words)
    assert (status, out) == (2, "")
    assert "echoserver load: error: " in err
    assert not words[1:] or words[1].partition("=")[0] in err


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
def test_ctrl_c_ends_it(server: EchoServer) -> None:
    process = program(SCRIPT, "load", server.url, "--seconds=600")
    eventually(lambda: server.stats().text_messages_received, "the first message")
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == 130
    assert finished(process)[2] == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="NOT TESTED WITH PIPES: this system has no FIFOs")
@pytest.mark.parametrize("command", ["load", "send"])
def test_ctrl_c_ends_the_wait_for_a_file(command: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # It has a writer, who writes nothing.
    descriptor = os.open(fifo, os.O_RDWR)
    try:
        process = program(SCRIPT, command, "wss://127.0.0.1:1/", f"--ca={fifo}")
        eventually(lambda: has_open(process.pid, fifo), "its reading")
        process.send_signal(signal.SIGINT)
        assert finished(process) == (130, "", "")
    finally:
        os.close(descriptor)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="NOT TESTED WITH PIPES: this system has no FIFOs")
@pytest.mark.parametrize("command", ["load", "send"])
def test_certificates_from_a_pipe_that_nobody_writes_to_are_refused(command: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    status, out, err = finished(program(SCRIPT, command, "wss://127.0.0.1:1/", f"--ca={fifo}"))
    assert (status, out) == (2, "")
    assert err.endswith(f"argument --ca: '{fifo}': is a pipe that nobody writes to\n")
