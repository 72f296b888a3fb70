"""The program: `echoserver` and `python -m echoserver`."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import echoserver
from echoserver import _core, cli
from support import TIMEOUT, RawClient, connect, finished, first_line, program

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "echoserver")
LOCAL = ("-p0", "--host=127.0.0.1")
# What it says on stderr when it listens there.
LISTENING = "echoserver: listening on 127.0.0.1; Ctrl-C stops it\n"


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """The URL of a server of the program, which must end in order."""
    process = program(SCRIPT, *LOCAL, *arguments)
    try:
        yield first_line(process)
        process.terminate()
        assert finished(process) == (0, "", LISTENING)
    finally:
        process.kill()
        process.wait()


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].strip("/"))


def result(*arguments: str) -> tuple[int, str, str]:
    return finished(program(SCRIPT, *arguments))


@pytest.mark.parametrize("command", [(SCRIPT,), (sys.executable, "-m", "echoserver")])
def test_the_first_line_is_the_url_alone_and_it_echoes(command: tuple[str, ...]) -> None:
    process = program(*command, *LOCAL)
    url = first_line(process)
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/", url)
    with connect(url) as client:
        client.send("hello")
        assert client.recv() == "hello"
    process.terminate()
    assert finished(process) == (0, "", LISTENING)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_status_0(number: signal.Signals) -> None:
    process = program(SCRIPT, *LOCAL)
    with connect(first_line(process)) as client:
        process.send_signal(number)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
        assert finished(process) == (0, "", LISTENING)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_what_a_stop_waits_for_and_a_second_signal_drops_that(number: signal.Signals) -> None:
    process = program(SCRIPT, *LOCAL, "--close-timeout=1000")
    port = port_of(first_line(process))
    with RawClient(port).opened() as client, RawClient(port).opened():
        process.send_signal(number)
        # Never answers the close.
        assert client.close_code() == 1001
        assert process.stderr
        assert process.stderr.readline() == LISTENING
        waits = "echoserver: waiting up to 1000 s for 2 clients to close; Ctrl-C again drops what is left\n"
        assert process.stderr.readline() == waits
        process.send_signal(number)
        assert finished(process) == (0, "", "")
        assert client.is_dropped()


def test_a_second_ctrl_c_need_not_wait_for_that(tmp_path: Path) -> None:
    process = program(SCRIPT, *LOCAL, "--close-timeout=1000", "--tls=self-signed", env={"TMPDIR": str(tmp_path)})
    port = port_of(first_line(process))
    (ca,) = tmp_path.iterdir()
    with RawClient(port, context=ssl.create_default_context(cafile=ca)).opened() as client:
        process.send_signal(signal.SIGINT)
        assert client.close_code() == 1001
        process.send_signal(signal.SIGINT)
        status, _, err = finished(process)
    assert (status, err) == (0, LISTENING)
    assert list(tmp_path.iterdir()) == []


def test_printing_that_is_stuck_holds_no_end_up() -> None:
    process = program(SCRIPT, *LOCAL, "-d", "--close-timeout=0.1")
    first_line(process)
    with RawClient(port_of(first_line(process))).opened() as client:
        # Nobody reads what it prints, which is more than a pipe takes.
        client.send(1, b"x" * 2**20)
        assert process.stdout
        assert process.stdout.read(7) == "Message"
        process.terminate()
        assert process.wait(TIMEOUT) == -signal.SIGTERM


def test_with_debug_the_lines_of_the_example_come_as_they_happen() -> None:
    process = program(SCRIPT, *LOCAL, "-d", env={"PYTHONIOENCODING": "ascii"})
    line = first_line(process)
    port = int(line.removeprefix("Echoserver listening on port "))
    assert first_line(process) == f"ws://127.0.0.1:{port}/"
    with connect(f"ws://127.0.0.1:{port}/") as client:
        client.send("hello é")
        assert first_line(process) == r"Message received: hello \xe9"
        client.send(b"\x00a")
        assert first_line(process) == r"Binary Message received: b'\x00a'"
    assert first_line(process).startswith("socketDisconnected: <Client 1 ")
    process.terminate()
    assert finished(process) == (0, "", LISTENING)


def test_short_options_can_be_joined() -> None:
    process = program(SCRIPT, "--host", "127.0.0.1", "-dp", "0")
    assert first_line(process).startswith("Echoserver listening on port ")
    process.terminate()
    assert finished(process)[0] == 0


def test_a_port_in_use_is_one_sentence_and_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = result("-p", str(port), "--host", "127.0.0.1")
    assert (status, out) == (1, "")
    reason = "Address already in use; -p 0 takes a free port"
    assert err == f"echoserver: cannot listen on port {port} of 127.0.0.1: {reason}\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may listen on every port")
def test_a_port_that_is_not_for_everybody_gives_a_way_out_too() -> None:
    status, out, err = result("-p", "1", "--host", "127.0.0.1")
    assert (status, out) == (1, "")
    assert err.endswith(": Permission denied; -p 0 takes a port that anybody may have\n")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_with_too_few_descriptors_it_says_so_or_serves() -> None:
    import resource

    def limit(most: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    served = []
    for most in range(7, 20):
        process = program(SCRIPT, *LOCAL, "--workers=2", preexec_fn=partial(limit, most))
        assert process.stdout
        url = process.stdout.readline().strip()
        served.append(bool(url))
        if url:
            # Without a URL it is not said to serve, with one it does.
            with connect(url) as client:
                client.send("hello")
                assert client.recv() == "hello"
            process.terminate()
            assert finished(process) == (0, "", LISTENING)
        else:
            status, _, err = finished(process)
            assert status == 1
            assert re.fullmatch(r"echoserver: cannot .*: Too many open files; `ulimit -n` allows more\n", err)
    assert sorted(served) == served
    assert {*served} == {False, True}


def test_an_unknown_host_is_one_sentence_and_status_1() -> None:
    status, out, err = result("-p0", "--host", "no-such-host.invalid")
    assert (status, out) == (1, "")
    assert err.startswith("echoserver: cannot listen on port 0 of no-such-host.invalid: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "70000"),
        ("--port", "-1"),
        ("--port", "http"),
        ("--port", "80.5"),
        ("--max-message-size", "12XB"),
        ("--max-message-size", "-5"),
        ("--max-message-size", "0"),
        ("--memory-limit", "1.5GiB"),
        ("--max-send-queue", ""),
        ("--max-send-queue", "999999999999GiB"),
        ("--max-connections", "many"),
        ("--max-connections", "0"),
        ("--workers", "0"),
        ("--workers", "2.5"),
        ("--open-timeout", "soon"),
        ("--open-timeout", "0"),
        ("--close-timeout", "-1"),
        ("--idle-timeout", "inf"),
        ("--ping-interval", "nan"),
        ("--ping-timeout", "1e300"),
        ("--subprotocol", "a b"),
        ("--origin", "a b"),
        ("--server-name", "a\nb"),
    ],
)
def test_a_bad_value_is_status_2_and_named(option: str, value: str) -> None:
    status, out, err = result("-p0", f"{option}={value}")
    assert (status, out) == (2, "")
    assert f"{option}: " in err
    # Here there is no None to be given.
    assert "None" not in err
    # Numbers may be shown as they were read.
    shown = {"0": "0", "-1": "-1", "inf": "inf", "1e300": "1e+300", "a\nb": r"a\nb", "999999999999GiB": "1073741823998"}
    assert shown.get(value, value) in err
    assert "Traceback" not in err


@pytest.mark.parametrize("argument", ["--bogus", "-x", "stray", "--max-message"])
def test_an_unknown_argument_is_status_2_and_named(argument: str) -> None:
    status, out, err = result(argument)
    assert (status, out) == (2, "")
    assert argument in err


@pytest.mark.parametrize("option", ["-p", "--host", "--open-timeout"])
def test_a_missing_value_is_status_2_and_named(option: str) -> None:
    status, _, err = result(option)
    assert status == 2
    assert option in err


def test_version_is_that_of_the_package() -> None:
    assert result("--version") == (0, f"echoserver {echoserver.__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_every_option_with_its_default(flag: str) -> None:
    status, out, err = result(flag)
    assert (status, err) == (0, "")
    text = " ".join(out.split())
    for option in _core.DEFAULTS:
        name = {"subprotocols": "subprotocol", "origins": "origin", "compression": "deflate"}.get(option, option)
        described = text.partition(f"--{name.replace('_', '-')} ")[2].partition(" --")[0]
        assert "(default: " in described, option
    for shown in ("(default: 1234)", "(default: 64 MiB)", "(default: 1 GiB)", "(default: 10)", "(default: echoserver)"):
        assert shown in text


def test_options_reach_the_server() -> None:
    options = [
        "--subprotocol=chat",
        "--subprotocol=superchat",
        "--origin=https://example.org",
        "--allow-missing-origin",
        "--max-message-size=1KiB",
        "--max-connections=1",
        "--server-name=mine",
        "--workers=1",
    ]
    with running(*options) as url:
        port = port_of(url)
        with RawClient(port, "Sec-WebSocket-Protocol: superchat, chat") as client:
            client.opened()
            assert client.headers["sec-websocket-protocol"] == "superchat"
            assert client.headers["server"] == "mine"
            client.send(2, bytes(1024))
            assert client.receive() == (2, bytes(1024))
            with pytest.raises(InvalidStatus) as caught:
                connect(url)
            assert caught.value.response.status_code == 503
            client.send(2, bytes(1025))
            assert client.close_code() == 1009
        with RawClient(port, "Origin: https://example.com") as other:
            assert other.status() == 403


CASES: list[tuple[str, str, object]] = [
    ("--max-message-size", "1000", 1000),
    ("--max-message-size", "1kB", 1000),
    ("--max-message-size", "2 MiB", 2 * 2**20),
    ("--max-message-size", "3gib", 3 * 2**30),
    ("--max-message-size", "7B", 7),
    ("--idle-timeout", "2.5", 2.5),
    ("--open-timeout", "1e-3", 0.001),
    ("--max-connections", "5", 5),
    ("--port", "0", 0),
]


@pytest.mark.parametrize(("option", "value", "expected"), CASES)
def test_values_are_read_with_their_units(option: str, value: str, expected: object) -> None:
    options = vars(cli._parser().parse_args([option, value]))
    assert options[option.removeprefix("--").replace("-", "_")] == expected


def test_main_can_be_called_in_a_thread_and_leaves_signals_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken_port = str(taken.getsockname()[1])
        statuses: list[Any] = []
        thread = threading.Thread(target=lambda: statuses.append(cli.main(["-p", taken_port, "--host", "127.0.0.1"])))
        thread.start()
        thread.join()
        statuses.append(cli.main(["-p", taken_port, "--host", "127.0.0.1"]))
    assert statuses == [1, 1]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert capsys.readouterr().err.count("cannot listen") == 2


def test_stdout_may_be_closed_after_the_url() -> None:
    process = program(SCRIPT, *LOCAL, stdin=subprocess.DEVNULL)
    url = first_line(process)
    assert process.stdout
    process.stdout.close()
    with connect(url) as client:
        client.send("x")
        assert client.recv() == "x"
    process.terminate()
    assert process.wait() == 0
    assert process.stderr
    assert process.stderr.read() == LISTENING
    process.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are not inherited so")
@pytest.mark.parametrize(
    ("kind", "said"),
    [("closed", ""), ("pipe", "Broken pipe"), ("full", "No space left on device")],
)
@pytest.mark.parametrize("debug", [False, True])
def test_a_stdout_that_takes_nothing_costs_no_echo_and_is_said_once(kind: str, said: str, debug: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY) if Path("/dev/full").exists() else None
    if kind == "full" and full is None:
        pytest.skip("there is no /dev/full")
    command = [SCRIPT, f"-p{port}", "--host=127.0.0.1", *["-d"] * debug]
    options: dict[str, Any] = {
        "closed": {"stdout": None, "preexec_fn": partial(os.close, 1)},
        "pipe": {"stdout": writing},
        "full": {"stdout": full},
    }
    process = program(*command, **options[kind])
    os.close(writing)
    if full is not None:
        os.close(full)
    assert process.stderr
    remarks = [LISTENING, *[f"echoserver: sys.stdout: {said}; nothing more is printed\n"] * bool(said)]
    assert sorted(process.stderr.readline() for _ in remarks) == remarks
    with connect(f"ws://127.0.0.1:{port}/") as client:
        for message in ("hello", b"hello", "bye"):
            client.send(message)
            assert client.recv() == message
    process.terminate()
    assert process.wait(TIMEOUT) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    ("flag", "agreed"),
    [
        ("--deflate", "permessage-deflate"),
        (
            "--deflate=server_no_context_takeover, client_max_window_bits=10,level=9,threshold=1KiB",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
        ),
    ],
)
def test_deflate_agrees_to_compression(flag: str, agreed: str) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    with running(flag) as url, RawClient(port_of(url), offer) as client:
        client.opened()
        assert client.headers["sec-websocket-extensions"] == agreed


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("level", "level: '' is no whole number"),
        ("level=x", "level: 'x' is no whole number"),
        ("level=1,level=1", "level is given twice"),
        ("levels=1", "'levels' is no parameter"),
        ("server_no_context_takeover=1", "server_no_context_takeover takes no value"),
        ("threshold=1x", "threshold: '1x' is no size"),
        ("", "'' is no parameter"),
        ("server_max_window_bits=8", "Deflate(server_max_window_bits=8): must be 9 to 15"),
        ("level=10", "Deflate(level=10): must be 0 to 9"),
    ],
)
def test_wrong_parameters_of_deflate_are_status_2_and_named(parameters: str, named: str) -> None:
    status, out, err = result(f"--deflate={parameters}")
    assert (status, out) == (2, "")
    assert f"argument --deflate: {named}" in err
