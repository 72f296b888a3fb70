"""What the program shows of its traffic: traces, the line on a terminal, JSON. And how it is asked for help."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from echoserver.cli import arguments
from support import LISTENING, LOCAL, SCRIPT, TIMEOUT, connect, finished, first_line, in_thread, join, program

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME = r"\d\d:\d\d:\d\d\.\d{3}"


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().removesuffix("\n")


def test_trace_shows_each_message_with_client_direction_and_time() -> None:
    process = program(SCRIPT, *LOCAL, "--trace", "--subprotocol=chat")
    url = first_line(process)
    with connect(f"{url}path?a=b", subprotocols=["chat"]) as client:
        peer = "{}:{}".format(*client.local_address)
        for message in ("two\nlines \x1b[31m", b"\x00\xff", "x" * 300, bytes(100), ""):
            client.send(message)
            assert client.recv() == message
        client.close(4000, "bye\n")
    process.terminate()
    status, out, err = finished(process)
    assert (status, out) == (0, "")
    assert err.startswith(LISTENING)
    found = [re.fullmatch(rf"{TIME} #1 {peer} (.*)", line) for line in err.removeprefix(LISTENING).splitlines()]
    both = [
        r"text, 15 characters: two\nlines \x1b[31m",
        "binary, 2 bytes: 00 ff",
        f"text, 300 characters: {'x' * 200}...",
        f"binary, 100 bytes: {' '.join(['00'] * 64)}...",
        "text, 0 characters: ",
    ]
    assert [one[1] if one else None for one in found] == [
        "opens /path?a=b; subprotocol chat",
        *(f"{arrow} {one}" for one in both for arrow in ("->", "<-")),
        r"closed 4000 bye\n",
    ]


def test_trace_shows_nothing_that_a_fault_may_change() -> None:
    process = program(SCRIPT, *LOCAL, "--trace")
    with connect(f"{first_line(process)}faults?drop") as client:
        client.send("lost")
        client.close()
    process.terminate()
    _, _, err = finished(process)
    told = [line.split(" ", 3)[3] for line in err.splitlines()[1:]]
    assert told == [
        "opens /faults?drop; faults: what goes back is not shown",
        "-> text, 4 characters: lost",
        "closed 1000",
    ]


@contextmanager
def on_a_terminal(*options: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """The program with stderr on a terminal, and the other side of that."""
    pty = pytest.importorskip("pty", reason="THE LINE ON A TERMINAL IS NOT TESTED: there are none")
    ours, its = pty.openpty()
    process = program(SCRIPT, *LOCAL, *options, stderr=its, env={"TERM": "xterm"})
    os.close(its)
    with open(ours, encoding="utf-8", newline="") as terminal:  # noqa: PTH123
        yield process, terminal


def until(terminal: IO[str], pattern: str) -> str:
    """What comes on the terminal up to that."""
    seen = ""
    while not re.search(pattern, seen):
        seen += terminal.read(1)
    return seen


def test_on_a_terminal_there_is_one_line_below_the_others() -> None:
    with on_a_terminal() as (process, terminal):
        url = first_line(process)
        assert until(terminal, r"stops it\r\n").startswith("echoserver: listening on ")
        with connect(url) as client:
            until(terminal, r"1 client, 0 messages/s, 0\.0 MB/s in, 0\.0 MB/s out")
            is_over = False

            def talk() -> None:
                while not is_over:
                    client.send("x" * 1000)
                    client.recv(TIMEOUT)

            thread = in_thread(talk)
            until(terminal, r"\r\x1b\[K1 client, [1-9][\d,]* messages/s, \d+\.\d MB/s in, \d+\.\d MB/s out")
            is_over = True
            join(thread)
        # A line of the log goes above it.
        with pytest.raises(Exception, match="HTTP 400"):
            connect(f"{url}faults?bogus")
        until(terminal, r"\r\x1b\[Kechoserver: [^\r]* refused: 400 [^\r]*\r\n\d client")
        process.terminate()
        assert process.wait(TIMEOUT) == 0


def test_a_terminal_that_nobody_reads_keeps_no_program() -> None:
    with on_a_terminal("--trace") as (process, _), connect(first_line(process)) as client:
        # As many lines as wait, and those that wait for them to be written.
        for number in range(3000):
            client.send(str(number))
        assert client.recv() == "0"
        process.terminate()
        assert process.wait(TIMEOUT) == 0


def test_without_a_terminal_there_is_none_and_with_json_there_are_objects() -> None:
    process = program(SCRIPT, *LOCAL, "--json")
    begin = json.loads(first_line(process))
    assert begin == {"event": "listening", "url": begin["url"], "ca_file": None}
    with connect(begin["url"]) as client:
        client.send("hello")
        assert client.recv() == "hello"
        while (status := json.loads(line_of(process.stdout)))["clients"] == 0:
            pass
        assert status.keys() == {
            *("event", "clients", "messages_per_second", "bytes_received_per_second", "bytes_sent_per_second")
        }
    process.terminate()
    code, out, err = finished(process)
    assert (code, err) == (0, LISTENING)
    *between, end = map(json.loads, out.splitlines())
    assert {one["event"] for one in between} <= {"status"}
    # The frame of the message and that of the close.
    assert end["event"] == "stopped"
    assert (end["clients"], end["messages"]) == (1, 1)
    assert end["bytes_received"] > end["bytes_sent"] >= len("hello") + 2
    assert finished(program(SCRIPT, "--json", "-d"))[0] == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["9003"], (9003, None)),
        (["-d", "9003"], (9003, None)),
        (["0", "-d"], (0, None)),
        (["--bind", "127.0.0.1"], (None, ["127.0.0.1"])),
        (["--bind", "localhost:80"], (80, ["localhost"])),
        (["--bind", ":80"], (80, None)),
        (["--bind", "80"], (80, None)),
        (["--bind", "::1"], (None, ["::1"])),
        (["--bind", "[::1]"], (None, ["::1"])),
        (["--bind=[::1]:80"], (80, ["::1"])),
        (["--bind=127.0.0.1", "81"], (81, ["127.0.0.1"])),
        (["--bind=127.0.0.1:80", "--bind=[::1]:80"], (80, ["127.0.0.1", "::1"])),
        (["--host=::1", "--bind=127.0.0.1", "--host=localhost"], (None, ["::1", "127.0.0.1", "localhost"])),
    ],
)
def test_where_it_listens_is_said_as_elsewhere(given: list[str], expected: tuple[int | None, list[str] | None]) -> None:
    options = vars(arguments.parser().parse_args(given))
    assert (options.get("port"), options.get("host")) == expected


@pytest.mark.parametrize(
    "given", [["--bind", "a:b"], ["--bind", ":"], ["--bind="], ["70000"], ["1", "2"], ["--", "-1"]]
)
def test_what_is_no_address_is_named(given: list[str]) -> None:
    status, out, err = finished(program(SCRIPT, *given))
    assert (status, out) == (2, "")
    assert re.search(r"error: (argument (--bind|PORT): .* is no port|unrecognized arguments: )", err), err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["81", "-p", "82"], "argument PORT: the port is given twice, and not the same"),
        (["-p", "81", "-p", "82"], "argument -p/--port: the port is given twice, and not the same"),
        (["--bind=:81", "--port=82"], "argument -p/--port: the port is given twice, and not the same"),
        (["-p81", "--bind=:82"], "argument --bind: the port is given twice, and not the same"),
        (["--prot", "81"], "unrecognized arguments: --prot 81; did you mean --port?"),
        (["--hots=::1"], "unrecognized arguments: --hots=::1; did you mean --host?"),
        (["--xyzzy"], "unrecognized arguments: --xyzzy"),
        (["sned", "x"], "free one; `echoserver send --help` says what that client takes"),
        (["127.0.0.1:81"], "free one; --bind takes HOST:PORT"),
        (["help"], "free one; --help says what there is"),
    ],
)
def test_what_was_meant_is_said(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parser().parse_args(given)
    assert capsys.readouterr().err.endswith(f"{said}\n")


def test_the_same_port_may_be_given_twice() -> None:
    assert arguments.parser().parse_args(["81", "-p81", "--bind=:81"]).port == 81


def test_what_is_on_is_said() -> None:
    cases = {
        ("--no-page", "--no-faults", "--no-health", "--no-metrics"): "",
        ("--deflate", "--fault=drop", "--fault=latency=1ms", "--no-page", "--no-health"): (
            "; on: compression, 2 faults, faults by URL, metrics"
        ),
        ("--tls=self-signed", "--no-faults", "--no-metrics"): "; on: TLS (self-signed), page, health",
    }
    for options, expected in cases.items():
        process = program(SCRIPT, *LOCAL, *options)
        first_line(process)
        assert line_of(process.stderr) == f"echoserver: listening on 127.0.0.1{expected}; Ctrl-C stops it"
        process.terminate()
        assert finished(process)[0] == 0


def completed(script: str, *words: str) -> list[str]:
    """What bash makes of the last of these words."""
    asked = " ".join(f"'{word}'" for word in words)
    ask = '$(complete -p echoserver | sed "s/.*-F //;s/ .*//")'
    code = f'. "$1"; COMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; {ask};'
    return subprocess.run(
        ["bash", "-c", f'{code} printf "%s\\n" "${{COMPREPLY[@]}}"', "bash", script],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    ).stdout.split()


def test_bash_completes_the_options(tmp_path: Path) -> None:
    pytest.importorskip("shtab", reason="COMPLETION IS NOT TESTED: `pip install shtab`")
    if not Path("/bin/bash").exists():
        pytest.skip("COMPLETION IS NOT TESTED: there is no bash")
    status, out, err = finished(program(SCRIPT, "--print-completion", "bash"))
    assert (status, err) == (0, "")
    script = tmp_path / "completion"
    script.write_text(out)
    assert "--max-message-size" in completed(str(script), "echoserver", "--max-m")
    assert completed(str(script), "echoserver", "--tls", "s") == ["self-signed"]
    assert {"send", "load"} <= {*completed(str(script), "echoserver", "")}
    assert completed(str(script), "echoserver", "send", "--sub") == ["--subprotocol"]
    assert completed(str(script), "echoserver", "load", "--inf") == ["--inflight"]
    # Each has its own.
    assert completed(str(script), "echoserver", "load", "--header") == []
    assert completed(str(script), "echoserver", "--inf") == []
    for shell in ("zsh", "tcsh"):
        out = finished(program(SCRIPT, "--print-completion", shell))[1]
        for option in ("max-message-size", "subprotocol", "inflight"):
            assert option in out


def test_without_shtab_it_says_what_completion_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as caught:
        arguments.parser().parse_args(["--print-completion", "bash"])
    assert caught.value.code == 2
    assert "needs shtab: `pip install shtab`" in capsys.readouterr().err
    with pytest.raises(ImportError):
        importlib.import_module("shtab")
