"""The pytest plugin, in sessions of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from documents import ROOT, blocks
from support import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path


TESTING = ROOT / "docs" / "testing.md"

HEAD = """
import asyncio, threading, unittest
import pytest
from websockets.sync.client import connect
from echoserver.testing import EchoTestServer, Response

def fails(client, message):
    raise ValueError(f"no {message}")
"""


def session(folder: Path, source: str, *options: str, plugins: str = "") -> tuple[str, dict[str, int]]:
    """What a session with one file of tests prints, and how many passed, failed and so on."""
    (folder / "test_it.py").write_text(HEAD + source)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "test_it.py", *options]
    for plugin in ("xdist", "asyncio", "anyio", "timeout", "aiohttp"):
        if plugin not in plugins:
            command += ["-p", f"no:{plugin}"]
    if "asyncio" in plugins:
        command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    out = done.stdout + done.stderr
    counts = {}
    for word, count in zip((words := done.stdout.splitlines()[-1].split())[2::2], words[1::2], strict=False):
        if count.isdigit():
            counts[word.strip(",").removesuffix("s")] = int(count)
    return out, counts


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
""",
    )
    assert counts == {"passed": 5}, out


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


def test_anyio(tmp_path: Path) -> None:
    source = """
import websockets

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.mark.anyio
async def test_it(echo_server, anyio_backend):
    import anyio

    def come_and_go():
        with connect(echo_server.url):
            pass

    if anyio_backend == "trio":
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, come_and_go)
            client = await anyio.to_thread.run_sync(echo_server.accept)
        assert client.id == 1
        return
    async with websockets.connect(echo_server.url, proxy=None) as ws:
        client = await echo_server.accept_async()
        await ws.send("x")
        assert await client.recv_async() == "x"

@pytest.mark.anyio
@pytest.mark.echo_server(on_text=fails)
async def test_fails(echo_server, anyio_backend):
    if anyio_backend == "asyncio":
        async with websockets.connect(echo_server.url, proxy=None) as ws:
            await ws.send("such thing")
            await echo_server.wait_received_async(1)
"""
    out, counts = session(tmp_path, source, plugins="anyio")
    assert counts == {"passed": 3, "failed": 1}, out
    assert "ValueError: no such thing" in out


def test_pytest_asyncio(tmp_path: Path) -> None:
    pytest.importorskip("pytest_asyncio")
    source = """
import websockets

@pytest.mark.asyncio
async def test_it(echo_server):
    async with websockets.connect(echo_server.url, proxy=None) as ws:
        client = await echo_server.accept_async()
        await ws.send("x")
        assert await client.recv_async() == "x"

@pytest.mark.asyncio
async def test_own():
    async with EchoTestServer() as server, websockets.connect(server.url, proxy=None) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"

@pytest.mark.asyncio
@pytest.mark.echo_server(on_text=fails)
async def test_fails(echo_server):
    async with websockets.connect(echo_server.url, proxy=None) as ws:
        await ws.send("such thing")
        await echo_server.wait_received_async(1)

@pytest.mark.asyncio
async def test_left_open(echo_server):
    ws = await websockets.connect(echo_server.url, proxy=None)
    await echo_server.accept_async()
"""
    out, counts = session(tmp_path, source, "-W", "error", plugins="asyncio")
    assert counts == {"passed": 3, "failed": 1}, out


def test_pytest_timeout(tmp_path: Path) -> None:
    source = """
@pytest.mark.timeout(1)
def test_it(echo_server):
    echo_server.accept(timeout=None)

def test_next(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("x")
        assert ws.recv() == "x"
"""
    out, counts = session(tmp_path, source, "-o", "timeout_method=signal", plugins="timeout")
    assert counts == {"passed": 1, "failed": 1}, out
    assert "Timeout" in out


def test_xdist(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    source = """
@pytest.mark.parametrize("again", range(40))
def test_it(echo_server, again):
    with connect(echo_server.url) as ws:
        ws.send(str(again))
        assert ws.recv() == echo_server.accept().recv() == str(again)

@pytest.mark.echo_server(on_text=fails)
def test_fails(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("such thing")
        echo_server.wait_received(1)
"""
    out, counts = session(tmp_path, source, "-n", "2", plugins="xdist")
    assert counts == {"passed": 40, "failed": 1}, out
    assert "ValueError: no such thing" in out
    assert "clients of ws://" in out


def test_beside_the_fixtures_of_aiohttp(tmp_path: Path) -> None:
    pytest.importorskip("pytest_aiohttp")
    source = """
from aiohttp import web

async def test_it(aiohttp_client, echo_server):
    app = web.Application()
    async def page(request):
        return web.Response(text="page")
    app.router.add_get("/", page)
    client = await aiohttp_client(app)
    assert await (await client.get("/")).text() == "page"
    async with client.session.ws_connect(echo_server.url) as ws:
        await ws.send_str("x")
        assert (await ws.receive()).data == "x"
        assert (await echo_server.accept_async()).received == ["x"]
"""
    out, counts = session(tmp_path, source, "-o", "asyncio_mode=auto", plugins="aiohttp asyncio")
    assert counts == {"passed": 1}, out


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
