"""The program: `echoserver` and `python -m echoserver`."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

import echoserver
from echoserver import _core
from echoserver.cli import arguments
from support import LOCAL, SCRIPT, TIMEOUT, RawClient, connect, finished, first_line, port_of, program

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running(*arguments: str, refused: tuple[str, ...] = ()) -> Iterator[str]:
    """The URL of a server of the program, which must end in order and tell of these refusals."""
    process = program(SCRIPT, *LOCAL, *arguments)
    try:
        yield first_line(process)
        process.terminate()
        code, out, err = finished(process)
        assert (code, out) == (0, "")
        first, *told = err.splitlines()
        assert first.startswith("echoserver: listening on 127.0.0.1; on: ")
        assert [line.split(" refused: ")[1].split(", ")[0] for line in told] == list(refused)
    finally:
        process.kill()
        process.wait()


def result(*arguments: str) -> tuple[int, str, str]:
    return finished(program(SCRIPT, *arguments))


def test_short_options_can_be_joined() -> None:
    process = program(SCRIPT, "--host", "127.0.0.1", "-dp", "0")
    assert first_line(process).startswith("Echoserver listening on port ")
    process.terminate()
    assert finished(process)[0] == 0


def test_any_subprotocol_is_the_first_that_is_offered() -> None:
    with running("--any-subprotocol") as url:
        for offers, agreed in ((["b, a"], "b"), (["x-new"], "x-new"), ([], None)):
            lines = [f"Sec-WebSocket-Protocol: {offer}" for offer in offers]
            with RawClient(port_of(url), *lines).opened() as raw:
                assert raw.headers.get("sec-websocket-protocol") == agreed
    status, _, err = result("--any-subprotocol", "--subprotocol=a")
    assert status == 2
    assert err.endswith("argument --subprotocol: not allowed with argument --any-subprotocol\n")


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
        ("--workers", "5000"),
        ("--workers", "2.5"),
        ("--open-timeout", "soon"),
        ("--open-timeout", "0"),
        ("--close-timeout", "-1"),
        ("--idle-timeout", "inf"),
        ("--ping-interval", "nan"),
        ("--ping-timeout", "1e300"),
        ("--subprotocol", "a b"),
        ("--origin", "a b"),
        ("--server-header", "a\nb"),
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
def test_help_has_a_dozen_options_and_help_all_every_one_with_its_default(flag: str) -> None:
    status, first, err = result(flag)
    assert (status, err) == (0, "")
    status, out, err = result("--help-all")
    assert (status, err) == (0, "")
    # The first dozen, and what explains the others.
    options = re.findall(r"^  (?:-\w(?: \w+)?, )?--([\w-]+)", first, re.MULTILINE)
    assert len(options) == 12 + len(["version", "help", "help-all"])
    assert {*options} < {*re.findall(r"^  (?:-\w(?: \w+)?, )?--([\w-]+)", out, re.MULTILINE)}
    text = " ".join(out.split())
    # What is recorded is read by a program, which also advances a clock; a seed comes with faults,
    # and a socket from systemd.
    for option in _core.DEFAULTS.keys() - {"record", "clock", "seed", "sock"}:
        names = {
            "subprotocols": "subprotocol",
            "origins": "origin",
            "compression": "deflate",
            "faults": "fault",
            "fault_urls": "no-faults",
            "page": "no-page",
            "health": "no-health",
            "metrics": "no-metrics",
        }
        name = names.get(option, option)
        described = text.partition(f"--{name.replace('_', '-')} ")[2].partition(" --")[0]
        assert "(default: " in described, option
    for shown in ("(default: 1234)", "(default: 64 MiB)", "(default: 1 GiB)", "(default: 10)", "(default: echoserver)"):
        assert shown in text


def test_without_workers_it_serves_and_ends_like_others() -> None:
    with running("--workers=0") as url, connect(url) as client:
        client.send("x")
        assert client.recv(TIMEOUT) == "x"


def test_options_reach_the_server() -> None:
    options = [
        "--subprotocol=chat",
        "--subprotocol=superchat",
        "--origin=https://example.org",
        "--allow-missing-origin",
        "--max-message-size=1KiB",
        "--max-connections=1",
        "--server-header=mine",
        "--workers=1",
    ]
    with running(*options, refused=("503 Service Unavailable", "403 Forbidden")) as url:
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
    options = vars(arguments.parser().parse_args([option, value]))
    assert options[option.removeprefix("--").replace("-", "_")] == expected


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
