"""The pytest fixture, many times: what it leaves, and whether it fails where many tests run at the same time.

    fixture_soak.py LIFECYCLES SESSIONS

So many tests one after the other in one process, each with the fixture `echo_server`, on an address of its own, and a
client, while another process keeps a core busy. After each there are as many threads and descriptors as before it, with
them all ports are free again, and all messages are where they belong. Then so many sessions of 500 tests under
pytest-xdist. Linux only.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import surroundings

_HERE = Path(__file__).parent
# Tests in a session of pytest, which keeps something for each.
_ROUND = 2500
_OPTIONS = [
    "-q",
    "--maxfail=3",
    "-p",
    "no:cacheprovider",
    "-W",
    "error",
    "-p",
    "no:asyncio",
    "-p",
    "no:aiohttp",
    "-p",
    "no:anyio",
]

_LIFECYCLE = """
import os

import pytest

from support import RawClient, eventually


def left():
    with open("/proc/self/status") as file:
        (threads,) = [int(line.split()[1]) for line in file if line.startswith("Threads:")]
    return threads, len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _nothing_stays():
    before = left()
    yield
    # A thread that was joined may be in the kernel's books for a moment.
    eventually(lambda: left() == before, "the end of all threads and descriptors")


def address(number):
    return pytest.param(number, marks=pytest.mark.echo_server(host=f"127.0.0.{1 + number % 250}"))


def talk(server, raw, number):
    texts = [f"{number} {count}" for count in range(number % 5)]
    for text in texts:
        raw.send(1, text.encode())
    assert [raw.receive() for _ in texts] == [(1, text.encode()) for text in texts]
    client = server.accept()
    assert [client.recv() for _ in texts] == texts == server.received
    assert server.client_count == len(server.requests) == 1
    return client


@pytest.mark.parametrize("number", [address(number) for number in range(ROUND)])
def test_lifecycle(echo_server, number):
    raw = RawClient(echo_server.port, host=echo_server.address[0]).opened()
    client = talk(echo_server, raw, number)
    match number % 4:
        case 0:
            raw.send(8, (1000).to_bytes(2))
            assert raw.close_code() == client.wait_closed(5) == 1000
        case 1:
            raw.close()
            assert client.wait_closed(5) == 1006
        case 2:
            client.close(4000)
            assert raw.close_code() == 4000
            raw.send(8, (4000).to_bytes(2))
            assert client.wait_closed(5) == 4000
        case 3 if number % 100 == 99:
            # It is left open, and does not answer.
            echo_server.stop()
            assert raw.close_code() == 1001
            assert echo_server.unanswered == (client,)
        case 3:
            echo_server.stop(wait=False)
            assert raw.close_code() == 1001
            raw.send(8, (1001).to_bytes(2))
    raw.close()
    echo_server.stop()
    assert not echo_server.is_serving
    assert echo_server.client_count == 0
    stats = echo_server.stats()
    assert stats.text_messages_received == stats.messages_sent == number % 5
"""

_SESSION = """
import asyncio
import threading

import pytest
import websockets
from websockets.sync.client import connect

from echoserver.testing import Response


def talk(url, name, **options):
    with connect(url, proxy=None, **options) as ws:
        ws.send(name)
        assert ws.recv() == name


@pytest.mark.parametrize("number", range(200))
def test_one(echo_server, number):
    talk(echo_server.url, str(number))
    assert echo_server.accept().recv() == str(number)


@pytest.mark.parametrize("number", range(100))
def test_left_open(echo_server, number):
    ws = connect(echo_server.url, proxy=None).__enter__()
    ws.send("x")
    assert echo_server.accept().recv() == "x"


@pytest.mark.parametrize("number", range(50))
def test_tls(echo_server_tls, number):
    talk(echo_server_tls.url, "x", ssl=echo_server_tls.ssl_context())


@pytest.mark.parametrize("number", range(50))
def test_several_at_once(echo_server, number):
    threads = [threading.Thread(target=talk, args=(echo_server.url, str(one))) for one in range(5)]
    for thread in threads:
        thread.start()
    assert sorted(echo_server.wait_received(5)) == ["0", "1", "2", "3", "4"]
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("number", range(50))
@pytest.mark.echo_server(on_text=lambda client, text: text.upper())
def test_callback(echo_server, number):
    with connect(echo_server.url, proxy=None) as ws:
        ws.send("x")
        assert ws.recv() == "X"


@pytest.mark.parametrize("number", range(50))
def test_refused(echo_server, number):
    echo_server.handshakes.append(Response(503))
    with pytest.raises(websockets.InvalidStatus):
        talk(echo_server.url, "x")
    talk(echo_server.url, "x")
    assert [one.status for one in echo_server.requests] == [503, 101]
"""


def lifecycles(count: int, folder: Path) -> None:
    """That many, in rounds in this process."""
    (folder / "test_lifecycle.py").write_text(_LIFECYCLE.replace("ROUND", str(_ROUND)), encoding="utf-8")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    begin, first = time.monotonic(), 0
    try:
        for done in range(0, count, _ROUND):
            with (folder / "report").open("w+") as file:
                status = _main(folder, file.fileno())
                file.seek(0)
                if status:
                    sys.exit(f"after {done} lifecycles:\n{file.read()}")
            size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            first = first or size
            seconds = time.monotonic() - begin
            print(f"{done + _ROUND} lifecycles, {seconds:.0f} s, at most {size // 1024} MiB", flush=True)
    finally:
        busy.kill()
        busy.wait()


def _main(folder: Path, output: int) -> int:
    """A session of pytest, which writes to this descriptor."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(output, 1)
    try:
        return int(pytest.main([*_OPTIONS, "-p", "no:xdist", "-p", "no:timeout", f"{folder}/test_lifecycle.py"]))
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def sessions(count: int, folder: Path) -> None:
    """That many, under pytest-xdist."""
    (folder / "test_session.py").write_text(_SESSION, encoding="utf-8")
    for number in range(1, count + 1):
        command = [sys.executable, "-m", "pytest", *_OPTIONS, "-n", "2", "--timeout=60", f"{folder}/test_session.py"]
        begin = time.monotonic()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode or "500 passed" not in done.stdout.splitlines()[-1]:
            sys.exit(f"session {number} under xdist:\n{done.stdout}{done.stderr}")
        print(f"session {number} under xdist: 500 passed, {time.monotonic() - begin:.0f} s", flush=True)


def main(arguments: list[str]) -> None:
    """Both."""
    surroundings.reset()
    sys.path.insert(0, str(_HERE))
    with tempfile.TemporaryDirectory() as name:
        lifecycles(int(arguments[0]), Path(name))
        sessions(int(arguments[1]), Path(name))


if __name__ == "__main__":
    main(sys.argv[1:])
