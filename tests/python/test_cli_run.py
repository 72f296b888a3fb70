"""The program while it runs: what it says, signals, its end, and what keeps it from serving."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from echoserver import cli
from support import (
    LISTENING,
    LOCAL,
    SCRIPT,
    TIMEOUT,
    RawClient,
    connect,
    finished,
    first_line,
    port_of,
    program,
    python,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


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
def test_a_signal_that_another_thread_gets_ends_it_too(number: signal.Signals) -> None:
    code = f"""
import signal, sys, threading, traceback
from echoserver import cli
main = threading.get_ident()
def waits():
    return "_run" in [frame.name for frame in traceback.extract_stack(sys._current_frames()[main])]
def strike():
    while not waits(): pass
    signal.pthread_kill(threading.get_ident(), {number.value})
threading.Thread(target=strike, daemon=True).start()
sys.exit(cli.main({[*LOCAL]!r}))
"""
    process = python(code)
    assert first_line(process).startswith("ws://")
    assert finished(process) == (0, "", LISTENING)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
    assert (status, err) == (0, LISTENING.replace("on: page", "on: TLS (self-signed), page"))
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


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """One that nobody reads, and that takes no more; what is written to it blocks."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        yield writing
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(sys.platform == "win32", reason="its pipes always block")
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("stream", "options"), [("stderr", ["--trace"]), ("stdout", []), ("stdout", ["--json"])], ids=str
)
def test_a_pipe_that_nobody_reads_holds_no_end_up(stream: str, options: list[str], count: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [SCRIPT, f"-p{port}", "--host=127.0.0.1", *options, *["--close-timeout=1000"] * (count == 2)]
    with full_pipe() as full:
        process = program(*command, **{stream: full})
        other = process.stdout if stream == "stderr" else process.stderr
        assert other
        assert other.readline()
        with RawClient(port).opened() as client:
            client.send(1, b"hello")
            assert client.receive() == (1, b"hello")
            process.terminate()
            # In order.
            assert client.close_code() == 1001
            if count == 1:
                client.send(8, b"\x03\xe9")
            else:
                process.terminate()
            assert process.wait(TIMEOUT) == 0
        other.close()


@pytest.mark.skipif(sys.platform == "win32", reason="its pipes always block")
def test_a_trace_that_nobody_reads_holds_no_end_up() -> None:
    with full_pipe() as full:
        process = program(SCRIPT, *LOCAL, "--trace", stderr=full)
        with RawClient(port_of(first_line(process))).opened() as client:
            # More than may wait: the callbacks wait for it.
            for _ in range(1000):
                client.send(1, b"hello")
            assert client.receive() == (1, b"hello")
            process.terminate()
            # What was read before is answered.
            while (received := client.receive())[0] == 1:
                pass
            assert received[1][:2] == b"\x03\xe9"
            client.send(8, b"\x03\xe9")
            assert process.wait(TIMEOUT) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are not inherited so")
def test_a_closed_stderr_holds_no_end_up() -> None:
    process = program(SCRIPT, *LOCAL, "--trace", stderr=None, preexec_fn=partial(os.close, 2))
    with RawClient(port_of(first_line(process))).opened() as client:
        client.send(1, b"hello")
        assert client.receive() == (1, b"hello")
        process.terminate()
        assert client.close_code() == 1001
        client.send(8, b"\x03\xe9")
        assert finished(process)[0] == 0


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


@pytest.mark.parametrize(
    ("options", "way_out"),
    [((), ""), (("--reuse-port",), "who has it needs --reuse-port, too, and ")],
    ids=["alone", "with others"],
)
def test_a_port_in_use_is_one_sentence_and_status_1(options: tuple[str, ...], way_out: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = finished(program(SCRIPT, "-p", str(port), "--host", "127.0.0.1", *options))
    assert (status, out) == (1, "")
    reason = f"Address already in use; {way_out}-p 0 takes a free port"
    assert err == f"echoserver: cannot listen on port {port} of 127.0.0.1: {reason}\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may listen on every port")
def test_a_port_that_is_not_for_everybody_gives_a_way_out_too() -> None:
    status, out, err = finished(program(SCRIPT, "-p", "1", "--host", "127.0.0.1"))
    assert (status, out) == (1, "")
    assert err.endswith(": Permission denied; -p 0 takes a port that anybody may have\n")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize("options", [(), ("-d",)], ids=["plain", "debug"])
def test_with_too_few_descriptors_it_says_so_or_serves(options: tuple[str, ...]) -> None:
    import resource

    def limit(most: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    served = []
    for most in range(7, 20):
        process = program(SCRIPT, *LOCAL, "--workers=2", *options, preexec_fn=partial(limit, most))
        assert process.stdout
        line = process.stdout.readline()
        served.append(bool(line))
        if line:
            # What says nothing does not serve, and what says something does.
            url = process.stdout.readline() if options else line
            with connect(url.strip()) as client:
                client.send("hello")
                assert client.recv() == "hello"
            process.terminate()
            status, _, err = finished(process)
            # It may have none left for who comes next.
            full = "echoserver: connections can't be accepted: Too many open files (os error 24)\n"
            assert (status, err.replace(full, "")) == (0, LISTENING)
        else:
            status, out, err = finished(process)
            assert (status, out) == (1, "")
            assert re.fullmatch(r"echoserver: cannot .*: Too many open files; `ulimit -n` allows more\n", err)
    assert sorted(served) == served
    assert {*served} == {False, True}


def test_an_unknown_host_is_one_sentence_and_status_1() -> None:
    status, out, err = finished(program(SCRIPT, "-p0", "--host", "no-such-host.invalid"))
    assert (status, out) == (1, "")
    assert err.startswith("echoserver: cannot listen on port 0 of no-such-host.invalid: ")
    assert err.count("\n") == 1


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


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_signal_in_the_start_that_python_ignores_there_ends_the_program_all_the_same() -> None:
    code = """
import os, signal, sys, weakref
from echoserver.cli import run
class Struck(run.EchoServer):
    def __init__(self, *args, **options):
        # As in a callback of an import's lock: what is raised there goes nowhere.
        thing = type("Thing", (), {})()
        kept = weakref.ref(thing, lambda _: (os.kill(os.getpid(), signal.SIGTERM), [None for _ in range(1000)]))
        del thing
        super().__init__(*args, **options)
run.EchoServer = Struck
sys.exit(run.main(["-p0", "--host=127.0.0.1"]))
"""
    status, _, err = finished(python(code))
    assert status == 0, err


@pytest.mark.skipif(sys.platform != "linux", reason="its size can't be set")
def test_a_stderr_that_does_not_block_gets_every_line() -> None:
    import fcntl

    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    process = program(SCRIPT, *LOCAL, "--trace", stderr=writing)
    os.close(writing)
    with connect(first_line(process)) as client:
        for number in range(300):
            client.send(f"number {number}")
            client.recv(TIMEOUT)
    with os.fdopen(reading) as lines:
        told = [next(lines) for _ in range(602)]
        process.terminate()
        told += lines
    assert process.wait(TIMEOUT) == 0
    assert [f"number {number}\n" for number in range(300)] == [
        line.partition(": ")[2] for line in told if "-> text" in line
    ]
