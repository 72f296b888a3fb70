"""`down()`, `pause()` and `resume()`: connects are refused or wait, and then the same port is served again."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect as connect_async

from echoserver import Client, EchoServer
from echoserver.testing import EchoTestServer, Hang
from support import REQUEST, TIMEOUT, RawClient, connect, eventually

SERVERS: list[dict[str, Any]] = [
    {},
    {"workers": 3},
    {"tls": "self-signed"},
    {"host": "::1"},
    {"host": "localhost"},
    {"host": None},
]


def is_refused(server: EchoServer) -> bool:
    host = server.url.split("/")[2].rsplit(":", 1)[0].strip("[]")
    try:
        socket.create_connection((host, server.port), TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


def echoes(server: EchoServer) -> bool:
    options = {"ssl": server.ssl_context()} if server.ca_pem else {}
    with connect(server.url, **options) as ws:
        ws.send("again")
        return ws.recv() == "again"


@pytest.mark.parametrize("options", SERVERS, ids=str)
def test_connects_are_refused_and_then_the_same_port_is_served_again(options: dict[str, Any]) -> None:
    with EchoTestServer(**options) as server:
        port = server.port
        for _ in range(3):
            assert echoes(server)
            with server.down():
                assert is_refused(server)
                assert is_refused(server)
                assert server.is_serving
            assert echoes(server)
        assert server.port == port


def test_every_address_is_refused() -> None:
    with EchoTestServer(host="localhost") as server:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)}
        with server.down():
            for address in addresses:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((address, server.port), TIMEOUT)
        for address in addresses:
            socket.create_connection((address, server.port), TIMEOUT).close()


@pytest.mark.parametrize("options", [{}, {"workers": 3}, {"tls": "self-signed"}], ids=str)
def test_clients_are_reset(options: dict[str, Any]) -> None:
    with EchoTestServer(**options) as server:
        context = server.ssl_context() if server.ca_pem else None
        raw = [RawClient(server.port, context=context).opened() for _ in range(5)]
        clients = [server.accept() for _ in raw]
        with server.down():
            # They are gone already, and what is about them is known.
            assert [client.close_code for client in clients] == [1006] * 5
            assert server.client_count == 0
            for one in raw:
                # Below TLS: Python's shows a reset as the end.
                with socket.socket(fileno=one.socket.detach()) as below, pytest.raises(ConnectionResetError):
                    below.recv(1)
        assert echoes(server)


def test_clients_can_be_told_to_come_again() -> None:
    with EchoTestServer() as server, connect(server.url) as ws:
        client = server.accept()
        client.send("last")
        with server.down("close"):
            assert is_refused(server)
            assert ws.recv() == "last"
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            assert client.wait_closed(TIMEOUT) == 1012
        assert echoes(server)


@pytest.mark.parametrize("options", SERVERS, ids=str)
def test_clients_can_be_kept(options: dict[str, Any]) -> None:
    with EchoTestServer(**options) as server:
        context = {"ssl": server.ssl_context()} if server.ca_pem else {}
        with connect(server.url, **context) as ws:
            with server.down("keep"):
                assert is_refused(server)
                ws.send("during")
                assert ws.recv() == "during"
            ws.send("after")
            assert ws.recv() == "after"
            assert echoes(server)


def wait_accepted(server: EchoServer, count: int) -> None:
    eventually(lambda: server.stats().connections_accepted == count)


def has_error(one: socket.socket) -> bool:
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def newcomers(server: EchoTestServer) -> list[RawClient]:
    """Who is not a client: with half a request, without an answer, with one."""
    half = RawClient.__new__(RawClient)
    half.socket = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
    half.file = half.socket.makefile("rb")
    half.socket.sendall(REQUEST[:40])
    server.handshakes.append(Hang())
    hangs = RawClient(server.port)
    eventually(lambda: not server.handshakes)
    refused = RawClient(server.port, "Sec-WebSocket-Version: 8")
    assert refused.status() == 426
    wait_accepted(server, 3)
    return [half, hangs, refused]


def test_who_is_no_client_is_reset_as_well() -> None:
    with EchoTestServer() as server:
        all_of_them = newcomers(server)
        with server.down():
            for one in all_of_them[:2]:
                with pytest.raises(ConnectionResetError):
                    one.socket.recv(1)
            # It has read its end before.
            eventually(lambda: has_error(all_of_them[2].socket))
        for one in all_of_them:
            one.close()


@pytest.mark.parametrize("part", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_who_is_in_the_middle_of_tls_is_reset_as_well(part: bytes) -> None:
    with (
        EchoTestServer(tls="self-signed") as server,
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as one,
    ):
        one.sendall(part)
        wait_accepted(server, 1)
        with server.down(), pytest.raises(ConnectionResetError):
            one.recv(1)


@pytest.mark.parametrize("clients", ["close", "keep"])
def test_who_is_no_client_yet_goes_on_unless_it_is_reset(clients: Any) -> None:
    with EchoTestServer() as server:
        half, hangs, refused = newcomers(server)
        with server.down(clients):
            half.socket.sendall(REQUEST[40:])
            half.opened()
            half.send(1, b"x")
            assert half.receive() == (1, b"x")
        for one in (half, hangs, refused):
            one.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two sockets may share a port in other ways")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("shares", [False, True])
def test_nobody_else_gets_the_port(host: str, shares: bool) -> None:
    with EchoTestServer() as server:
        with connect(server.url), server.down("keep"), socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shares)
            with pytest.raises(OSError, match="in use") as taken:
                other.bind((host, server.port))
            assert taken.value.errno == errno.EADDRINUSE
        assert echoes(server)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two sockets may share a port in other ways")
def test_somebody_who_shares_the_port_is_an_error_at_the_end() -> None:
    with EchoTestServer() as server, socket.socket() as other:
        down = server.down()
        down.__enter__()
        # Of the same user, and only if it asks for it.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", server.port))
        other.listen()
        with pytest.raises(OSError, match=f"cannot listen on host=127.0.0.1 port={server.port}"):
            down.__exit__(None, None, None)
        other.close()
        down.__exit__(None, None, None)
        assert echoes(server)


def test_an_error_of_the_block_comes_out_and_the_port_is_served_again() -> None:
    with EchoTestServer() as server:
        with pytest.raises(KeyError), server.down():
            raise KeyError
        assert echoes(server)


def test_what_can_not_be_says_what_to_do() -> None:
    server = EchoTestServer()
    with pytest.raises(RuntimeError, match=r"not started: call start\(\), or use `with server:`"), server.down():
        pass
    with pytest.raises(RuntimeError, match="not started"):
        server.pause()
    with server:
        with pytest.raises(ValueError, match='clients=\'drop\': must be "reset", "close" or "keep"'):
            server.down("drop")  # type: ignore[arg-type]
        with server.down("keep"):
            with pytest.raises(RuntimeError, match="down already: let that `with` end"), server.down():
                pass
            for call in (server.pause, server.resume):
                with pytest.raises(RuntimeError, match="the server is down: let the `with`"):
                    call()
            assert is_refused(server)
        assert echoes(server)
        server.pause()
        with pytest.raises(RuntimeError, match=r"paused: call resume\(\) before"), server.down():
            pass
        server.resume()
        assert echoes(server)
    for call in (server.pause, server.resume, server.down().__enter__):
        with pytest.raises(RuntimeError, match="has stopped"):
            call()


def test_one_that_can_not_begin_has_one_error() -> None:
    server = EchoServer(0, host="127.0.0.1")
    with pytest.raises(RuntimeError, match="not started") as refused, server.down():
        pass
    assert refused.value.__context__ is None
    server.stop()


@pytest.mark.parametrize("options", [{}, {"tls": "self-signed"}])
@pytest.mark.parametrize("part", [b"", REQUEST[:20]])
def test_a_reset_is_there_when_the_block_begins(options: dict[str, Any], part: bytes) -> None:
    with EchoTestServer(**options) as server:
        for turn in range(1, 21):
            with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as one:
                one.sendall(part)
                wait_accepted(server, turn)
                with server.down():
                    assert has_error(one)


def test_one_that_was_left_can_be_entered_again() -> None:
    with EchoTestServer() as server:
        down = server.down()
        for _ in range(2):
            with down:
                assert is_refused(server)
            assert echoes(server)


def test_one_that_is_refused_does_not_end_itself() -> None:
    with EchoTestServer() as server:
        down = server.down()
        with down:
            with pytest.raises(RuntimeError, match="down already"), down:
                pass
            assert is_refused(server)
        assert echoes(server)


def test_one_that_is_not_on_can_not_be_left() -> None:
    with EchoTestServer() as server:
        down = server.down()
        with server.down():
            with pytest.raises(RuntimeError, match="this down\\(\\) was not entered, or was left: use `with server"):
                down.__exit__(None, None, None)
            with pytest.raises(RuntimeError, match="down already"), down:
                pass
            with pytest.raises(RuntimeError, match="was not entered"):
                down.__exit__(None, None, None)
            assert is_refused(server)
        assert echoes(server)
        with down:
            pass
        with pytest.raises(RuntimeError, match="or was left"):
            down.__exit__(None, None, None)


def test_a_stop_meanwhile_is_the_end() -> None:
    with EchoTestServer() as server, connect(server.url) as ws, server.down("keep"):
        server.stop()
        with pytest.raises(websockets.ConnectionClosedOK):
            ws.recv()
        # Nothing of it is left.
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", server.port))
            other.listen()
    assert is_refused(server)


def test_a_stop_beside_it_leaves_nobody_waiting(run: Any) -> None:
    for _ in range(30):
        server: EchoServer = run(port=0, host="127.0.0.1")
        server.stop(wait=False)
        try:
            with server.down():
                pass
        except RuntimeError as error:
            assert "has stopped" in str(error)  # noqa: PT017  # It need not be raised.
        server.stop()


def test_a_callback_may_do_it() -> None:
    def on_text(client: Client, message: str) -> str:
        with client.server.down("keep"):
            return f"{message} {is_refused(client.server)}"

    with EchoTestServer(on_text=on_text) as server, connect(server.url) as ws:
        ws.send("refused?")
        assert ws.recv() == "refused? True"
        ws.send("again?")
        assert ws.recv() == "again? True"


@pytest.mark.parametrize("clients", ["reset", "close", "keep"])
def test_it_works_on_an_event_loop(clients: Any) -> None:
    async def main() -> None:
        async with EchoTestServer() as server, connect_async(server.url) as ws:
            with server.down(clients):
                with pytest.raises(ConnectionRefusedError):
                    await connect_async(server.url)
                if clients == "keep":
                    await ws.send("x")
                    assert await ws.recv() == "x"
                else:
                    with pytest.raises(websockets.ConnectionClosedError) as closed:
                        await ws.recv()
                    code = closed.value.rcvd and closed.value.rcvd.code
                    assert code == {"reset": None, "close": 1012}[clients]
            async with connect_async(server.url) as again:
                await again.send("y")
                assert await again.recv() == "y"

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))


def test_the_fixture_can_do_it(echo_server: EchoTestServer) -> None:
    with echo_server.down():
        assert is_refused(echo_server)
    assert echoes(echo_server)


def test_while_it_is_paused_clients_wait() -> None:
    with EchoTestServer() as server, connect(server.url) as ws:
        server.accept()
        server.pause()
        server.pause()
        waiting = [RawClient(server.port, path=f"/{number}") for number in range(3)]
        ws.send("served")
        assert ws.recv() == "served"
        assert server.stats().connections_accepted == 1
        assert len(server.requests) == 1
        server.resume()
        server.resume()
        for raw in waiting:
            raw.opened()
            raw.close()
        assert {server.accept().path for _ in waiting} == {"/0", "/1", "/2"}


def test_a_server_can_be_stopped_while_it_is_paused() -> None:
    with EchoTestServer() as server:
        server.pause()
        with RawClient(server.port) as raw:
            server.stop()
            with pytest.raises((EOFError, ConnectionResetError)):
                raw.receive()
    assert is_refused(server)
