"""How faults are set: on whom, when they act, from where, until when, and what is no fault at all."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from echoserver import Client, EchoServer
from echoserver.testing import (
    Bandwidth,
    Close,
    Drop,
    Duplicate,
    EchoTestServer,
    Fault,
    Fragment,
    Freeze,
    HalfClose,
    Hang,
    Latency,
    NoCloseReply,
    NoPong,
    Replace,
    Reset,
    Slice,
)
from fault_rows import END
from support import TIMEOUT, RawClient, connect, eventually, finished, in_thread, join, python


def heard(raw: RawClient, *messages: bytes) -> list[bytes]:
    """The echoes of some messages."""
    for message in messages:
        raw.send(1, message)
    raw.send(9, b"end")
    found = []
    while (received := raw.receive()) != (10, b"end"):
        found.append(received[1])
    return found


def test_it_acts_on_who_is_there_and_who_comes_until_it_ends() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened() as old:
        assert heard(old, b"a") == [b"a"]
        fault = server.fault(Drop())
        with RawClient(server.port).opened() as new:
            assert heard(old, b"b") == heard(new, b"b") == []
            assert fault.hits == 2
            fault.stop()
            fault.stop()
            assert heard(old, b"c") == heard(new, b"c") == [b"c"]
            with server.fault(Drop()) as another:
                assert heard(old, b"d") == []
            assert heard(old, b"e") == [b"e"]
        assert (fault.hits, another.hits) == (2, 1)
        assert repr(another) == "<Fault Drop(): 1 hits, over>"
        assert another.kind == Drop()


def test_selectors() -> None:
    with EchoTestServer() as server, RawClient(server.port, path="/a?b=c").opened() as raw:
        client = server.accept()
        with RawClient(server.port, path="/other").opened() as other:
            with server.fault(Drop(), path="/a", after=1, every=2, times=2) as fault:
                assert heard(raw, *(b"%d" % number for number in range(8))) == [b"0", b"1", b"3", b"5", b"6", b"7"]
                assert heard(other, b"0", b"1", b"2") == [b"0", b"1", b"2"]
                assert fault.hits == 2
            with client.fault(Drop(), after=1) as fault:
                assert heard(raw, b"0", b"1") == [b"0"]
                assert heard(other, b"0", b"1") == [b"0", b"1"]
                assert fault.hits == 1
            with server.fault(Drop(), client=client, after="1ms"):
                eventually(lambda: heard(raw, b"x") == [])


def test_a_fault_may_be_of_a_class_of_its_own() -> None:
    class Lost(Drop):
        pass

    class Stuck(Hang):
        pass

    with EchoTestServer(check_unused=False) as server, RawClient(server.port).opened() as raw:
        server.handshakes.append(Stuck())
        with server.fault(Lost()) as fault:
            assert heard(raw, b"0", b"1") == []
            assert fault.hits == 2


def test_an_end_has_its_time() -> None:
    with EchoTestServer() as server:
        server.fault(Close(1008), after="10ms", path="/close")
        server.fault(Reset(), after="10ms", path="/reset")
        with RawClient(server.port, path="/close").opened() as raw:
            assert raw.close_code() == 1008
            raw.send(8, b"\x03\xf0")
        with RawClient(server.port, path="/reset").opened() as raw:
            with pytest.raises(ConnectionResetError):
                raw.socket.recv(1)
            assert server.accept("/reset").wait_closed(TIMEOUT) == 1006


def test_a_reset_in_the_middle_of_a_message() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened() as raw:
        server.fault(Fragment(4))
        server.fault(Reset(), after=2)
        raw.send(1, b"0123456789")
        assert raw.file.read(12) == b"\x01\x040123\x00\x044567"
        with pytest.raises(ConnectionResetError):
            raw.file.read(1)


def test_everything_that_goes_out_is_meant_and_nothing_that_comes() -> None:
    def on_text(client: Client, message: str) -> str:
        client.send("sent")
        return message + "!"

    with EchoTestServer(on_text=on_text) as server, connect(server.url) as ws:
        client = server.accept()
        with server.fault(Replace(b"replaced")) as fault:
            ws.send("a")
            assert [ws.recv(), ws.recv()] == [b"replaced"] * 2
            server.broadcast("to all")
            assert ws.recv() == b"replaced"
            assert (client.received, fault.hits) == (["a"], 3)
        client.send("as it is")
        assert ws.recv() == "as it is"


def test_what_was_given_before_is_none_of_its_business() -> None:
    with EchoTestServer() as server, connect(server.url) as ws:
        client = server.accept()
        for number in range(100):
            client.send(f"before {number}")
            with server.fault(Drop()):
                client.send("dropped")
            client.send(f"after {number}")
            assert [ws.recv(), ws.recv()] == [f"before {number}", f"after {number}"]


def test_a_callback_may_set_one_for_what_follows() -> None:
    def on_text(client: Client, message: str) -> None:
        if message == "set":
            client.fault(Drop(), times=1)
        elif message == "set for all":
            client.server.fault(Drop(), times=1)

    with EchoTestServer(on_text=on_text) as server, connect(server.url) as ws:
        for message in ("first", "set", "second", "set for all", "third"):
            ws.send(message)
        # The answers before it are not dropped; the one to the message that set it is.
        assert [ws.recv() for _ in range(3)] == ["first", "second", "third"]


def test_several_act_in_the_order_in_which_they_were_set() -> None:
    with EchoTestServer() as server, RawClient(server.port).opened() as raw:
        server.fault(Duplicate(2))
        server.fault(Replace("ab"))
        server.fault(Fragment(1), every=2)
        raw.send(1, b"x")
        whole, cut = b"\x81\x02ab", b"\x01\x01a\x80\x01b"
        assert raw.file.read(14) == whole + cut + whole


@pytest.mark.parametrize("start", [False, True])
def test_it_may_be_set_before_the_server_runs_and_stopped_after(start: bool) -> None:
    server = EchoServer(0, host="127.0.0.1")
    fault = server.fault(Drop())
    if start:
        with server, RawClient(server.port).opened() as raw:
            assert heard(raw, b"a") == []
    else:
        server.stop()
    fault.stop()
    server.fault(Drop()).stop()


def until_end(raw: RawClient) -> bool:
    """Reads until the pong "end", or the close frame: whether it was the former."""
    got = b""
    while not got.endswith(END):
        byte = raw.file.read(1)
        if not byte or got.endswith(b"\x88\x02\x0f"):
            return False
        got += byte
    return True


def test_the_same_seed_gives_the_same_actions_whatever_others_do() -> None:
    def told(seed: int, others: int) -> bytes:
        """What the first client gets, as it is on the wire, while others talk, are closed and come again."""
        with EchoTestServer(seed=seed) as server:
            assert server.seed == seed
            for kind in (Drop(), Duplicate(), Fragment(1)):
                server.fault(kind, probability=0.3)
            server.fault(Close(4000), path="/other", probability=0.05)
            with RawClient(server.port).opened() as raw:
                stop = threading.Event()

                def talk() -> None:
                    while not stop.is_set():
                        with RawClient(server.port, path="/other").opened() as other:
                            is_open = True
                            while is_open and not stop.is_set():
                                for _ in range(16):
                                    other.send(1, b"other")
                                other.send(9, b"end")
                                is_open = until_end(other)

                threads = [in_thread(talk) for _ in range(others)]
                for number in range(64):
                    raw.send(1, b"%d" % number)
                raw.send(9, b"end")
                got = b""
                while not got.endswith(END):
                    got += raw.file.read(1)
                stop.set()
                for thread in threads:
                    join(thread)
                return got

    expected = told(7, 0)
    assert told(8, 0) != expected
    for number in range(100):
        assert told(7, number % 4) == expected


def test_a_seed_is_any_and_can_be_given() -> None:
    server = EchoServer(0, host="127.0.0.1")
    assert 0 <= server.seed < 2**32
    server.stop()
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match=r"seed=.*: must be 0 to 2\*\*64 - 1, or None"):
            EchoServer(0, host="127.0.0.1", seed=seed)
    with pytest.raises(TypeError, match=r"seed='7': must be an int, not str"):
        EchoServer(0, host="127.0.0.1", seed="7")  # type: ignore[arg-type]


KINDS: list[tuple[Callable[[], object], str]] = [
    (lambda: Duplicate(0), "Duplicate: copies=0: must be 1 to 10 copies"),
    (lambda: Duplicate(11), "Duplicate: copies=11: must be 1 to 10 copies"),
    (lambda: Duplicate(10**30), "Duplicate: copies=10{30}: must be 1 to 10 copies"),
    (lambda: Fragment(0), "Fragment: size=0: must be 1 to 1048576 bytes"),
    (lambda: Close(1005), r"Close: code=1005: must be 1000 to 1003, 1007 to 1014 or 3000 to 4999 \(RFC"),
    (lambda: Close(1000, "é" * 62), "Close: reason='é*': must be at most 123 bytes in UTF-8"),
    (lambda: Close(1000, "\ud800"), r"Close: reason='\\ud800': must be at most 123 bytes"),
    (lambda: Replace("x" * (2**20 + 1)), r"Replace: data='x*\.\.\.x*': must be text or bytes, 1048576 bytes at most"),
    (lambda: Replace("\ud800"), r"Replace: data='\\ud800': must be text or bytes"),
    (lambda: Latency(61), "Latency: seconds=61: must be 0 to 60 seconds"),
    (lambda: Latency(float("nan")), "Latency: seconds=nan: must be 0 to 60 seconds"),
    (lambda: Latency(1, -1), "Latency: jitter=-1: must be 0 to 60 seconds"),
    (lambda: Latency(1, direction="up"), "Latency: direction='up': must be 'in', 'out' or 'both'"),  # type: ignore[arg-type]
    (lambda: Bandwidth(0), "Bandwidth: bytes_per_second=0: must be 1 to 1073741824 bytes per second"),
    (lambda: Slice(0), "Slice: size=0: must be 1 to 1048576 bytes"),
]
TYPES: list[tuple[Callable[[], object], str]] = [
    (lambda: Duplicate(True), "Duplicate: copies=True: must be 1 to 10 copies, not bool"),
    (lambda: Replace(3), "Replace: data=3: must be text or bytes, 1048576 bytes at most, not int"),  # type: ignore[arg-type]
    (lambda: Latency("1s"), "Latency: seconds='1s': must be 0 to 60 seconds, not str"),  # type: ignore[arg-type]
    (lambda: Close("1000"), "Close: code='1000': must be .*, not str"),  # type: ignore[arg-type]
    (lambda: Close(1000, b""), "Close: reason=b'': must be .*, not bytes"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "message"), KINDS)
def test_what_can_not_be_told_a_fault(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize(("make", "message"), TYPES)
def test_what_is_of_another_type(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        make()


STATE = "it lasts as long as it is set, and takes path and client only"
BYTES = "it acts on bytes, which nobody counts: it takes path, client, after and probability"


@pytest.mark.parametrize(
    ("kind", "selectors", "error", "message"),
    [
        (Drop(), {"after": -1}, ValueError, "Drop: after=-1: must be a number, or a time of at most an hour"),
        (Drop(), {"after": 1.5}, TypeError, "Drop: after=1.5: must be a number, or a time"),
        (Drop(), {"after": "2"}, ValueError, "Drop: after='2': must be a number, or a time of at most an hour"),
        (Drop(), {"after": "61min"}, ValueError, "Drop: after='61min': must be"),
        (Drop(), {"every": 0}, ValueError, "Drop: every=0: must be a whole number, 1 or more"),
        (Drop(), {"times": 0}, ValueError, "Drop: times=0: must be a whole number, 1 or more"),
        (Drop(), {"probability": 0}, ValueError, "Drop: probability=0: must be a number above 0, and at most 1"),
        (Drop(), {"probability": "1"}, TypeError, "Drop: probability='1': must be a number"),
        (Drop(), {"path": 1}, TypeError, "path=1: must be a str, not int"),
        (Drop(), {"path": "room"}, ValueError, "Drop: path='room': must be the path that a client asks for"),
        (Drop(), {"path": "/room?a"}, ValueError, r"Drop: path='/room\?a': must be the path that a client asks for"),
        (Drop(), {"client": 1}, ValueError, "Drop: client=1: must be a client of this server"),
        *(
            (kind, {"after": 1}, ValueError, f"{type(kind).__name__}: after=1: {STATE}")
            for kind in (NoPong(), NoCloseReply(), Freeze())
        ),
        (NoPong(), {"times": 1}, ValueError, f"NoPong: times=1: {STATE}"),
        (NoPong(), {"after": "1s"}, ValueError, f"NoPong: after='1s': {STATE}"),
        (Latency(1), {"every": 2}, ValueError, f"Latency: every=2: {BYTES}"),
        (Slice(1), {"times": 2}, ValueError, f"Slice: times=2: {BYTES}"),
        ("drop", {}, TypeError, r"fault\(\) does not take 'drop'; it takes Drop, "),
        (Drop, {}, TypeError, r"fault\(\) does not take the class Drop: an object of it is Drop\(\); it takes Drop, "),
    ],
)
def test_what_can_not_be_set(kind: Any, selectors: dict[str, Any], error: type[Exception], message: str) -> None:
    with EchoTestServer() as server:
        with pytest.raises(error, match=f"^{message}"):
            server.fault(kind, **selectors)
        with RawClient(server.port).opened() as raw:
            assert heard(raw, b"a") == [b"a"]


def test_a_client_of_another_server_is_none() -> None:
    with EchoTestServer() as server, EchoTestServer() as another, connect(another.url):
        client = another.accept()
        with pytest.raises(ValueError, match=r"client=<Client 1 .*>: must be a client of this server"):
            server.fault(Drop(), client=client)


def test_a_fault_that_had_no_opportunity_fails_the_test() -> None:
    server = EchoTestServer().start()
    server.fault(Drop(), after=3)
    server.fault(Drop(), probability=0.001)
    with pytest.raises(AssertionError, match=r"these faults had no opportunity: Drop\(\)$"):
        server.stop()
    server.stop()
    server = EchoTestServer(check_unused=False).start()
    server.fault(NoPong())
    server.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_may_leave_its_block() -> None:
    code = """if True:
        import os
        from echoserver.testing import Drop, EchoTestServer
        with EchoTestServer(check_unused=False) as server:
            with server.fault(Drop()) as fault:
                child = os.fork()
            if child == 0:
                try:
                    fault.stop()
                except RuntimeError as error:
                    print("fork" in str(error), flush=True)
                os._exit(0)
            print(os.waitpid(child, 0)[1], fault)
    """
    assert finished(python(code, env={"PYTHONWARNINGS": "ignore"})) == (0, "True\n0 <Fault Drop(): 0 hits, over>\n", "")


def test_the_report_has_the_seed() -> None:
    with EchoTestServer(seed=42) as server, RawClient(server.port).opened() as raw:
        assert "seed" not in server.transcript()
        with server.fault(Drop()):
            heard(raw, b"a")
        assert server.transcript().endswith("\nseed=42")


def held_by(server: EchoTestServer, kind: Any) -> Fault:
    fault = server.fault(kind)
    with RawClient(server.port).opened() as raw:
        if isinstance(kind, NoCloseReply):
            raw.send(8, b"\x03\xe8")
        elif isinstance(kind, HalfClose | Latency):
            raw.send(1, b"x")
        eventually(lambda: fault.hits)
        assert [client.is_open for client in server.clients] == [not isinstance(kind, HalfClose)]
        server.stop()
    return fault


@pytest.mark.parametrize(
    "kind", [Freeze(), NoCloseReply(), HalfClose(), Latency(60), Latency(60, direction="in"), Bandwidth(1)], ids=repr
)
def test_who_is_held_at_the_end_is_dropped_and_not_blamed(kind: Any) -> None:
    server = EchoTestServer().start()
    if isinstance(kind, Bandwidth):
        server.fault(kind)
        with RawClient(server.port).opened() as raw:
            raw.send(1, b"x" * 100)
            raw.socket.recv(1)
            server.stop()
    else:
        held_by(server, kind)
    assert server.unanswered == ()
    assert not server.clients
