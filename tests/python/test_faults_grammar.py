"""Faults as they are written: in `EchoServer(faults=...)` and with `--fault`. What each does is in test_faults.py."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from websockets.exceptions import ConnectionClosed

from echoserver import EchoServer
from echoserver._core import FAULTS
from echoserver.testing import EchoTestServer
from support import LOCAL, SCRIPT, TIMEOUT, RawClient, connect, finished, first_line, port_of, program

TEXT = "drop,after:1,times:1&replace=b%2Cc,after:1&seed=7"


@pytest.mark.parametrize("faults", [TEXT, TEXT.split("&"), iter(TEXT.split("&"))], ids=["text", "list", "iterator"])
def test_they_act_on_everybody_from_the_beginning(faults: str | Iterable[str]) -> None:
    with EchoTestServer(faults=faults) as server:
        assert server.seed == 7
        with connect(server.url) as ws:
            for text in ("1", "2", "3"):
                ws.send(text)
            assert [ws.recv(TIMEOUT), ws.recv(TIMEOUT)] == ["1", "b,c"]
        with connect(server.url_for("/another")) as ws:
            for text in ("1", "2"):
                ws.send(text)
            assert [ws.recv(TIMEOUT), ws.recv(TIMEOUT)] == ["1", "b,c"]


def test_one_that_had_no_opportunity_fails_the_test() -> None:
    server = EchoTestServer(faults="reset,path:/a&latency=0,probability:0.1").start()
    with connect(server.url) as ws:
        ws.send("a")
        assert ws.recv(TIMEOUT) == "a"
    with pytest.raises(AssertionError, match=r"these faults had no opportunity: 'reset,path:/a'$"):
        server.stop()


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ("lattency=1", "faults='lattency=1': 'lattency': there is no such fault; there are drop, "),
        ("latency=soon", "faults='latency=soon': latency: seconds='soon': must be 0 to 60 seconds"),
        (["drop", "reset"], "faults='drop&reset': reset: drop leaves nothing for it: they exclude each other"),
        ("no-pong,times:1", "faults=.*: no-pong: times='1': it lasts as long as it is set"),
        ("info", "faults='info': 'info': there is no such fault"),
        ("\ud800", "has a lone surrogate"),
    ],
)
def test_a_wrong_one_is_a_value_error(faults: str | list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EchoServer(0, faults=faults)


@pytest.mark.parametrize("faults", [1, b"drop", ["drop", 1], None])
def test_what_is_no_text_is_a_type_error(faults: object) -> None:
    with pytest.raises(TypeError, match=r"^faults="):
        EchoServer(0, faults=faults)  # type: ignore[arg-type]


def test_a_seed_is_given_once() -> None:
    with EchoTestServer(seed=7, faults="latency=0,probability:0.5") as server:
        assert server.seed == 7
    with pytest.raises(ValueError, match=r"^seed=7: is given in faults, too$"):
        EchoTestServer(seed=7, faults="seed=7")


def test_an_unknown_one_is_answered_with_all_there_are() -> None:
    with pytest.raises(ValueError, match="no such fault") as caught:
        EchoServer(0, faults="x")
    listed = str(caught.value).partition("there are ")[2].split(", ")
    assert listed == [*(row["name"] for row in FAULTS), "seed"]


def test_the_program_has_them() -> None:
    process = program(SCRIPT, *LOCAL, "--fault", "replace=a%20b,times:1", "--fault=close=1011,after:1,reason:no&seed=7")
    with RawClient(port_of(first_line(process))).opened() as raw:
        raw.send(1, b"one")
        raw.send(1, b"two")
        assert raw.receive() == (1, b"a b")
        assert raw.receive() == (8, b"\x03\xf3no")
    process.terminate()
    assert finished(process)[0] == 0


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (["latency=abc"], "argument --fault: 'latency=abc': latency: seconds='abc': must be 0 to 60 seconds"),
        (["drop", "x=1"], "argument --fault: 'drop&x=1': 'x': there is no such fault; there are drop, .*, seed"),
        (["freeze", "drop"], "argument --fault: 'freeze&drop': drop: freeze leaves nothing for it: .*"),
    ],
)
def test_a_wrong_one_is_status_2(faults: list[str], message: str) -> None:
    status, out, err = finished(program(SCRIPT, *LOCAL, *(f"--fault={fault}" for fault in faults)))
    assert (status, out) == (2, "")
    assert re.fullmatch(f"echoserver: error: {message}", err.splitlines()[-1])


def test_a_client_sees_the_latency_it_asked_for() -> None:
    """Its own timeout is what tells it that the server is slow."""
    with EchoTestServer(faults="latency=60") as server, connect(server.url) as ws:
        ws.send("a")
        with pytest.raises(TimeoutError):
            ws.recv(0.05)
        server.stop()
        with pytest.raises(ConnectionClosed):
            ws.recv(TIMEOUT)
