"""The pytest plugin, in sessions of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from documents import ROOT, blocks
from sessions import session
from support import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path


TESTING = ROOT / "docs" / "testing.md"


def test_a_test_has_a_server_of_its_own(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
ports = set()

@pytest.mark.parametrize("again", range(3))
def test_it(echo_server, again):
    with connect(echo_server.url) as ws:
        ws.send("hello")
        assert ws.recv() == echo_server.accept().recv() == "hello"
    assert echo_server.received == ["hello"]

def test_threads():
    assert not [one for one in threading.enumerate() if "echoserver" in one.name]

def test_left_open(echo_server):
    ws = connect(echo_server.url)
    echo_server.accept()

def test_last(echo_server):
    global last
    last = weakref.ref(echo_server)

def test_nothing_is_kept():
    gc.collect()
    assert last() is None
""",
    )
    assert counts == {"passed": 7}, out


@pytest.mark.skipif(not TESTING.exists(), reason="THERE ARE NO DOCUMENTS")
def test_the_example_of_the_documents(tmp_path: Path) -> None:
    example = next(block for block in blocks(TESTING) if block.language == "python")
    assert "def test_it_greets(echo_server):" in example.text
    out, counts = session(tmp_path, example.text)
    assert counts == {"passed": 1}, out


def test_markers_of_class_and_function_are_merged(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
@pytest.mark.echo_server(subprotocols=["a"], server_header="class")
class Test:
    @pytest.mark.echo_server(server_header="function")
    def test_it(self, echo_server):
        with connect(echo_server.url, subprotocols=["a"]) as ws:
            assert ws.subprotocol == "a"
            assert ws.response.headers["Server"] == "function"

    def test_other(self, echo_server):
        with connect(echo_server.url) as ws:
            assert ws.response.headers["Server"] == "class"

@pytest.mark.echo_server(on_text=lambda client, text: text.upper())
def test_tls(echo_server_tls):
    with connect(echo_server_tls.url, ssl=echo_server_tls.ssl_context()) as ws:
        ws.send("x")
        assert ws.recv() == "X"

def test_several(make_echo_server):
    one, other = make_echo_server(server_header="one"), make_echo_server(server_header="other")
    for server, name in ((one, "one"), (other, "other")):
        with connect(server.url) as ws:
            assert ws.response.headers["Server"] == name
""",
        "--strict-markers",
    )
    assert counts == {"passed": 4}, out


def test_an_unknown_option_is_an_error_at_setup_that_names_the_nearest(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
@pytest.mark.echo_server(max_mesage_size=1)
def test_marker(echo_server):
    pass

@pytest.mark.echo_server(True)
def test_positional(echo_server):
    pass

def test_factory(make_echo_server):
    make_echo_server(workres=1)
""",
    )
    assert counts == {"failed": 1, "error": 2}, out
    assert "TypeError: the marker echo_server has no option 'max_mesage_size'; did you mean 'max_message_size'?" in out
    assert "TypeError: the marker echo_server takes options by name, not (True,)" in out
    assert "TypeError: make_echo_server() has no option 'workres'; did you mean 'workers'?" in out


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

def test_own():
    leave()
    assert False, "the test's own"

def test_end():
    for server in servers:
        server.stop()
""",
    )
    # A fixture might have ended them.
    assert counts == {"passed": 5, "failed": 1, "error": 2}, out
    assert re.search(r"AssertionError: <EchoServer .*> still runs: it was started, and not stopped", out)
    assert "AssertionError: the test's own" in out
    assert out.count("ERROR at teardown of test_left") == out.count("ERROR at teardown of test_own") == 1


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


def test_a_fixture_of_the_project_wins_and_the_marker_warns_once(tmp_path: Path) -> None:
    out, counts = session(
        tmp_path,
        """
@pytest.fixture
def echo_server():
    return "mine"

@pytest.mark.parametrize("again", range(3))
@pytest.mark.echo_server(workers=2)
def test_it(echo_server, again):
    assert echo_server == "mine"
""",
    )
    assert counts == {"passed": 3, "warning": 1}, out
    assert "the fixture echo_server is this project's own, so the marker echo_server gives it no options" in out


def test_without_the_plugin_there_are_no_fixtures(tmp_path: Path) -> None:
    source = """
def test_class():
    with EchoTestServer() as server, connect(server.url) as ws:
        ws.send("x")
        assert ws.recv() == "x"

def test_fixture(echo_server):
    pass
"""
    out, counts = session(tmp_path, source, "-p", "no:echoserver")
    assert counts == {"passed": 1, "error": 1}, out
    assert "fixture 'echo_server' not found" in out


def test_unittest(tmp_path: Path) -> None:
    source = """
class Test(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(EchoTestServer())

    def test_it(self):
        with connect(self.server.url) as ws:
            ws.send("x")
            self.assertEqual(self.server.accept().recv(), "x")

class Failing(unittest.TestCase):
    def test_it(self):
        server = EchoTestServer(on_text=fails).start()
        self.addCleanup(server.stop)
        with connect(server.url) as ws:
            ws.send("such thing")
            server.wait_received(1)
"""
    out, counts = session(tmp_path, source)
    assert counts == {"passed": 1, "failed": 1}, out
    assert "ValueError: no such thing" in out
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "test_it"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert "Ran 2 tests" in done.stderr
    assert "ValueError: no such thing" in done.stderr
    assert "FAILED (errors=1)" in done.stderr


def test_the_plugin_imports_nothing_of_the_package_that_is_not_needed(tmp_path: Path) -> None:
    source = """
import sys
loaded = {name for name in sys.modules if name.startswith("echoserver.testing")}

def test_it():
    pass
"""
    (tmp_path / "conftest.py").write_text(
        "import sys\ndef pytest_configure(): assert 'echoserver.testing' not in sys.modules\n"
    )
    _, counts = session(tmp_path, source)
    assert counts == {"passed": 1}
