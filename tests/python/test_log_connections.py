"""The line for each connection at its end: in Python's logging, and in the program as text and as JSON."""

from __future__ import annotations

import json
import logging
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from echoserver.testing import ManualClock
from support import LOCAL, SCRIPT, TIMEOUT, RawClient, connect, finished, first_line, program, refused

if TYPE_CHECKING:
    from conftest import Listen
    from echoserver import Client

CONNECTIONS = "echoserver.connections"
EVIL = "x\n\x1b[31m\u202e'\"\\ é"


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the records of the lines say for programs, without the peer."""
    records = [record for record in caplog.records if record.name == CONNECTIONS]
    said: list[dict[str, Any]] = [dict(vars(record)["echoserver"]) for record in records]
    for one in said:
        if "peer" in one:
            assert re.fullmatch(r"127\.0\.0\.1:\d+", one.pop("peer"))
    return said


def test_the_record_has_what_the_line_says(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, CONNECTIONS)
    clock = ManualClock()
    server = run(clock=clock, subprotocols=["chat"], on_text=lambda _, text: text * 2)
    with connect(f"{server.url}path?secret=1", subprotocols=["chat"]) as client:
        client.send("hello")
        assert client.recv() == "hellohello"
        client.send(b"123")
        assert client.recv() == b"123"
        clock.advance(2.5)
        client.close(4000, EVIL)
    server.stop()
    assert told(caplog) == [
        {
            "event": "disconnected",
            "client": 1,
            "proxied_by": None,
            "path": "/path",
            "subprotocol": "chat",
            "code": 4000,
            "reason": EVIL,
            "seconds": 2.5,
            "messages_received": 2,
            "bytes_received": 8,
            "messages_sent": 2,
            "bytes_sent": 13,
        }
    ]
    (text,) = caplog.messages
    assert text.isprintable()
    # Nothing of who comes: that is another logger's.
    assert [record.name for record in caplog.records] == [CONNECTIONS]


def test_it_is_short_whatever_a_client_asks_for(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, CONNECTIONS)
    server = run()
    with connect(f"{server.url}{'x' * 4000}"):
        pass
    server.stop()
    (said,) = told(caplog)
    assert said["path"] == f"/{'x' * 199}..."
    assert len(caplog.messages[0]) < 500


def test_nothing_is_told_of_it_at_higher_levels(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, CONNECTIONS)
    caplog.set_level(logging.DEBUG, "echoserver")
    server = run()
    with connect(server.url):
        pass
    server.stop()
    assert told(caplog) == []
    assert len(caplog.records) == 1


@pytest.mark.needs_worker
def test_lines_are_bounded_while_python_is_busy(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    def on_text(_client: Client, _message: str) -> None:
        for _ in range(1100):
            with RawClient(server.port).opened() as client:
                client.send(8, b"\x03\xe8")
                assert client.close_code() == 1000

    caplog.set_level(logging.DEBUG, CONNECTIONS)
    server = run(on_text=on_text)
    with connect(server.url) as client:
        client.send("come and go often")
        assert client.recv() == "come and go often"
    server.stop()
    said = told(caplog)
    unlogged = sum(one["count"] for one in said if one["event"] == "unlogged")
    lines = [one for one in said if one["event"] == "disconnected"]
    assert len(lines) + unlogged == server.stats().clients_closed == 1101
    assert 1024 <= len(lines) < 1101
    assert f"{unlogged} more were disconnected, too many at once to be logged" in caplog.messages


# The program


def lines_of_the_program(log_format: str) -> tuple[str, list[str]]:
    """The URL, and what it says on stderr of a client, of one that is refused, and of a request that is none."""
    origins = ("--origin=http://a.example", "--allow-missing-origin")
    process = program(SCRIPT, *LOCAL, f"--log-format={log_format}", *origins)
    url = first_line(process)
    with connect(f"{url}a%0Ab") as client:
        client.send("hello")
        assert client.recv() == "hello"
        client.close(4000, EVIL)
    port = int(url.rstrip("/").rpartition(":")[2])
    with RawClient(port, "Origin: http://b.example") as raw:
        assert raw.status() == 403
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain:
        plain.sendall(b"\x00\x01\xff")
        while plain.recv(1000):
            pass
    process.terminate()
    status, out, err = finished(process)
    assert (status, out) == (0, "")
    return url, err.splitlines()


def test_the_program_logs_lines_of_text() -> None:
    _, lines = lines_of_the_program("text")
    assert all(line.startswith("echoserver: ") and line.isprintable() for line in lines)
    end, forbidden, bad = (
        next(line for line in lines[1:] if word in line) for word in (" client 1 ", " 403 ", " 400 ")
    )
    assert (len(lines), "listening" in lines[0]) == (4, True)
    assert re.fullmatch(
        r"echoserver: client 1 from 127\.0\.0\.1:\d+ disconnected: code=4000 reason='x\\n.*' path='/a%0Ab' "
        r"subprotocol=None seconds=\d+\.\d{3} messages_received=1 bytes_received=5 messages_sent=1 bytes_sent=5",
        end,
    )
    assert re.fullmatch(r"echoserver: request of 127\.0\.0\.1:\d+ refused: 403 Forbidden, .*", forbidden)
    assert re.fullmatch(r"echoserver: request of 127\.0\.0\.1:\d+ refused: 400 Bad Request, .*", bad)


def test_the_program_logs_lines_of_json() -> None:
    _, lines = lines_of_the_program("json")
    objects = [json.loads(line) for line in lines]
    for one in objects:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one.pop("time"))
    by_event = {one["event"]: one for one in objects}
    assert by_event.keys() == {"server", "disconnected", "refused"}
    assert by_event["server"].keys() == {"event", "level", "message"}
    end = by_event["disconnected"]
    assert list(end) == [
        *(
            "level",
            "event",
            "message",
            "client",
            "peer",
            "proxied_by",
            "path",
            "subprotocol",
            "code",
            "reason",
            "seconds",
        ),
        *("messages_received", "bytes_received", "messages_sent", "bytes_sent"),
    ]
    assert (end["level"], end["path"], end["reason"], end["bytes_sent"]) == ("debug", "/a%0Ab", EVIL, 5)
    assert by_event["refused"].keys() == {"level", "event", "message", "peer", "reason"}
    assert sum(one["event"] == "refused" for one in objects) == 2


def test_a_trace_is_json_as_well() -> None:
    process = program(SCRIPT, *LOCAL, "--log-format=json", "--trace")
    with connect(first_line(process)) as client:
        client.send("hello")
        client.recv()
    process.terminate()
    _, _, err = finished(process)
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert sorted(events) == ["disconnected", "server", "trace", "trace", "trace", "trace"]


def test_without_the_option_the_program_says_nothing_of_clients() -> None:
    process = program(SCRIPT, *LOCAL)
    with connect(first_line(process)):
        pass
    process.terminate()
    assert finished(process)[2].count("\n") == 1


def test_another_format_is_refused() -> None:
    status, out, err = finished(program(SCRIPT, "--log-format=xml"))
    assert (status, out) == (2, "")
    assert "argument --log-format: invalid choice: 'xml'" in err


def test_refusals_have_what_they_say_too(run: Listen, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "echoserver")
    server = run(origins=[])
    refused(server)
    server.stop()
    said = vars(caplog.records[0])["echoserver"]
    assert said.pop("peer").startswith("127.0.0.1:")
    assert said == {
        "event": "refused",
        "reason": "403 Forbidden, the Origin header of this request, or its absence, is not admitted",
    }
