"""Turns of the event loop that have much to do: what their slots send is gathered, and nobody is to notice."""

from __future__ import annotations

import contextlib
import socket as sockets_module
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from echoserver import Client, EchoServer
from echoserver.qt.QtWebSockets import QWebSocket, QWebSocketServer
from qt_scripts import Say, script
from qt_talks import LIMIT, client, listening, meanwhile, url


class Gate:
    """A slot that waits until messages of others have come: the turn after it has them all."""

    def __init__(self) -> None:
        self.is_entered, self.is_open = threading.Event(), threading.Event()

    def enter(self) -> None:
        """What the slot does."""
        self.is_entered.set()
        self.is_open.wait(LIMIT)

    def crowd(self, address: str, messages: dict[ClientConnection, list[str]]) -> None:
        """Sends them, each read before the next."""
        with client(address) as one:
            one.send("gate")
            self.is_entered.wait(LIMIT)
            for each, texts in messages.items():
                for text in texts:
                    each.send(text)
                    # A pong does not wait for slots.
                    assert each.ping().wait(LIMIT)
            self.is_open.set()
            # Not before its own message was handled.
            one.recv(LIMIT)


def taking(server: QWebSocketServer, text: Any) -> list[QWebSocket]:
    """Has `text` called with each socket and its messages; the sockets, in the order of their coming."""
    sockets: list[QWebSocket] = []

    def came() -> None:
        socket = server.nextPendingConnection()
        assert socket is not None
        sockets.append(socket)
        socket.textMessageReceived.connect(lambda message: text(socket, message))

    server.newConnection.connect(came)
    return sockets


@script(
    "['a', 'a!', b'aa', 'ping', 'aaaaaaaaaaaaaaaaaaaa', 'b', 'b!', b'bb', 'ping', 'bbbbbbbbbbbbbbbbbbbb']",
    "['c', 'c!', b'cc', 'ping', 'cccccccccccccccccccc']",
    "bye 1000 done",
    "True",
)
def what_is_sent_in_a_crowded_turn_keeps_its_order(say: Say) -> None:
    server, gate = listening(), Gate()
    written, is_written = [0], threading.Event()

    def text(socket: QWebSocket, message: str) -> None:
        if message == "gate":
            gate.enter()
            socket.sendTextMessage("gate")
        elif message == "close":
            socket.sendTextMessage("bye")
            socket.close(1000, "done")
        else:
            socket.sendTextMessage(message)
            socket.sendTextMessage(message + "!")
            socket.sendBinaryMessage(message.encode() * 2)
            socket.ping(message.encode())
            socket.sendTextMessage("ping")
            socket.sendTextMessage(message * 20)
            if message == "c":
                socket.bytesWritten.connect(count)
                socket.sendTextMessage("")

    def count(size: int) -> None:
        written[0] += size
        is_written.set()

    taking(server, text)

    def talk() -> list[Any]:
        with client(url(server)) as one, client(url(server)) as two:
            gate.crowd(url(server), {one: ["a", "b", "close"], two: ["c"]})
            got: list[Any] = [[one.recv(LIMIT) for _ in range(10)], [two.recv(LIMIT) for _ in range(5)]]
            got.append(one.recv(LIMIT))
            try:
                one.recv(LIMIT)
            except ConnectionClosed as error:
                got.append(error.rcvd)
            two.recv(LIMIT)
            # What the send queue had counted for it is given back.
            got.append(is_written.wait(LIMIT) and written == [2])
            return got

    (got,) = meanwhile(talk)
    if isinstance(got, list):
        first, second, last, close, is_told = got
        say(first)
        say(second)
        say(last, close.code, close.reason)
        say(is_told)
    else:
        say(got)


@script("True", "True", "['working', 'done']", "['working']")
def what_a_slot_has_sent_goes_out_while_it_runs(say: Say) -> None:
    server, gate, is_seen = listening(), Gate(), (threading.Event(), threading.Event())

    def text(socket: QWebSocket, message: str) -> None:
        if message == "gate":
            gate.enter()
            socket.sendTextMessage("gate")
        elif message == "work":
            for each in sockets[:2]:
                each.sendTextMessage("working")
            for event in is_seen:
                say(event.wait(LIMIT))
            socket.sendTextMessage("done")

    sockets = taking(server, text)

    def talk() -> list[list[object]]:
        with client(url(server)) as one, client(url(server)) as two:

            def see() -> None:
                for each, event in zip((one, two), is_seen, strict=True):
                    got.append([each.recv(LIMIT)])
                    event.set()

            got: list[list[object]] = []
            seeing = threading.Thread(target=see)
            seeing.start()
            gate.crowd(url(server), {two: ["nothing"] * 3, one: ["nothing", "work"]})
            seeing.join(LIMIT)
            got[0].append(one.recv(LIMIT))
            return got

    (got,) = meanwhile(talk)
    for each in got:
        say(each)


@script("True True")
def what_is_not_read_counts_until_it_is(say: Say) -> None:
    server, gate = listening(), Gate()
    # Together less than what drops a client, and more than TCP takes.
    many, size = 28, 512 * 1024

    def text(socket: QWebSocket, message: str) -> None:
        if message == "much":
            socket.sendTextMessage(much)
            return
        if message == "gate":
            gate.enter()
        else:
            left.append(sockets[0].bytesToWrite())
        socket.sendTextMessage(message)

    sockets = taking(server, text)
    left: list[int] = []
    much = "x" * size

    def talk() -> bool:
        with sockets_module.socket() as reader:
            reader.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", server.serverPort()))
            with client(url(server), sock=reader, max_queue=1) as one, client(url(server)) as two:
                gate.crowd(url(server), {one: ["much"] * many})
                two.send("left")
                two.recv(LIMIT)
                reader.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 4 << 20)
                return all(len(one.recv(LIMIT)) == size for _ in range(many))

    (came,) = meanwhile(talk)
    say(came, left[0] > many * size // 2)


def told(each: ClientConnection) -> list[object]:
    """What it gets until its connection ends, and the close code."""
    got: list[object] = []
    try:
        while True:
            got.append(each.recv(LIMIT))
    except ConnectionClosed as error:
        got.append(str(error.rcvd and error.rcvd.code))
    return got


@script("['ONE', 'oneone', 'one', 'TWO', 'twotwo', 'two']", "['bye', '1001']")
def callbacks_of_a_crowded_turn_send_and_reply_and_stop(say: Say) -> None:
    gate, clients = Gate(), list[Client]()

    def text(one: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "stop":
            clients[1].send("bye")
            server.stop(wait=False)
        else:
            # The first fits where the message lies, which is echoed after that; the second does not.
            one.send(message.upper())
            one.send(message * 2)

    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text)
    server.start_qt()

    def talk() -> list[list[object]]:
        with client(server.url) as one, client(server.url) as two, client(server.url) as three:
            gate.crowd(server.url, {one: ["one", "two"], three: ["stop"]})
            return [told(one), told(two)]

    (got,) = meanwhile(talk)
    if isinstance(got, list):
        say(got[0][:6])
        say(got[1])
    else:
        say(got)


@script("2")
def what_a_slot_has_sent_goes_out_before_the_server_goes_down(say: Say) -> None:
    gate, clients, sent = Gate(), list[Client](), list[int]()

    def text(_: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "down":
            before = server.stats().messages_sent
            for each in clients[:2]:
                each.send("bye")
            with server.down(clients="reset"):
                # Nobody is left to send to.
                sent.append(server.stats().messages_sent - before)

    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text)
    server.start_qt()

    def talk() -> None:
        with client(server.url) as one, client(server.url) as two:
            # The one at the gate is reset as well, maybe before it has read its echo.
            with contextlib.suppress(ConnectionClosed):
                gate.crowd(server.url, {two: ["x"] * 3, one: ["x", "down"]})
            for each in (one, two):
                told(each)
        server.stop()

    (error,) = meanwhile(talk)
    say(*sent, *([error] if error else []))


@script("['a', 'b'] 5", "[] ['clear']")
def what_was_answered_in_a_crowded_turn_is_recorded_and_counted(say: Say) -> None:
    gate, clients = Gate(), list[Client]()

    def text(one: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "look":
            one.send("sent")
            say(clients[1].received, server.stats().messages_sent)
        elif message == "clear":
            server.clear()

    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text, record=1 << 20)
    server.start_qt()

    def talk() -> list[object]:
        with client(server.url) as one, client(server.url) as two:
            gate.crowd(server.url, {two: ["a", "b"], one: ["c", "look", "clear"]})
            while one.recv(LIMIT) != "clear":
                pass
            got: list[object] = [each.received for each in (clients[1], clients[0])]
        server.stop()
        return got

    (got,) = meanwhile(talk)
    say(*got)


@script("True")
def what_a_slot_has_sent_goes_out_while_it_runs_if_a_worker_has_ended(say: Say) -> None:
    gate, clients = Gate(), list[Client]()
    is_gone, is_seen, never = threading.Event(), threading.Event(), threading.Event()
    # Each before the worker looks again.
    many, pause = 500, 0.0002

    def text(_: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "stop":
            server.stop(LIMIT, wait=False)
        elif message == "work":
            left = many
            while left > 0:
                left -= is_gone.is_set()
                clients[3].send("tick")
                never.wait(pause)
            clients[3].send("last")
            say(is_seen.wait(LIMIT))

    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text, workers=2)
    server.start_qt()

    def talk() -> None:
        # They have the first worker and the second in turn, who waits at the gate the first.
        url = server.url
        with client(url) as one, client(url) as two, client(url), client(url) as four:

            def leave() -> None:
                try:
                    told(one)
                finally:
                    is_gone.set()

            def see() -> None:
                while four.recv(LIMIT) != "last":
                    pass
                is_seen.set()
                told(four)

            threads = [threading.Thread(target=each) for each in (leave, see)]
            for thread in threads:
                thread.start()
            gate.crowd(server.url, {one: ["x", "stop", "x"], two: ["work"], four: ["x"]})
            for thread in threads:
                thread.join(LIMIT)

    meanwhile(talk)
