"""The file of a Unix socket: its permissions, what is left and what is in the way, and its end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import BindError, EchoServer
from support import SCRIPT, TIMEOUT, finished, first_line, in_thread, join, program, python
from unix_clients import connects, echoes, leave_stale, names, raw

if TYPE_CHECKING:
    from conftest import Listen

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Unix sockets for servers")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "echo.sock")


def test_it_has_the_permissions_that_it_is_given(listen: Listen, path: str) -> None:
    for mode in (0o600, 0o666, 0o660):
        server = listen(host=None, uds=path, uds_mode=mode)
        assert stat.S_IMODE(Path(path).stat().st_mode) == mode
        server.stop()


def test_without_them_it_has_those_of_the_umask(listen: Listen, path: str) -> None:
    before = os.umask(0o027)
    try:
        listen(host=None, uds=path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o750


def test_it_is_removed_at_the_end(listen: Listen, path: str) -> None:
    server = listen(host=None, uds=path).start()
    assert Path(path).is_socket()
    server.stop()
    assert not Path(path).exists()
    # Also of one that was never started.
    server = listen(host=None, uds=path)
    server.stop()
    assert not Path(path).exists()


def test_another_s_file_is_not_removed(listen: Listen, path: str) -> None:
    server = listen(host=None, uds=path).start()
    Path(path).unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        server.stop()
        assert Path(path).is_socket()
        assert connects(path)


def test_one_that_was_removed_is_missed_by_nobody(listen: Listen, path: str) -> None:
    server = listen(host=None, uds=path).start()
    with raw(path).opened() as one:
        Path(path).unlink()
        one.send(1, b"x")
        assert one.receive() == (1, b"x")
        server.stop(0)
    assert not Path(path).exists()


def test_a_relative_path_is_found_from_anywhere(
    listen: Listen, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = listen(host=None, uds=Path("echo.sock")).start()
    monkeypatch.chdir("/")
    assert server.address == (path, 0)
    with server.down():
        assert not connects(path)
    assert connects(path)
    server.stop()
    assert not Path(path).exists()


def test_a_stale_socket_is_replaced(run: Listen, path: str) -> None:
    leave_stale(path)
    run(host=None, uds=path)
    assert echoes(path)
    assert names(path) == ["echo.sock"]


def test_that_of_a_killed_server_is_replaced(run: Listen, path: str) -> None:
    process = program(SCRIPT, "--uds", path)
    first_line(process)
    process.kill()
    finished(process)
    assert Path(path).is_socket()
    run(host=None, uds=path)
    assert echoes(path)


@pytest.mark.parametrize("_round", range(15))
def test_one_of_several_that_come_at_once_has_a_stale_socket(path: str, _round: int) -> None:
    leave_stale(path)
    barrier = threading.Barrier(4)
    made: list[EchoServer] = []
    refused: list[int | None] = []

    def bind() -> None:
        barrier.wait(TIMEOUT)
        try:
            made.append(EchoServer(uds=path))
        except BindError as error:
            refused.append(error.errno)

    threads = [in_thread(bind) for _ in range(4)]
    for thread in threads:
        join(thread)
    with contextlib.ExitStack() as stack:
        for server in made:
            stack.callback(server.stop)
        assert (len(made), len(refused)) == (1, 3)
        made[0].start()
        assert echoes(path)
        assert names(path) == ["echo.sock"]


def bind_error(path: object) -> tuple[int | None, str]:
    with pytest.raises(BindError) as refused:
        EchoServer(uds=path)  # type: ignore[arg-type]
    return refused.value.errno, str(refused.value.strerror)


def test_one_that_is_answered_at_is_left(run: Listen, path: str) -> None:
    run(host=None, uds=path)
    number, text = bind_error(path)
    assert number == errno.EADDRINUSE
    assert text.startswith(f"cannot listen on uds='{path}': ")
    assert text.endswith(": a server answers there")
    assert echoes(path)


def test_one_that_waits_in_vain_in_a_full_backlog_has_an_owner(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as waiting:
        busy.bind(path)
        busy.listen(0)
        while True:
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            try:
                client.connect(path)
            except BlockingIOError:
                break
        assert bind_error(path)[1].endswith(": a server answers there")
        assert Path(path).is_socket()


@pytest.mark.parametrize(
    ("make", "number", "text"),
    [
        (lambda path: Path(path).write_text("precious"), "EADDRINUSE", ": a file is there that is no socket"),
        (lambda path: Path(path).mkdir(), "EADDRINUSE", ": a file is there that is no socket"),
        (lambda path: Path(path).symlink_to("/etc/passwd"), "EADDRINUSE", ": a file is there that is no socket"),
        (lambda path: Path(path).parent.rmdir(), "ENOENT", "No such file or directory (os error 2)"),
    ],
)
def test_what_is_in_the_way_is_said_and_left(path: str, make: Any, number: str, text: str) -> None:
    make(path)
    before = list(Path(path).parent.glob("*"))
    assert bind_error(path)[0] == getattr(errno, number)
    assert bind_error(path)[1].endswith(text)
    assert list(Path(path).parent.glob("*")) == before


def test_a_datagram_socket_is_left(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        assert bind_error(path)[1].endswith(": a server answers there")


def test_a_path_that_is_too_long_is_said_to_be_so(tmp_path: Path) -> None:
    number, text = bind_error(tmp_path / ("x" * 120))
    assert number == errno.ENAMETOOLONG
    assert text.endswith(": it is absolute, and longer than a socket's can be")


def test_the_longest_path_goes_down_and_up(run: Listen, tmp_path: Path) -> None:
    # 107 bytes, as unix(7) has it; elsewhere 103.
    room = (107 if sys.platform == "linux" else 103) - len(str(tmp_path)) - 1
    if room < 1:
        pytest.skip("the directory of this test has too long a path")
    path = str(tmp_path / ("x" * room))
    server = run(host=None, uds=path)
    with server.down():
        assert not connects(path)
    assert echoes(path)


def test_a_directory_that_may_not_be_written_to_is_said_to_be_so() -> None:
    # What is needed is imported with the first server. Root may do everything, and so tries it as nobody.
    code = """
import os, sys
from echoserver import BindError, EchoServer
EchoServer(0, host="127.0.0.1").stop()
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    EchoServer(uds=sys.argv[1])
except BindError as error:
    print(error.errno)
"""
    # Not that of pytest, which nobody else can even look into.
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o555)
        assert finished(python(code, f"{closed}/echo.sock")) == (0, f"{errno.EACCES}\n", "")


# Forks


FORK = """
import os, sys
from echoserver import EchoServer
server = EchoServer(uds=sys.argv[1])
if sys.argv[2] == "started":
    server.start()
child = os.fork()
if child == 0:
    try:
        server.stop()
    except RuntimeError:
        print("forked", flush=True)
    # As a child that runs to its end.
    sys.exit()
os.waitpid(child, 0)
if sys.argv[2] == "bound":
    server.start()
print("parent", flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("when", ["started", "bound"])
def test_a_forked_child_leaves_the_file_to_its_parent(path: str, when: str) -> None:
    # The warning of a fork beside threads is Python's own business.
    process = python(FORK, path, when, env={"PYTHONWARNINGS": "ignore"})
    assert [first_line(process), first_line(process)] == ["forked", "parent"]
    assert echoes(path)
    assert finished(process)[0] == 0
    assert not Path(path).exists()


def test_it_stays_ours_when_it_is_touched(listen: Listen, path: str) -> None:
    server = listen(host=None, uds=path).start()
    os.utime(path)
    with server.down():
        os.utime(path, (0, 0))
    assert echoes(path)
    server.stop()
    assert not Path(path).exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="its names are UTF-8")
def test_its_path_need_not_be_utf8(listen: Listen, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    server = listen(host=None, uds=path).start()
    assert server.url == f"ws+unix:{tmp_path}/%FF:/"
    assert "%FF" in repr(server) or "\\udcff" in repr(server)
    assert server.address == (path, 0)
    assert echoes(path)
