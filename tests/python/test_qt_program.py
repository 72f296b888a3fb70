"""`python -m echoserver.qt`, and the class that it runs: `echoserver.qt.EchoServer`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from qt_variants import BUILTIN, PYSIDE6, environment, needs
from support import FACTOR, RawClient, connect, finished, first_line, program, python

BOTH = pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
PATIENCE = 60 * FACTOR

pytestmark = pytest.mark.timeout(180)


def start(variant: str, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """The program, with its debug lines, and its port."""
    needs(variant)
    command = [sys.executable, "-u", "-m", "echoserver.qt", "-p", "0", "-d", *arguments]
    process = program(*command, env=environment(variant))
    text, _, port = first_line(process).rpartition(" ")
    assert text == "Echoserver listening on port"
    return process, int(port)


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """What it prints."""
    assert process.stdout
    for line in process.stdout:
        yield line.rstrip("\n")


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_echoes_and_ends_in_order(variant: str, number: int) -> None:
    process, port = start(variant)
    said = lines(process)
    with connect(f"ws://localhost:{port}") as client:
        for message, line in (("text", "Message received: text"), (b"\0", r"Binary Message received: b'\x00'")):
            client.send(message)
            assert client.recv(PATIENCE) == message
            assert next(said) == line
        process.send_signal(number)
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.protocol.close_code == 1001
    status, _, err = finished(process, PATIENCE)
    assert (status, err) == (0, "")


@BOTH
def test_a_thousand_clients(variant: str) -> None:
    process, port = start(variant)
    # It need not be read what it prints, but somebody has to.
    with subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL):
        clients = [RawClient(port) for _ in range(1000)]
        try:
            for client in clients:
                client.opened()
            for round_ in range(3):
                for number, client in enumerate(clients):
                    client.send(1, f"{round_} {number}".encode())
                for number, client in enumerate(clients):
                    assert client.receive() == (1, f"{round_} {number}".encode())
        finally:
            for client in clients:
                client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@BOTH
def test_a_port_that_is_taken_is_told(variant: str) -> None:
    needs(variant)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "echoserver.qt", "-p", port]
        status, out, err = finished(program(*command, env=environment(variant)), PATIENCE)
    assert (status, out) == (1, "")
    assert err.startswith("python -m echoserver.qt: ")
    assert port in err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-p", "70000"], "--port must be a number from 0 to 65535, not '70000'"),
        (["-p", "-5"], "--port must be a number from 0 to 65535, not '-5'"),
        (["--port=x"], "--port must be a number from 0 to 65535, not 'x'"),
        (["-p"], "Missing value after '-p'."),
        (["-x"], "Unknown option 'x'."),
    ],
)
@BOTH
def test_arguments_that_cannot_be_right(variant: str, arguments: list[str], error: str) -> None:
    needs(variant)
    command = [sys.executable, "-m", "echoserver.qt", *arguments]
    status, out, err = finished(program(*command, env=environment(variant)), PATIENCE)
    assert (status, out, err) == (1, "", f"python -m echoserver.qt: {error}\n")


@BOTH
def test_help(variant: str) -> None:
    needs(variant)
    status, out, err = finished(program(sys.executable, "-m", "echoserver.qt", "--help", env=environment(variant)))
    assert (status, err) == (0, "")
    assert "-d, --debug" in out
    assert "-p, --port <port>" in out


PRELUDE = """
import sys, threading
from echoserver.qt.QtCore import QCoreApplication, QObject, QTimer, Signal, Slot
from echoserver.qt import EchoServer
from websockets.sync.client import connect
app = QCoreApplication(sys.argv)
def with_client(server, talk):
    "Runs the loop until `talk` has talked to the server, in a thread, and its client has left."
    def run():
        with connect(f"ws://127.0.0.1:{server.m_pWebSocketServer.serverPort()}", proxy=None) as client:
            talk(client)
    thread = threading.Thread(target=run)
    thread.start()
    def look():
        if not thread.is_alive() and not server.m_clients:
            app.quit()
    timer = QTimer(interval=10, timeout=look)
    timer.start()
    app.exec()
    thread.join()
"""


@BOTH
def test_subclasses_override_its_slots(variant: str) -> None:
    needs(variant)
    code = """
class Louder(EchoServer):
    @Slot(str)
    def processTextMessage(self, message):
        self.sender().sendTextMessage(message.upper())
    @Slot()
    def socketDisconnected(self):
        print("gone", type(self.sender()).__name__, len(self.m_clients))
        super().socketDisconnected()
        print(len(self.m_clients))
def talk(client):
    client.send("text")
    print(client.recv())
    client.send(b"bytes")
    print(client.recv())
with_client(Louder(0), talk)
"""
    status, out, err = finished(python(PRELUDE + code, env=environment(variant)), PATIENCE)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["TEXT", "b'bytes'", "gone QWebSocket 1", "0"]


@BOTH
def test_a_port_that_cannot_be_had_is_an_error_where_qt_is_silent(variant: str) -> None:
    needs(variant)
    code = """
parent = QObject()
first = EchoServer(0)
try:
    EchoServer(first.m_pWebSocketServer.serverPort(), False, parent)
except OSError as error:
    print(error.errno == __import__("errno").EADDRINUSE, parent.children())
for port in (70000, -1):
    try:
        EchoServer(port)
    except OverflowError:
        print("OverflowError")
try:
    EchoServer("1234")
except TypeError:
    print("TypeError")
"""
    status, out, err = finished(python(PRELUDE + code, env=environment(variant)), PATIENCE)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["True []", "OverflowError", "OverflowError", "TypeError"]


@BOTH
def test_closed_comes_later_and_clients_stay(variant: str) -> None:
    needs(variant)
    code = """
server = EchoServer(0)
server.closed.connect(lambda: print("closed"))
def talk(client):
    client.send("before")
    print(client.recv())
    # The server belongs to the main thread, which closes it.
    close.asked.emit()
    while server.m_pWebSocketServer.isListening():
        threading.Event().wait(0.01)
    client.send("after")
    print(client.recv())
class Close(QObject):
    asked = Signal()
close = Close()
def end():
    server.m_pWebSocketServer.close()
    server.m_pWebSocketServer.close()
    print("close() has returned")
close.asked.connect(end)
with_client(server, talk)
"""
    status, out, err = finished(python(PRELUDE + code, env=environment(variant)), PATIENCE)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["before", "close() has returned", "closed", "after"]


@BOTH
def test_deleting_it_ends_its_clients_with_1001(variant: str) -> None:
    needs(variant)
    code = """
from websockets.exceptions import ConnectionClosed
server = EchoServer(0)
def run(port):
    with connect(f"ws://127.0.0.1:{port}", proxy=None) as client:
        try:
            while True:
                client.recv()
        except ConnectionClosed:
            print(client.protocol.close_code)
thread = threading.Thread(target=run, args=(server.m_pWebSocketServer.serverPort(),))
thread.start()
def look():
    global server
    if server is not None and server.m_clients:
        server.deleteLater()
        server = None
    if not thread.is_alive():
        app.quit()
timer = QTimer(interval=10, timeout=look)
timer.start()
app.exec()
"""
    status, out, err = finished(python(PRELUDE + code, env=environment(variant)), PATIENCE)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["1001"]
