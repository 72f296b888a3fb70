"""Forks in Qt's event loop: the parent's server hears everything, also where the child goes back to the loop."""

from __future__ import annotations

import sys

import pytest

from qt_variants import BUILTIN, PYSIDE6, environment, needs
from support import FACTOR, RawClient, finished, first_line, python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

CODE = """
import os, signal, sys, threading
from echoserver import EchoServer
from echoserver.qt.QtCore import QCoreApplication, QObject, QTimer

app = QCoreApplication(sys.argv)
statuses = []

def fork():
    child = os.fork()
    if child:
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return
    # Whoever stays here would keep the pipes to the test open.
    signal.alarm(20)
    if HOW == "goes on":
        # Once the loop has had a turn, and has waited.
        QTimer.singleShot(20, lambda: os._exit(7))
    else:
        os._exit(7)

def on_text(client, text):
    if text == "fork":
        if HOW == "in a thread":
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
        else:
            fork()
        return str(statuses.pop()) if statuses else None
    if text == "end":
        app.quit()

server = EchoServer(0, host="127.0.0.1", on_text=on_text)
server.start_qt(app)
print(server.port, flush=True)
app.exec()
server.stop()
"""


@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
@pytest.mark.parametrize("how", ["ends", "goes on", "in a thread"])
def test_the_parent_hears_everything_after_a_fork(variant: str, how: str) -> None:
    needs(variant)
    process = python(f"HOW = {how!r}\n{CODE}", env=environment(variant) | {"PYTHONWARNINGS": "ignore"})
    with RawClient(int(first_line(process))).opened() as client:
        for _ in range(2):
            client.send(1, b"fork")
            assert client.receive() == (1, b"7")
            client.send(1, b"and then")
            assert client.receive() == (1, b"and then")
        client.send(1, b"end")
        assert client.receive() == (1, b"end")
        assert client.close_code() == 1001
    assert finished(process, 60 * FACTOR) == (0, "", "")
