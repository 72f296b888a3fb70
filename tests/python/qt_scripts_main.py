"""The main package's server in a Qt event loop, on PySide6 and without it."""

from __future__ import annotations

import socket
import threading
import warnings
from typing import Any

from echoserver import NO_REPLY, EchoServer
from echoserver.qt.QtCore import QEventLoop, QObject, QTimer, Signal
from qt_scripts import Say, script
from qt_talks import LIMIT, client, meanwhile, once


@script("come main 1", "text hello main", "gone main 0", "closed main", "['HELLO'] stopped")
def callbacks_run_in_the_thread_of_the_loop(say: Say) -> None:
    def where() -> str:
        return "main" if threading.current_thread() is threading.main_thread() else "elsewhere"

    class Ended(QObject):
        done = Signal()

    ended = Ended()

    def text(_: Any, message: str) -> str:
        say("text", message, where())
        return message.upper()

    def closed() -> None:
        say("closed", where())
        ended.done.emit()

    def gone(_: Any) -> None:
        say("gone", where(), server.client_count)
        server.stop()

    server = EchoServer(0, host="127.0.0.1", on_text=text, on_closed=closed, on_disconnect=gone)
    server.on_connect = lambda _: say("come", where(), server.client_count)
    assert server.start_qt() is server

    def talk() -> str:
        with client(server.url) as one:
            one.send("hello")
            return str(one.recv())

    said = meanwhile(talk)
    if not server._core.wait(0):
        once(ended.done)
    say(said, repr(server).split()[-1].rstrip(">"))


@script("TypeError async def", "RuntimeError started before", "RuntimeError was stopped")
def what_can_not_be_started_says_why(say: Say) -> None:
    async def text(_: Any, message: str) -> str:
        return message

    server = EchoServer(0, host="127.0.0.1", on_text=text)
    for reason in ("async def", "started before", "was stopped"):
        try:
            server.start_qt()
        except (TypeError, RuntimeError) as error:
            say(type(error).__name__, reason if reason in str(error) else error)
        if reason == "async def":
            server.stop()
            server = EchoServer(0, host="127.0.0.1").start_qt()
        else:
            server.stop(0)
            wait = QEventLoop()
            QTimer.singleShot(0, wait.quit)
            wait.exec()
            server = EchoServer(0, host="127.0.0.1")
            server.stop()


@script("RuntimeWarning clients wait, and nobody serves them: call start_qt() before exec()", "1")
def who_is_never_served_is_told_of_once(say: Say) -> None:
    server = EchoServer(0, host="127.0.0.1")
    loop = QEventLoop()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")

        class Watch(QObject):
            def look(self) -> None:
                if told:
                    loop.quit()

        watch = Watch()
        timer = QTimer()
        timer.timeout.connect(watch.look)
        timer.start(50)
        QTimer.singleShot(LIMIT * 1000, loop.quit)
        with socket.create_connection(server.address):
            loop.exec()
    say(told[0].category.__name__, str(told[0].message).partition(": ")[2])
    say(len(told))
    server.stop()


@script("nested other", "slot", "['wait', 'other']", "ValueError boom")
def a_callback_may_run_a_loop(say: Say) -> None:
    loop = QEventLoop()
    inside = threading.Event()
    errors: list[str] = []

    def text(one: Any, message: str) -> Any:
        if message == "wait":
            QTimer.singleShot(0, inside.set)
            loop.exec()
            say("slot")
        elif message == "other":
            say("nested other")
            loop.quit()
        else:
            raise ValueError("boom")
        one.send(message)
        return NO_REPLY

    server = EchoServer(0, host="127.0.0.1", on_text=text, on_error=lambda _, error: errors.append(repr(error)))
    server.start_qt()

    def talk() -> list[str]:
        with client(server.url) as first, client(server.url) as second:
            first.send("wait")
            # Of two clients either message could come first.
            inside.wait(LIMIT)
            second.send("other")
            both = [str(first.recv()), str(second.recv())]
            first.send("x")
            first.ping().wait(LIMIT)
            return both

    say(*meanwhile(talk))
    say("ValueError boom" if errors == ["ValueError('boom')"] else errors)
    server.stop()
