"""Where a server listens, and how it says so."""

from __future__ import annotations

import contextlib
import errno
import pickle
import socket
from typing import TYPE_CHECKING

import pytest

from echoserver import BindError, EchoServer, EchoServerError
from support import connect

if TYPE_CHECKING:
    from conftest import Listen


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def echoes(url: str) -> bool:
    with connect(url) as client:
        client.send("hello")
        return client.recv() == "hello"


def test_url_for_is_the_url_of_a_path(listen: Listen) -> None:
    server = listen()
    base = f"ws://127.0.0.1:{server.port}"
    assert server.url == server.url_for("/") == server.url_for("") == f"{base}/"
    assert server.url_for("/a/b?c=d%20e") == server.url_for("a/b?c=d%20e") == f"{base}/a/b?c=d%20e"
    assert server.url_for("//a") == f"{base}//a"


def test_port_zero_is_known_at_once(listen: Listen) -> None:
    server = listen(0)
    assert 0 < server.port < 65536
    assert server.address == ("127.0.0.1", server.port)
    assert server.url == f"ws://127.0.0.1:{server.port}/"


def test_servers_on_port_zero_get_different_ports(listen: Listen) -> None:
    assert len({listen(0).port for _ in range(20)}) == 20


def test_address_and_port_stay_known_after_stop(server: EchoServer) -> None:
    before = server.address, server.port, server.url
    server.stop()
    assert (server.address, server.port, server.url) == before


def test_a_port_in_use_is_a_bind_error_with_errno(listen: Listen) -> None:
    port = listen().port
    with pytest.raises(BindError, match=f"127.0.0.1.*{port}.*in use") as caught:
        EchoServer(port, host="127.0.0.1")
    assert caught.value.errno == errno.EADDRINUSE
    assert isinstance(caught.value, EchoServerError)
    assert isinstance(caught.value, OSError)


def test_a_port_in_use_on_one_interface_is_in_use_for_all(listen: Listen) -> None:
    port = listen().port
    with pytest.raises(BindError, match=f"{port}") as caught:
        EchoServer(port)
    assert caught.value.errno == errno.EADDRINUSE


def test_an_address_of_another_machine_is_a_bind_error() -> None:
    with pytest.raises(BindError, match=r"192\.0\.2\.1") as caught:
        EchoServer(0, host="192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("host", ["no-such-host.invalid", "256.0.0.1"])
def test_an_unknown_host_is_a_bind_error_that_names_it(host: str) -> None:
    with pytest.raises(BindError) as caught:
        EchoServer(0, host=host)
    assert f"host={host}" in str(caught.value)
    assert caught.value.errno is not None


def test_a_bind_error_can_be_pickled(listen: Listen) -> None:
    with pytest.raises(BindError) as caught:
        EchoServer(listen().port, host="127.0.0.1")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.errno, str(copy)) == (BindError, errno.EADDRINUSE, str(caught.value))


def test_localhost_is_reached_by_name_and_by_each_of_its_addresses(run: Listen) -> None:
    server = run(host="localhost")
    found = socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)
    hosts = {str(address[0]) for *_, address in found}
    assert echoes(server.url)
    assert echoes(f"ws://localhost:{server.port}/")
    for host in hosts - {"::1"} if not has_ipv6() else hosts:
        assert echoes(f"ws://[{host}]:{server.port}/" if ":" in host else f"ws://{host}:{server.port}/")


@needs_ipv6
def test_an_ipv6_address_stands_in_brackets(run: Listen) -> None:
    server = run(host="::1")
    assert server.address == ("::1", server.port)
    assert server.url == f"ws://[::1]:{server.port}/"
    assert echoes(server.url)
    with pytest.raises(ConnectionRefusedError):
        connect(f"ws://127.0.0.1:{server.port}/")


@needs_ipv6
def test_without_a_host_both_ipv4_and_ipv6_are_served(run: Listen) -> None:
    server = run(host=None)
    assert server.address == ("::", server.port)
    assert server.url == f"ws://127.0.0.1:{server.port}/"
    with connect(server.url), connect(f"ws://[::1]:{server.port}/"):
        assert [client.peer[0] for client in server.clients] == ["127.0.0.1", "::1"]
    assert echoes(server.url)
    assert echoes(f"ws://[::1]:{server.port}/")


def link_local() -> str | None:
    """An address of this machine's that is worth nothing without its zone."""
    for index, name in socket.if_nameindex():
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: the system chooses the address that it would be sent from.
            probe.connect(("ff02::1", 9, 0, index))
            host = probe.getsockname()[0].partition("%")[0]
            if host.startswith("fe80:"):
                return f"{host}%{name}"
    return None


LINK_LOCAL = link_local()


@pytest.mark.skipif(LINK_LOCAL is None, reason="this machine has no link-local IPv6 address")
@pytest.mark.parametrize("numeric", [False, True])
def test_a_link_local_address_keeps_its_zone(run: Listen, numeric: bool) -> None:
    assert LINK_LOCAL
    host, _, name = LINK_LOCAL.partition("%")
    server = run(host=f"{host}%{socket.if_nametoindex(name)}" if numeric else LINK_LOCAL)
    assert server.address == (LINK_LOCAL, server.port)
    assert server.url == f"ws://[{LINK_LOCAL}]:{server.port}/"
    with connect(server.url) as client:
        (seen,) = server.clients
        assert seen.peer[0] == LINK_LOCAL
        assert seen.headers["Host"] == f"[{LINK_LOCAL}]:{server.port}"
        client.send("hello")
        assert client.recv() == "hello"


@pytest.mark.skipif(LINK_LOCAL is None, reason="this machine has no link-local IPv6 address")
def test_a_link_local_client_of_all_interfaces_keeps_its_zone(run: Listen) -> None:
    asked: list[tuple[str, int]] = []
    server = run(host=None, on_handshake=lambda request: asked.append(request.peer))
    with connect(f"ws://[{LINK_LOCAL}]:{server.port}/"):
        assert [client.peer[0] for client in server.clients] == [LINK_LOCAL]
    assert [peer[0] for peer in asked] == [LINK_LOCAL]


@pytest.mark.skipif(LINK_LOCAL is None, reason="this machine has no link-local IPv6 address")
def test_an_unknown_zone_is_a_bind_error() -> None:
    with pytest.raises(BindError):
        EchoServer(0, host="fe80::1%no-such-zone")


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=needs_ipv6)])
def test_the_url_of_all_interfaces_is_one_that_connects(run: Listen, host: str) -> None:
    server = run(host=host)
    assert server.address == (host, server.port)
    assert echoes(server.url)


def test_a_port_can_be_asked_for(listen: Listen) -> None:
    port = listen().port
    # Free again; nobody else is given it that soon.
    with pytest.raises(BindError):
        listen(port)
    free = EchoServer(0, host="127.0.0.1")
    free.stop()
    assert listen(free.port).port == free.port
