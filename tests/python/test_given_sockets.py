"""Sockets that listen already: `sock`, and those that systemd hands to the program."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import EchoServer
from echoserver.testing import EchoTestServer
from support import LISTENING, SCRIPT, TIMEOUT, RawClient, finished, first_line, most_waiting, program, python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows hands no sockets over")


@pytest.fixture
def given() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


def port_of(one: socket.socket) -> int:
    port: int = one.getsockname()[1]
    return port


def echoes(raw: RawClient) -> bool:
    with raw.opened():
        raw.send(1, b"x")
        return raw.receive() == (1, b"x")


def test_it_is_listened_on(given: socket.socket) -> None:
    port = port_of(given)
    with EchoServer(sock=given) as server:
        assert (server.port, server.address) == (port, ("127.0.0.1", port))
        assert server.url == f"ws://127.0.0.1:{port}/"
        assert echoes(RawClient(port))


def test_several_may_be(given: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    with contextlib.ExitStack() as stack:
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(path)
        unix.listen()
        six = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        server = stack.enter_context(EchoTestServer(sock=[unix, given, six], workers=3))
        assert (server.port, server.url) == (0, f"ws+unix:{path}:/")
        for raw in (RawClient(0, host=path), RawClient(port_of(given)), RawClient(port_of(six), host="::1")):
            assert echoes(raw)
        # In the order in which the workers tell of them.
        assert {server.accept().local_address for _ in range(3)} == {
            (path, 0),
            ("127.0.0.1", port_of(given)),
            ("::1", port_of(six)),
        }
    # The file is its maker's.
    assert Path(path).is_socket()


@pytest.mark.parametrize("is_started", [True, False])
def test_it_is_there_after_the_server(given: socket.socket, is_started: bool) -> None:
    server = EchoServer(sock=given)
    if is_started:
        server.start()
    server.stop()
    with socket.create_connection(("127.0.0.1", port_of(given)), TIMEOUT) as client:
        given.settimeout(TIMEOUT)
        accepted, peer = given.accept()
        accepted.close()
        assert peer == client.getsockname()
    # And nothing of it is left when its maker closes it, though the server's object is still there.
    given.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT)


def test_its_maker_may_close_it_before(given: socket.socket) -> None:
    port = port_of(given)
    with EchoServer(sock=given):
        given.close()
        assert echoes(RawClient(port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), TIMEOUT)


def test_two_servers_may_have_it_one_after_the_other(given: socket.socket) -> None:
    for _ in range(2):
        with EchoServer(sock=given):
            assert echoes(RawClient(port_of(given)))


def test_it_can_not_go_down(given: socket.socket) -> None:
    with EchoTestServer(sock=given) as server:
        with pytest.raises(RuntimeError, match=r"^the server has its sockets from elsewhere \(sock\)"), server.down():
            pass
        assert echoes(RawClient(server.port))
        server.pause()
        raw = RawClient(server.port)
        assert server.stats().connections_accepted == 1
        server.resume()
        assert echoes(raw)


def test_a_fork_leaves_it_as_it_is() -> None:
    code = """
import os, socket, sys
from echoserver import EchoServer
given = socket.create_server(("127.0.0.1", 0))
server = EchoServer(sock=given).start()
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
server.stop()
given.settimeout(15)
with socket.create_connection(given.getsockname()), given.accept()[0]:
    print("accepted")
"""
    assert finished(python(code, env={"PYTHONWARNINGS": "ignore"})) == (0, "accepted\n", "")


def test_tls_is_spoken_on_it(given: socket.socket) -> None:
    with EchoServer(sock=given, tls="self-signed") as server:
        assert server.url.startswith("wss://127.0.0.1:")
        assert echoes(RawClient(server.port, context=server.ssl_context()))


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else tells the backlog of a socket")
def test_its_backlog_is_its_maker_s_unless_one_is_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=3) as given:
        with EchoServer(sock=given):
            assert most_waiting(given) == 3
        with EchoServer(sock=given, backlog=7):
            assert most_waiting(given) == 7
            assert echoes(RawClient(port_of(given)))
        # It is one socket: who has it after the server has it so.
        assert most_waiting(given) == 7


# What can't be


def not_listening() -> socket.socket:
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    return one


def wrapped() -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)


def closed() -> socket.socket:
    one = socket.create_server(("127.0.0.1", 0))
    one.close()
    return one


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (not_listening, ValueError, "must listen already: call its listen() first"),
        (wrapped, ValueError, "must not be wrapped by ssl: tls is for that"),
        (closed, ValueError, "is closed"),
        (
            lambda: socket.socket(type=socket.SOCK_DGRAM),
            ValueError,
            "must be a stream socket of IPv4, IPv6 or a Unix path",
        ),
        (lambda: 5, TypeError, "must be a socket, or a sequence of sockets, not int"),
        (lambda: [5], TypeError, "must be a socket, not int"),
        (list, ValueError, "must have at least one, or be None"),
    ],
)
def test_what_is_none_is_refused(make: Any, error: type[Exception], text: str) -> None:
    one = make()
    with pytest.raises(error) as refused:
        EchoServer(sock=one)
    assert str(refused.value).startswith("sock=")
    assert str(refused.value).endswith(f": {text}")
    if isinstance(one, socket.socket):
        one.close()


@pytest.mark.parametrize(
    ("options", "name"), [({"host": "::1"}, "host"), ({"port": 80}, "port"), ({"reuse_port": True}, "reuse_port")]
)
def test_what_else_says_where_to_listen_is_refused(given: socket.socket, options: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}=.*: uds or sock says where to listen: leave it out$"):
        EchoServer(sock=given, **options)
    with pytest.raises(ValueError, match=r"^uds='a': sock says where to listen: leave out one of them$"):
        EchoServer(sock=given, uds="a")


# Systemd

# What systemd does: the sockets from descriptor 3 on, and whose they are.
STARTER = """
import fcntl, os, sys
descriptors = [int(one) for one in sys.argv[1].split(",")]
# Beyond the places that they are to have.
copies = [fcntl.fcntl(one, fcntl.F_DUPFD, 50) for one in descriptors]
for place, copy in enumerate(copies, 3):
    os.dup2(copy, place)
pid = os.getpid() if sys.argv[2] == "own" else 1
environment = os.environ | {"LISTEN_FDS": sys.argv[3] or str(len(descriptors)), "LISTEN_PID": str(pid)}
os.execve(sys.argv[4], sys.argv[4:], environment)
"""


def started(*given: socket.socket, arguments: tuple[str, ...] = (), whose: str = "own", count: str = "") -> Any:
    numbers = [one.fileno() for one in given]
    listed = ",".join(map(str, numbers))
    return program(sys.executable, "-c", STARTER, listed, whose, count, SCRIPT, *arguments, pass_fds=numbers)


def test_the_program_takes_what_systemd_hands_over(given: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        process = started(given, unix)
        assert first_line(process) == f"ws://127.0.0.1:{port_of(given)}/"
        assert echoes(RawClient(port_of(given)))
        assert echoes(RawClient(0, host=path))
        process.send_signal(signal.SIGTERM)
        status, _, err = finished(process)
        assert (status, err) == (0, LISTENING.replace("127.0.0.1", "2 of systemd's sockets", 1))
        # Systemd has them still: who comes now starts the program again.
        for address, family in ((given.getsockname(), socket.AF_INET), (path, socket.AF_UNIX)):
            with socket.socket(family) as client:
                client.connect(address)


def test_another_s_sockets_are_left(given: socket.socket) -> None:
    process = started(given, arguments=("-p0", "--host=127.0.0.1"), whose="another")
    url = first_line(process)
    assert url != f"ws://127.0.0.1:{port_of(given)}/"
    process.terminate()
    assert finished(process)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-p0",), "argument --port: 0: systemd has handed over sockets to listen on (LISTEN_FDS)"),
        (("--uds=a",), "argument --uds: 'a': systemd has handed over sockets to listen on (LISTEN_FDS)"),
    ],
)
def test_options_that_say_where_to_listen_are_refused(
    given: socket.socket, arguments: tuple[str, ...], text: str
) -> None:
    status, _, err = finished(started(given, arguments=arguments))
    assert status == 2
    assert err.endswith(f"error: {text}\n")


def test_what_is_handed_over_and_is_no_socket_is_said_to_be_so(given: socket.socket) -> None:
    status, _, err = finished(started(given, count="2"))
    assert status == 2
    assert "LISTEN_FDS=2: descriptor 4 is no socket" in err
    status, _, err = finished(started(given, count="many"))
    assert status == 2
    assert "LISTEN_FDS='many': must be a number" in err


def test_what_systemd_hands_over_and_no_server_can_have_is_said_to_be_from_there() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        status, _, err = finished(started(one))
        assert status == 2
        assert "error: LISTEN_FDS: <socket.socket fd=3, " in err
        assert err.endswith(": must be a stream socket of IPv4, IPv6 or a Unix path\n")
    with not_listening() as one:
        status, _, err = finished(started(one))
        assert status == 2
        assert "error: LISTEN_FDS: <socket.socket fd=3, " in err
        assert err.endswith(": must listen already\n")


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else tells the backlog of a socket")
def test_the_backlog_of_the_program_is_for_them_too(given: socket.socket) -> None:
    process = started(given, arguments=("--backlog=7",))
    first_line(process)
    assert most_waiting(given) == 7
    process.terminate()
    assert finished(process)[0] == 0


def test_systemd_s_own_starter_starts_it(tmp_path: Path) -> None:
    starter = shutil.which("systemd-socket-activate")
    if starter is None:
        pytest.skip("NOT TRIED: there is no systemd-socket-activate here; the stand-in above is what was tried")
    path = str(tmp_path / "echo.sock")
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(address)
        told.settimeout(TIMEOUT)
        process = program(starter, f"--listen={path}", "-E", f"NOTIFY_SOCKET={address}", "-E", "PYTHONWARNINGS", SCRIPT)
        assert process.stderr is not None
        # It says so on stderr once it listens, and starts the program when somebody has connected.
        assert path in process.stderr.readline()
        raw = RawClient(0, host=path)
        assert told.recv(100) == b"READY=1"
        assert echoes(raw)
        assert first_line(process) == f"ws+unix:{path}:/"
        process.terminate()
        assert told.recv(100) == b"STOPPING=1"
        assert finished(process)[0] == 0
    # The file is systemd's.
    assert Path(path).is_socket()


def test_who_makes_it_blocking_again_stops_nobody(given: socket.socket) -> None:
    with EchoServer(sock=given, workers=1) as server, RawClient(server.port).opened() as first:
        # What Python's `dup()` does, too: it is one flag for all who have the socket.
        for _ in range(2):
            given.setblocking(True)
            assert echoes(RawClient(server.port))
        first.send(1, b"x")
        assert first.receive() == (1, b"x")
        server.stop()
