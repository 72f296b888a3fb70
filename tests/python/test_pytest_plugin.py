"""The pytest plugin, in sessions of its own."""

from __future__ import annotations

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
