"""What makes the pytest plugin fail a test, and what the report of a failure says; in sessions of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sessions import session

if TYPE_CHECKING:
    from pathlib import Path


def test_an_exception_of_a_callback_fails_the_test_itself_with_its_traceback(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
@pytest.mark.echo_server(on_text=fails)
def test_it(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("such thing")
        echo_server.wait_received(1)

@pytest.mark.echo_server(on_text=fails)
def test_last_moment(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("time to lose")
        ws.ping().wait()

@pytest.mark.echo_server(on_text=fails, check_errors=False)
def test_unchecked(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("such thing")
        echo_server.wait_received(1)

@pytest.mark.echo_server(on_text=fails)
def test_own(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("such thing")
        echo_server.wait_received(1)
    assert False, "the test's own"

@pytest.mark.xfail(raises=ValueError, strict=True)
@pytest.mark.echo_server(on_text=fails)
def test_expected(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("such thing")
        echo_server.wait_received(1)
""",
    )
    assert counts == {"passed": 1, "failed": 3, "xfailed": 1}, out
    assert "ValueError: no such thing" in out
    assert "ValueError: no time to lose" in out
    assert '    raise ValueError(f"no {message}")' in out
    assert "AssertionError: the test's own" in out
    assert "ValueError('no such thing')" in out
    # The test, and nothing of ours, is where it failed.
    assert "ERROR" not in out
    assert re.search(r"test_it\.py:\d+: ValueError", out)


def test_the_report_of_a_failure_has_what_clients_did_and_who_did_not_answer(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
import socket

silent = socket.socket()

def test_it(echo_server):
    request = ("GET /silent HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n")
    silent.connect(echo_server.address)
    silent.sendall(request.encode())
    with connect(echo_server.url_for("room")) as ws:
        ws.send("a message")
        ws.recv()
    echo_server.accept("/silent")
    assert False

def test_good(echo_server):
    pass
""",
    )
    assert counts == {"passed": 1, "failed": 1}, out
    assert "- clients of ws://127.0.0.1:" in out
    assert "sent 'a message'" in out
    assert "GET /room from 127.0.0.1:" in out
    assert "did not answer the close: <Client " in out
    assert out.count("clients of ws://") == 1


def test_a_failure_without_a_recording_is_reported_as_well(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
@pytest.mark.echo_server(record=None)
def test_it(echo_server):
    pytest.fail("this one")

def test_other(echo_server):
    pass
""",
    )
    assert counts == {"failed": 1, "passed": 1}, out
    assert "not to be had: what clients do is not recorded" in out


def test_a_wait_in_vain_is_shown_at_the_line_of_the_test(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
def test_accept(echo_server):
    echo_server.accept(timeout=0.01)

def test_recv(echo_server):
    with connect(echo_server.url):
        echo_server.accept().recv(timeout=0.01)

def test_async(echo_server):
    asyncio.run(echo_server.wait_received_async(1, timeout=0.01))
""",
    )
    assert counts == {"failed": 3}, out
    assert "TimeoutError: after 0.01 s: no message from client 1 that was not taken; it has sent none" in out
    assert not re.search(r"^\S*reading\.py:\d+: ", out, re.MULTILINE)


def test_what_is_left_of_handshakes_fails_the_test(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
def test_it(echo_server):
    echo_server.handshakes.append(Response(503))

@pytest.mark.echo_server(check_unused=False)
def test_unchecked(echo_server):
    echo_server.handshakes.append(Response(503))
""",
    )
    assert counts == {"passed": 1, "failed": 1}, out
    assert "no client has asked for these handshakes: Response(503" in out


def test_a_server_that_is_left_running_is_told(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
from echoserver import EchoServer

@pytest.fixture(scope="module")
def other():
    with EchoServer(0, host="127.0.0.1") as server:
        yield server

@pytest.fixture(scope="session")
def later():
    with EchoServer(0, host="127.0.0.1") as server:
        yield server

@pytest.fixture(scope="class")
def not_started():
    server = EchoServer(0, host="127.0.0.1")
    yield server
    server.stop()

@pytest.fixture
def of_one_test():
    return EchoServer(0, host="127.0.0.1")

@pytest.fixture
def make():
    made = []
    yield lambda: made.append(EchoServer(0, host="127.0.0.1").start())
    for server in made:
        server.stop()

servers = []

def leave():
    servers.append(EchoServer(0, host="127.0.0.1").start())

def test_left():
    leave()

@pytest.mark.echo_server(check_threads=False)
def test_unchecked():
    leave()

def test_ended():
    leave()
    servers.pop().stop(wait=False)

def test_of_fixtures(other, make, echo_server):
    make()
    with EchoTestServer():
        pass

def test_first(request):
    assert request.getfixturevalue("later").is_serving

class TestShared:
    def test_start(self, not_started):
        not_started.start()

    def test_go_on(self, not_started, later):
        assert not_started.is_serving and later.is_serving

def test_of_one(of_one_test):
    servers.append(of_one_test.start())

def test_own():
    leave()
    assert False, "the test's own"

def test_end():
    for server in servers:
        server.stop()
""",
    )
    # A fixture might have ended them.
    assert counts == {"passed": 9, "failed": 1, "error": 3}, out
    assert re.search(r"AssertionError: <EchoServer .*> still runs: it was started, and not stopped", out)
    assert "AssertionError: the test's own" in out
    for test in ("test_left", "test_of_one", "test_own"):
        assert out.count(f"ERROR at teardown of {test} ") == 1, out


def test_the_marker_of_a_function_decides_before_that_of_its_class(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
from echoserver import EchoServer

servers = []

def wrong(server):
    with connect(server.url) as ws:
        ws.send("such thing")
        server.wait_received(1)
    server.handshakes.append(Response(503))
    servers.append(EchoServer(0, host="127.0.0.1").start())

@pytest.mark.echo_server(on_text=fails, check_errors=False, check_unused=False, check_threads=False)
class TestUnchecked:
    def test_it(self, echo_server):
        wrong(echo_server)

    @pytest.mark.echo_server(check_errors=True)
    def test_errors(self, echo_server):
        wrong(echo_server)

    @pytest.mark.echo_server(check_unused=True)
    def test_unused(self, echo_server):
        wrong(echo_server)

    @pytest.mark.echo_server(check_threads=True)
    def test_threads(self, echo_server):
        wrong(echo_server)

@pytest.mark.echo_server(on_text=fails)
class TestChecked:
    @pytest.mark.echo_server(check_errors=False, check_unused=False, check_threads=False)
    def test_other(self, echo_server):
        wrong(echo_server)

def test_end():
    for server in servers:
        server.stop()
""",
    )
    assert counts == {"passed": 4, "failed": 2, "error": 1}, out
    for line in (r"FAILED .*::test_errors - ValueError", r"FAILED .*::test_unused - Asser", r"ERROR .*::test_threads "):
        assert re.search(line, out), out


def test_a_server_that_was_waited_for_in_vain_is_not_waited_for_again(tmp_path: Path) -> None:
    source = """
gate = threading.Event()
began = threading.Event()

def wait(client, message):
    began.set()
    gate.wait()

def test_stuck():
    with connect((server := EchoTestServer(on_text=wait, close_timeout=1000).start()).url, close_timeout=0.1) as ws:
        ws.send("x")
        assert began.wait(10)
        with pytest.raises(TimeoutError):
            server.stop(0.1)

def test_end():
    gate.set()
"""
    out, counts = session(tmp_path, source)
    assert counts == {"passed": 2, "error": 1}, out
    assert "still runs, though it was asked to stop" in out


def test_what_can_not_be_shown_is_told_all_the_same(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
class Shy(Exception):
    def __repr__(self):
        raise OSError

    __str__ = __repr__

def shy(client, message):
    raise Shy

class ShyServer(EchoTestServer):
    __repr__ = Shy.__repr__

def hear(server):
    with connect(server.url) as ws:
        ws.send("x")
        ws.send("y")
        server.wait_until(lambda: len(server.errors) == 2)

@pytest.mark.echo_server(on_text=shy)
def test_own(echo_server, make_echo_server):
    hear(echo_server)
    assert False, "the test's own"

@pytest.mark.echo_server(on_text=shy)
def test_two(echo_server, make_echo_server):
    make_echo_server().handshakes.append(Response(503))
    hear(echo_server)

def test_block():
    with EchoTestServer(on_text=shy) as server:
        hear(server)
        assert False, "the block's own"

def test_left():
    ShyServer(check_unused=True).start()

def test_unused():
    with ShyServer() as server:
        server.handshakes.append(Response(503))

@pytest.mark.echo_server(Shy())
def test_marker(echo_server):
    pass
""",
    )
    assert counts == {"passed": 1, "failed": 4, "error": 2}, out
    shown = "<Shy whose repr() raises OSError>"
    assert "the test's own" in out
    assert f"a callback has raised after it: {shown}" in out
    assert "the block's own" in out
    assert out.count(f"a callback has raised, too: {shown}") == 2
    assert "<ShyServer whose repr() raises OSError> still runs: it was started, and not stopped" in out
    assert "<ShyServer whose repr() raises OSError>: no client has asked for these handshakes: Response(503" in out
    assert "the marker echo_server takes options by name, not <tuple whose repr() raises OSError>" in out


def test_a_callback_that_does_not_end_fails_the_test_itself(tmp_path: Path) -> None:
    source = """
gate = threading.Event()

def wait(client, message):
    client.server.began.set()
    gate.wait()

def stuck(server):
    server.began = threading.Event()
    with connect(server.url, close_timeout=0.1) as ws:
        ws.send("x")
        assert server.began.wait(10)

@pytest.mark.echo_server(on_text=wait, close_timeout=0.1)
def test_stuck(echo_server, make_echo_server):
    with connect(make_echo_server(on_text=fails).url) as ws:
        ws.send("such thing")
        ws.ping().wait()
    stuck(echo_server)

@pytest.mark.echo_server(on_text=wait, close_timeout=0.1, check_threads=False)
def test_unchecked(echo_server):
    stuck(echo_server)

def test_end():
    gate.set()
"""
    out, counts = session(tmp_path, source)
    assert counts == {"passed": 2, "failed": 1}, out
    assert "TimeoutError: on_text still runs after 0.1 s" in out
    # The other one was ended all the same.
    assert "ValueError('no such thing')" in out
    assert "ERROR" not in out
