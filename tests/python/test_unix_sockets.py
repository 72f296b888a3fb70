"""Unix sockets: `uds` and `uds_mode`, what addresses are there, ends, `down()` and `pause()`, and the program."""

from __future__ import annotations

import asyncio
import queue
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from websockets.sync.client import unix_connect

from echoserver import BindError, Client, EchoServer
from echoserver.testing import EchoTestServer, Reset
from support import LOCAL, SCRIPT, TIMEOUT, finished, first_line, program
from unix_clients import connects, echoes, names, raw

if TYPE_CHECKING:
    from conftest import Listen

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Unix sockets for servers")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "echo.sock")


# Who has connected, and where


def test_websockets_is_served(run: Listen, path: str) -> None:
    seen: list[Client] = []
    server = run(host=None, uds=path, on_connect=seen.append)
    assert echoes(path)
    (client,) = seen
    assert client.peer == ("unix:", 0)
    assert client.proxied_by is None
    assert client.local_address == (path, 0)
    assert repr(client).startswith(f"<Client {client.id} unix: /room ")
    assert (server.port, server.address, server.url) == (0, (path, 0), f"ws+unix:{path}:/")
    assert server.url_for("/a b") == f"ws+unix:{path}:/a b"


def test_aiohttp_is_served(run: Listen, path: str) -> None:
    run(host=None, uds=path, workers=3)

    async def main() -> list[Any]:
        connector = aiohttp.UnixConnector(path)
        async with aiohttp.ClientSession(connector=connector) as session:
            sockets = [await session.ws_connect("ws://localhost/") for _ in range(6)]
            for number, ws in enumerate(sockets):
                await ws.send_bytes(bytes([number]) * 200_000)
            answers = [await ws.receive_bytes(timeout=TIMEOUT) for ws in sockets]
            for ws in sockets:
                await ws.close()
            return answers

    assert asyncio.run(main()) == [bytes([number]) * 200_000 for number in range(6)]


def test_curl_reads_health_and_metrics(run: Listen, path: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    run(host=None, uds=path, health=True, metrics=True)
    command = [curl, "--silent", "--show-error", "--max-time", str(TIMEOUT), "--unix-socket", path]
    said = subprocess.run(
        [*command, "http://localhost/healthz", "http://localhost/metrics"], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("accepting\n")
    assert "echoserver_accepted_total 1\n" in said
    assert said.endswith("# EOF\n")


def test_tls_is_spoken(run: Listen, path: str) -> None:
    server = run(host=None, uds=path, tls="self-signed")
    assert server.url == f"wss+unix:{path}:/"
    with unix_connect(path, "wss://localhost/", ssl=server.ssl_context(), server_hostname="localhost") as ws:
        ws.send("secret")
        assert ws.recv(TIMEOUT) == "secret"


def test_a_balancer_says_for_whom_it_has_connected(run: Listen, path: str) -> None:
    seen: queue.Queue[object] = queue.Queue()
    run(
        host=None,
        uds=path,
        proxy_from=["unix:"],
        on_handshake=lambda request: seen.put((request.peer, request.proxied_by)),
        on_connect=lambda client: seen.put((client.peer, client.proxied_by)),
    )
    with raw(path, first=b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n").opened():
        pass
    assert [seen.get(timeout=TIMEOUT) for _ in range(2)] == [(("192.0.2.7", 5555), ("unix:", 0))] * 2


def test_without_that_a_header_is_no_request(run: Listen, path: str) -> None:
    run(host=None, uds=path, proxy_from=["127.0.0.1"])
    one = raw(path, first=b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n")
    assert one.status() == 400
    one.file.close()
    one.socket.close()


def test_a_test_server_may_have_one(path: str) -> None:
    with EchoTestServer(uds=path) as server, raw(path).opened() as one:
        client = server.accept()
        one.send(1, b"x")
        assert client.recv() == "x"
        assert "GET / from unix:: 101" in server.transcript()


# Ends


def test_a_reset_is_an_end_without_a_close_frame(run: Listen, path: str) -> None:
    server = run(host=None, uds=path)
    with raw(path).opened() as one, server.fault(Reset()):
        one.send(1, b"x")
        with pytest.raises(EOFError):
            one.receive()


def test_a_reset_is_told_to_a_client_whose_bytes_were_not_read(path: str) -> None:
    with EchoTestServer(uds=path) as server:
        # Who waits in front of a paused server was never read from.
        server.pause()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            client.sendall(b"x")
            server.stop()
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                client.sendall(client.recv(1) + b"x")


def test_who_leaves_is_gone(path: str) -> None:
    with EchoTestServer(uds=path) as server:
        one = raw(path).opened()
        client = server.accept()
        one.send(1, b"last")
        one.socket.close()
        one.file.close()
        assert client.wait_closed() == 1006
        assert server.wait_received(1) == ["last"]


# Going down


@pytest.mark.parametrize("clients", ["reset", "close", "keep"])
def test_connects_are_refused_while_it_is_down(path: str, clients: Any) -> None:
    with EchoTestServer(uds=path, uds_mode=0o640) as server:
        for _ in range(3):
            with server.down(clients):
                assert Path(path).is_socket()
                assert not connects(path)
            assert echoes(path)
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o640
        assert names(path) == ["echo.sock"]
    assert not Path(path).exists()


def test_who_was_there_may_be_dropped_or_kept(path: str) -> None:
    with EchoTestServer(uds=path) as server:
        with raw(path).opened() as one, server.down("keep"):
            one.send(1, b"x")
            assert one.receive() == (1, b"x")
        with raw(path).opened() as one, server.down("reset"), pytest.raises(EOFError):
            one.receive()
        with raw(path).opened() as one, server.down("close"):
            assert one.receive() == (8, struct.pack("!H", 1012) + b"the server goes down")


def test_a_path_that_was_removed_meanwhile_is_there_again(path: str) -> None:
    with EchoTestServer(uds=path) as server:
        with server.down():
            Path(path).unlink()
        assert echoes(path)


def test_another_s_path_is_left_to_it(path: str) -> None:
    with EchoTestServer(uds=path) as server:
        down = server.down()
        down.__enter__()
        with EchoServer(uds=path), pytest.raises(BindError, match=r"^cannot listen on uds='.*': Address already"):
            down.__exit__(None, None, None)
        # It has gone, and its file with it.
        down.__exit__(None, None, None)
        assert echoes(path)


def test_a_server_that_stops_while_it_is_down_leaves_nothing(path: str) -> None:
    with EchoTestServer(uds=path) as server, server.down():
        server.stop()
        assert not Path(path).exists()


def test_who_connects_to_a_paused_server_waits(path: str) -> None:
    with EchoTestServer(uds=path) as server:
        server.pause()
        one = raw(path)
        assert server.stats().connections_accepted == 0
        server.resume()
        one.opened().socket.close()


# What can't be


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"uds": ""}, ValueError, "uds='': must be a path, or None"),
        ({"uds": 5}, TypeError, "uds=5: must be a path, not int"),
        ({"uds": "a\0b"}, ValueError, "uds='a\\\\x00b': has a NUL"),
        ({"uds": "a", "host": "::1"}, ValueError, "host='::1': uds or sock says where to listen: leave it out"),
        ({"uds": "a", "port": 80}, ValueError, "port=80: uds or sock says where to listen: leave it out"),
        ({"uds": "a", "reuse_port": True}, ValueError, "reuse_port=True: uds or sock says where to listen"),
        ({"uds_mode": 0o600}, ValueError, "uds_mode=0o600: is for the file of uds, which is not given"),
        ({"uds": "a", "uds_mode": 0o1777}, ValueError, "uds_mode=0o1777: must be 0 to 0o777, or None"),
        ({"uds": "a", "uds_mode": -1}, ValueError, "uds_mode=-1: must be 0 to 0o777, or None"),
        ({"uds": "a", "uds_mode": "600"}, TypeError, "uds_mode='600': must be an int, not str"),
    ],
)
def test_what_can_not_be_is_refused(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as refused:
        EchoServer(**options)
    assert str(refused.value).startswith(text.replace("\\\\", "\\"))


# The program


@pytest.fixture
def served(path: str) -> subprocess.Popen[str]:
    process = program(SCRIPT, "--uds", path, "--uds-mode", "606", "--trace")
    assert first_line(process) == f"ws+unix:{path}:/"
    return process


def test_the_program_listens_there(served: subprocess.Popen[str], path: str) -> None:
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o606
    assert echoes(path)
    served.send_signal(signal.SIGTERM)
    status, _, err = finished(served)
    assert status == 0
    assert f"listening on '{path}'; on: " in err
    assert " #1 unix: connected" in err or " #1 unix: " in err
    assert not Path(path).exists()


def test_the_program_says_why_it_can_not(served: subprocess.Popen[str], path: str) -> None:
    status, _, err = finished(program(SCRIPT, "--uds", path))
    assert (status, err) == (1, f"echoserver: cannot listen on --uds '{path}': a server answers there\n")
    served.terminate()
    finished(served)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--uds-mode=888"], "argument --uds-mode: '888' are no permissions: three digits from 0 to 7, such as 660"),
        (["--uds-mode=660"], "argument --uds-mode: 0o660: is for the file of uds, which is not given"),
        (["--uds=a", *LOCAL], "argument --host: '127.0.0.1': uds or sock says where to listen: leave it out"),
    ],
)
def test_the_program_refuses_what_can_not_be(arguments: list[str], text: str) -> None:
    status, _, err = finished(program(SCRIPT, *arguments))
    assert status == 2
    assert err.endswith(f"error: {text}\n")
