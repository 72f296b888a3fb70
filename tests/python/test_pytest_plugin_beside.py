"""The pytest plugin beside those of others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sessions import session

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_tests_in_forked_children(tmp_path: Path) -> None:
    """As pytest-forked runs them: the servers of the parent are not the child's."""
    (tmp_path / "conftest.py").write_text(
        """
import os
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if "forked" not in item.name:
        return None
    child = os.fork()
    if child == 0:
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        print(*(report.longreprtext for report in reports), flush=True)
        os._exit(sum(report.failed for report in reports))
    assert os.waitpid(child, 0)[1] == 0
    return True
"""
    )
    source = """
@pytest.fixture(scope="module")
def other():
    with EchoTestServer() as server:
        yield server

def test_here(other):
    pass

def test_forked(echo_server):
    with connect(echo_server.url) as ws:
        ws.send("x")
        assert ws.recv() == "x"

def test_here_again(other, echo_server):
    pass
"""
    out, counts = session(tmp_path, source, "-s", "-W", "ignore:This process:DeprecationWarning")
    assert counts == {"passed": 2}, out
