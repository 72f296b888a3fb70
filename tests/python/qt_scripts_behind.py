"""What a turn that gathers is behind with: nobody is to notice who looks at it, is refused because of it, or ends."""

from __future__ import annotations

import contextlib
import socket as sockets_module
import threading
import time
from collections.abc import Callable

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from echoserver import NO_REPLY, Client, EchoServer, NoReply
from echoserver.exceptions import SendQueueFull
from echoserver.testing import ManualClock, faults
from qt_scripts import Say, script
from qt_scripts_turns import Gate, told
from qt_talks import LIMIT, client, meanwhile


@script("True", "True", "True", "True")
def looks_wake_nobody_who_has_nothing_to_do(say: Say) -> None:
    gate, clients = Gate(), list[Client]()
    idle, looks, rounds = 20, 200, 10

    def raised(work: Callable[[], object], times: int) -> int:
        """By how much the count of news goes up, which each connection raises that is woken."""
        before = server._core.record.count
        for _ in range(times):
            work()
        return server._core.record.count - before

    def send_and_look() -> None:
        clients[0].send("x")
        server.stats()

    def text(_: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "look":
            # A few are for what was gathered before, and for clients that come and go.
            for look in (lambda: clients[0].received, server.stats, clients[0]._take_pong):
                say(raised(look, looks) < looks)
            say(raised(send_and_look, rounds) < rounds * idle / 2)

    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text, record=1 << 20)
    server.start_qt()

    def talk() -> None:
        with contextlib.ExitStack() as all_of_them:
            one, *_ = [all_of_them.enter_context(client(server.url)) for _ in range(idle)]
            gate.crowd(server.url, {one: ["a", "look"]})
            while one.recv(LIMIT) != "look":
                pass
        server.stop()

    for error in filter(None, meanwhile(talk)):
        say(error)


@script("own 0", "other 0", "raw 0", "ping 0", "broadcast 0")
def a_send_queue_is_not_full_of_what_is_gathered(say: Say) -> None:
    gate, clients = Gate(), list[Client]()
    # More than the queue has room for, and less than TCP takes.
    many, size = 48, 1000

    def text(own: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "act":
            # The one at the gate does not read.
            other = clients[1]
            much = "x" * size
            ways: dict[str, Callable[[], object]] = {
                "own": lambda: own.send(much),
                "other": lambda: other.send(much),
                "raw": lambda: other.send_raw(b"\x81\x7e" + size.to_bytes(2, "big") + much.encode()),
                "ping": lambda: other.ping(b"x" * 125),
                "broadcast": lambda: server.broadcast(much, exclude=clients[2:]),
            }
            for name, send in ways.items():
                refused = 0
                for _ in range(many):
                    try:
                        taken = send()
                    except SendQueueFull:
                        refused += 1
                    else:
                        refused += name == "broadcast" and taken != 2
                say(name, refused)

    server = EchoServer(
        0, host="127.0.0.1", on_connect=clients.append, on_text=text, max_send_queue=4 * size, workers=1
    )
    server.start_qt()

    def talk() -> None:
        with connect(server.url, max_queue=None) as one, connect(server.url, max_queue=None) as two:
            gate.crowd(server.url, {two: ["a"], one: ["a", "act", "b"]})
            while one.recv(LIMIT) != "b":
                pass
        server.stop()

    for error in filter(None, meanwhile(talk)):
        say(error)


@script("True True", "True True")
def who_does_not_read_is_waited_for_once(say: Say) -> None:
    gate, clients = Gate(), list[Client]()
    rounds, size, room = 50, 900, 1 << 16

    def fill() -> None:
        """The send queue of the first, down to the last message that has room."""
        for each in room // 4, size:
            with contextlib.suppress(SendQueueFull):
                while clients[0].send("x" * each):
                    pass

    def full(send: Callable[[], object]) -> None:
        fill()
        refused, before = 0, server._core.record.count
        for _ in range(rounds):
            clients[1].send("x")
            try:
                refused += send() == 0
            except SendQueueFull:
                refused += 1
        # TCP may take a little meanwhile. Each connection that is waited for raises the count.
        say(refused > rounds // 2, server._core.record.count - before < rounds)

    def text(_: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "act":
            full(lambda: clients[0].send("x" * size))
            full(lambda: server.broadcast("x" * size, exclude=clients[1:]))

    server = EchoServer(
        0, host="127.0.0.1", on_connect=clients.append, on_text=text, record=1 << 24, max_send_queue=room, workers=1
    )
    server.start_qt()

    def talk() -> None:
        with sockets_module.socket() as reader:
            reader.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", server.port))
            with connect(server.url, sock=reader, max_queue=1, compression=None), client(server.url) as two:
                gate.crowd(server.url, {two: ["a", "act", "b"]})
                while two.recv(LIMIT) != "b":
                    pass
                server.stop(0)

    for error in filter(None, meanwhile(talk)):
        say(error)


@script("4000")
def a_clock_is_advanced_behind_what_was_given(say: Say) -> None:
    gate, clients, clock = Gate(), list[Client](), ManualClock()
    given, advanced = threading.Event(), threading.Event()

    def text(_: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "act":
            clients[1].close(4000)
            given.set()
            advanced.wait(LIMIT)

    server = EchoServer(
        0, host="127.0.0.1", on_connect=clients.append, on_text=text, clock=clock, idle_timeout=20, workers=1
    )
    server.start_qt()

    def advance() -> None:
        given.wait(LIMIT)
        clock.advance(20)
        advanced.set()

    def talk() -> int | None:
        with client(server.url) as one, client(server.url) as two:
            with contextlib.suppress(ConnectionClosed):
                gate.crowd(server.url, {one: ["a", "act", "b"]})
            with contextlib.suppress(ConnectionClosed):
                two.recv(LIMIT)
            return two.close_code

    code, _ = meanwhile(talk, advance)
    say(code)
    server.stop(0)


@script("3 True")
def a_fault_has_acted_on_all_that_was_sent(say: Say) -> None:
    gate, clients = Gate(), list[Client]()

    def text(_: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "look":
            clients[1].send("dropped")
            is_shown = "3 hits" in repr(fault)
            say(fault.hits, is_shown)

    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text, workers=1)
    fault = server.fault(faults.Drop(), path="/dropped")
    server.start_qt()

    def talk() -> None:
        with client(server.url) as one, client(server.url + "dropped") as two:
            gate.crowd(server.url, {two: ["a", "b"], one: ["x", "look"]})
            while one.recv(LIMIT) != "look":
                pass
        server.stop()

    for error in filter(None, meanwhile(talk)):
        say(error)


@script("['0', '1', '2', '3'] ['0', '1', '2', '3']", "['0', '1', '2', '3', 'end']")
def what_was_answered_before_an_abort_arrives(say: Say) -> None:
    gate, clients = Gate(), list[Client]()

    def text(own: Client, message: str) -> str | NoReply | None:
        if message == "gate":
            gate.enter()
        elif message == "end":
            own.abort()
        elif message in "02":
            own.send(message)
            return NO_REPLY
        return None

    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text, record=1 << 20, workers=1)
    server.start_qt()

    def talk() -> list[object]:
        with client(server.url) as one, connect(server.url, compression=None) as two:
            messages = ["0", "1", "2", "3", "end"]
            gate.crowd(server.url, {one: messages, two: messages})
            got: list[object] = [told(each)[:-1] for each in (one, two)]
            got.append(clients[0].received)
        server.stop()
        return got

    (got,) = meanwhile(talk)
    say(*got[:2])
    say(*got[2:])


@script("['0', '1']")
def what_was_answered_before_a_stop_without_time_arrives(say: Say) -> None:
    gate = Gate()

    def text(_: Client, message: str) -> None:
        if message == "gate":
            gate.enter()
        elif message == "stop":
            server.stop(0, wait=False)

    server = EchoServer(0, host="127.0.0.1", on_text=text, workers=1)
    server.start_qt()

    def talk() -> list[object]:
        with client(server.url) as one, client(server.url) as two:
            # The one at the gate is dropped as well, maybe before it has read its echo.
            with contextlib.suppress(ConnectionClosed):
                gate.crowd(server.url, {two: ["0", "1"], one: ["x", "stop"]})
            return told(two)[:2]

    say(*meanwhile(talk))


@script("True True", "True True")
def what_is_on_the_wire_counts_no_more(say: Say) -> None:
    # Less than what a send queue has room for, and more than TCP takes: much in each slot, and little.
    for each, slots in (250, 24), (5, 1000):
        say(*_sends_much(each, slots))


def _sends_much(each: int, slots: int) -> tuple[object, ...]:
    gate, clients = Gate(), list[Client]()
    size, header, overhead = 2000, 4, 64
    sends, steps = each * slots, 20

    def text(own: Client, message: str) -> str | NoReply:
        if message == "gate":
            gate.enter()
            return message
        for _ in range(each):
            own.send(much)
        return NO_REPLY

    much = "x" * size
    server = EchoServer(0, host="127.0.0.1", on_connect=clients.append, on_text=text, max_send_queue=1 << 24)
    server.start_qt()

    def counts() -> bool:
        """Whether only that counts which TCP has not taken: in the queue, and in memory."""
        # What TCP takes, it takes by and by.
        until = time.monotonic() + LIMIT / 4
        while time.monotonic() < until:
            left = sends * (size + header) - server.stats().bytes_sent
            most = left * (size + overhead) // (size + header) + (1 << 17)
            if clients[0]._queued < most and server.stats().memory_used < most:
                return True
            server._core.wait(0.001)
        return False

    def talk() -> tuple[bool, bool]:
        with sockets_module.socket() as reader:
            reader.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", server.port))
            with connect(server.url, sock=reader, max_queue=1, compression=None) as one:
                gate.crowd(server.url, {one: ["much"] * slots})
                is_so, came = counts(), True
                reader.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 1 << 20)
                for _ in range(steps):
                    came = came and all(len(one.recv(LIMIT)) == size for _ in range(sends // steps))
                    is_so = is_so and counts()
                return is_so, came

    (got,) = meanwhile(talk)
    server.stop()
    return got if isinstance(got, tuple) else (got,)
