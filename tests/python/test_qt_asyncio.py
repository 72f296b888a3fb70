"""Qt's classes and the main package's server in event loops that are asyncio's and Qt's: PySide6.QtAsyncio, qasync."""

from __future__ import annotations

import pytest

from qt_variants import PYSIDE6, environment, needs
from support import FACTOR, finished, python

PATIENCE = 60 * FACTOR

PRELUDE = """
import asyncio, sys, threading
from echoserver.qt import EchoServer
from echoserver.qt.QtCore import QByteArray, QCoreApplication, QObject, Slot
from websockets.sync.client import connect
def talk(url):
    with connect(url, proxy=None) as client:
        replies = []
        for message in ("text", b"bytes"):
            client.send(message)
            replies.append(client.recv())
        return replies
# A thread that says so itself: executors of Qt's loops are not asyncio's.
async def beside(work):
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    def run():
        work()
        loop.call_soon_threadsafe(done.set)
    thread = threading.Thread(target=run)
    thread.start()
    await done.wait()
    thread.join()
"""
# How a coroutine is run, by whose event loop it is.
LOOPS = {
    "QtAsyncio": """
from PySide6 import QtAsyncio
app = QCoreApplication(sys.argv)
QtAsyncio.run(main(), keep_running=False)
""",
    "qasync": """
import qasync
app = qasync.QApplication(sys.argv)
with qasync.QEventLoop(app) as loop:
    loop.run_until_complete(main())
""",
}
BOTH = pytest.mark.parametrize("loop", LOOPS)

pytestmark = pytest.mark.timeout(180)


def run(code: str, loop: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a program with a coroutine `main`."""
    needs(PYSIDE6)
    if loop == "qasync" and finished(python("import qasync", env=environment(PYSIDE6)), PATIENCE)[0]:
        # It wants Qt's widgets, and with them libraries of the system.
        pytest.skip("qasync can't be imported here: `make qt-differential` installs it")
    return finished(python(PRELUDE + code + LOOPS[loop], env=environment(PYSIDE6)), PATIENCE)


@BOTH
def test_slots_begin_tasks_that_answer(loop: str) -> None:
    code = """
class Patient(EchoServer):
    tasks = set()
    def answer(self, send, message):
        async def later():
            await asyncio.sleep(0.01)
            send(message)
        task = asyncio.ensure_future(later())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
    @Slot(str)
    def processTextMessage(self, message):
        self.answer(self.sender().sendTextMessage, message.upper())
    @Slot(QByteArray)
    def processBinaryMessage(self, message):
        self.answer(self.sender().sendBinaryMessage, message)
async def main():
    server = Patient(0)
    gone, closed = asyncio.Event(), asyncio.Event()
    listener = server.m_pWebSocketServer
    listener.newConnection.connect(lambda: server.m_clients[0].disconnected.connect(gone.set))
    server.closed.connect(closed.set)
    url = f"ws://127.0.0.1:{listener.serverPort()}"
    replies = []
    await beside(lambda: replies.extend(talk(url)))
    print(replies)
    await gone.wait()
    listener.close()
    await closed.wait()
    print(len(server.m_clients), len(server.tasks))
"""
    status, out, err = run(code, loop)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["['TEXT', b'bytes']", "0 0"]


@BOTH
def test_serve_async_and_start_qt_on_the_same_loop(loop: str) -> None:
    code = """
import echoserver
async def upper(client, text):
    await asyncio.sleep(0.01)
    return text.upper()
async def main():
    first = echoserver.EchoServer(0, host="127.0.0.1", on_text=upper)
    second = echoserver.EchoServer(0, host="127.0.0.1", on_text=lambda client, text: text[::-1])
    second.start_qt()
    task = asyncio.ensure_future(first.serve_async())
    replies = []
    await beside(lambda: replies.extend(talk(server.url) for server in (first, second)))
    print(replies)
    first.stop(wait=False)
    second.stop(wait=False)
    await task
    print("ended")
"""
    status, out, err = run(code, loop)
    assert (status, err) == (0, "")
    assert out.splitlines() == ["[['TEXT', b'bytes'], ['txet', b'bytes']]", "ended"]
