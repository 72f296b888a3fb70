"""Callbacks: when they are called, with what, and what becomes of their replies."""

from __future__ import annotations

import array
import functools
import queue
import threading
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import NO_REPLY, Client, EchoServer, _core
from support import TIMEOUT, RawClient, connect, frame, in_thread, join

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Listen


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (None, "message"),
        ("other", "other"),
        ("", ""),
        (Text("sub"), "sub"),
        ("\ufeff\0é😀", "\ufeff\0é😀"),
        (b"bytes", b"bytes"),
        (b"", b""),
        (bytearray(b"array"), b"array"),
        (memoryview(b"0123456789")[::2], b"02468"),
        (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
        ("x" * 70_000, "x" * 70_000),
    ],
)
def test_what_a_callback_returns_is_what_the_client_gets(run: Listen, reply: Any, expected: str | bytes) -> None:
    server = run(on_text=lambda _client, _message: reply)
    with connect(server.url) as client:
        client.send("message")
        assert client.recv(TIMEOUT) == expected


def test_the_message_arrives_as_it_was_sent(run: Listen) -> None:
    got: queue.Queue[str | bytes] = queue.Queue()
    server = run(on_text=lambda _, text: got.put(text), on_binary=lambda _, data: got.put(data))
    messages: list[str | bytes] = ["", "a", "\ufeff\0é😀", "x" * 100_000, b"", b"\x00\xff", bytes(100_000)]
    with connect(server.url) as client:
        for message in messages:
            client.send(message)
            assert client.recv(TIMEOUT) == message
            received = got.get(timeout=TIMEOUT)
            assert received == message
            assert type(received) is type(message)


def test_no_reply_sends_nothing(run: Listen) -> None:
    server = run(on_text=lambda _, text: NO_REPLY if text == "quiet" else None)
    with connect(server.url) as client:
        for message in ["quiet", "loud", "quiet", "quiet", "end"]:
            client.send(message)
        assert [client.recv(TIMEOUT) for _ in range(2)] == ["loud", "end"]


def test_a_builtin_is_a_callback(run: Listen, capsys: pytest.CaptureFixture[str]) -> None:
    server = run(on_text=print)
    with connect(server.url) as client:
        client.send("printed")
        assert client.recv(TIMEOUT) == "printed"
        assert capsys.readouterr().out == "<Client 1 {}:{} / open> printed\n".format(*client.local_address)


def test_replies_come_in_the_order_of_the_messages_of_both_kinds(run: Listen) -> None:
    # Text goes to Python; binary messages are echoed without it, and must not overtake.
    server = run(on_text=lambda _, text: text.upper())
    with RawClient(server.port).opened() as client:
        client.socket.sendall(b"".join(frame(1 + n % 2, b"m%d" % n) for n in range(300)))
        for n in range(300):
            assert client.receive() == ((2, b"m%d" % n) if n % 2 else (1, b"M%d" % n))


@pytest.mark.parametrize("seed", range(20))
def test_replies_of_every_length_are_laid_one_behind_the_other(run: Listen, seed: int) -> None:
    # Replies are written over the messages of their batch where they fit; sends in between cut the batch.
    random = Random(seed)
    lengths = [0, 1, 100, 125, 126, 300, 20_000, 65_535, 65_536]
    sizes = [random.choice(lengths) for _ in range(40)]
    longest = random.choice([300, 70_000])
    replies = [random.choice([None, NO_REPLY, random.randbytes(random.randrange(longest))]) for _ in sizes]
    sends = [random.random() < 0.1 for _ in sizes]
    messages = [random.randbytes(size) for size in sizes]
    calls = iter(range(len(sizes)))

    def answer(client: Client, message: bytes) -> Any:
        n = next(calls)
        assert message == messages[n]
        if sends[n]:
            client.send(f"before {n}")
        return replies[n]

    server = run(on_binary=answer, workers=1)
    with RawClient(server.port).opened() as client:
        sender = in_thread(client.socket.sendall, b"".join(frame(2, message) for message in messages))
        for n, reply in enumerate(replies):
            if sends[n]:
                assert client.receive() == (1, b"before %d" % n)
            if reply is not NO_REPLY:
                assert client.receive() == (2, messages[n] if reply is None else reply)
        join(sender)


def test_no_message_comes_before_on_connect_has_returned(run: Listen) -> None:
    events: list[str] = []

    def on_connect(_client: Client) -> None:
        events.append("connect")
        # Long enough for the messages, which are there already, to overtake if they could.
        threading.Event().wait(0.1)
        events.append("connected")

    server = run(on_connect=on_connect, on_text=lambda _, text: events.append(text))
    with RawClient(server.port) as client:
        client.socket.sendall(frame(1, b"text") + frame(2, b"binary"))
        client.opened()
        assert [client.receive() for _ in range(2)] == [(1, b"text"), (2, b"binary")]
    assert events == ["connect", "connected", "text"]


def test_on_connect_holds_native_echoes_too(run: Listen) -> None:
    gate = threading.Event()
    server = run(on_connect=lambda _: gate.wait(TIMEOUT))
    with RawClient(server.port).opened() as client:
        client.send(1, b"text")
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(TIMEOUT)
        gate.set()
        assert client.receive() == (1, b"text")


def test_on_disconnect_is_last_and_comes_once(run: Listen) -> None:
    events: queue.Queue[tuple[str, int | None]] = queue.Queue()
    server = run(
        on_connect=lambda client: events.put(("connect", client.close_code)),
        on_text=lambda client, text: events.put((text, client.close_code)),
        on_disconnect=lambda client: events.put(("disconnect", client.close_code)),
        on_closed=lambda: events.put(("closed", None)),
    )
    with RawClient(server.port).opened() as client:
        client.socket.sendall(frame(1, b"a") + frame(1, b"b") + frame(8, b"\x0f\xa0bye"))
        assert [client.receive() for _ in range(3)] == [(1, b"a"), (1, b"b"), (8, b"\x0f\xa0bye")]
    expected: list[tuple[str, int | None]] = [("connect", None), ("a", None), ("b", None), ("disconnect", 4000)]
    assert [events.get(timeout=TIMEOUT) for _ in range(4)] == expected
    server.stop()
    assert list(events.queue) == [("closed", None)]


def test_on_closed_is_the_last_callback_after_every_disconnect(run: Listen) -> None:
    events: list[str] = []
    server = run(on_disconnect=lambda _: events.append("disconnect"), on_closed=lambda: events.append("closed"))
    with connect(server.url), connect(server.url):
        server.stop()
    assert events == ["disconnect", "disconnect", "closed"]


def test_a_close_frame_waits_for_the_replies_before_it(run: Listen) -> None:
    def on_text(_client: Client, text: str) -> str:
        threading.Event().wait(0.05)
        return text * 2

    server = run(on_text=on_text)
    with RawClient(server.port).opened() as client:
        client.socket.sendall(frame(1, b"a") + frame(1, b"b") + frame(8, b"\x03\xe8"))
        assert [client.receive() for _ in range(3)] == [(1, b"aa"), (1, b"bb"), (8, b"\x03\xe8")]


def test_callbacks_may_be_methods_of_a_subclass() -> None:
    class Shouting(EchoServer):
        def on_text(self, _client: Client, message: str) -> str:
            return f"{message.upper()} {self.is_serving}"

        on_binary = None  # pyright: ignore[reportAssignmentType]

    class Quiet(Shouting):
        def on_binary(self, _client: Client, _message: bytes) -> object:  # type: ignore[override]
            return NO_REPLY

    cases: list[tuple[type[EchoServer], list[str | bytes]]] = [
        (Shouting, ["HEY True", b"x", "END True"]),
        (Quiet, ["HEY True", "END True"]),
    ]
    messages: list[str | bytes] = ["hey", b"x", "end"]
    for cls, replies in cases:
        with cls(0, host="127.0.0.1") as server, connect(server.url) as client:
            for message in messages:
                client.send(message)
            assert [client.recv(TIMEOUT) for _ in replies] == replies


@pytest.mark.parametrize("name", _core.CALLBACKS)
def test_argument_and_method_together_are_a_type_error(name: str) -> None:
    cls = type("Both", (EchoServer,), {name: lambda *_: None})
    options: dict[str, Any] = {name: print}
    with pytest.raises(TypeError, match=f"{name}=.*Both has a method"):
        cls(0, host="127.0.0.1", **options)


async def generator(*_: object) -> Any:
    yield 1


class Generator:
    async def __call__(self, *_: object) -> Any:
        yield 1


@pytest.mark.parametrize("name", _core.CALLBACKS)
@pytest.mark.parametrize("function", [generator, functools.partial(generator, 1), Generator()])
def test_asynchronous_generators_are_refused(name: str, function: Callable[..., Any]) -> None:
    options: dict[str, Any] = {name: function}
    with pytest.raises(TypeError, match=f"{name}=.*asynchronous generator"):
        EchoServer(0, host="127.0.0.1", **options)


def test_callbacks_run_in_the_thread_of_start(run: Listen) -> None:
    names: set[str] = set()

    def note(*_: object) -> None:
        names.add(threading.current_thread().name)

    server = run(on_connect=note, on_text=note, on_binary=note, on_disconnect=note, on_closed=note)
    with connect(server.url) as client:
        client.send("x")
        client.recv(TIMEOUT)
    server.stop()
    assert names == {f"echoserver-{server.port}"}


def test_callbacks_run_in_the_thread_of_serve(listen: Listen) -> None:
    idents: list[int] = []
    server = listen(on_text=lambda *_: idents.append(threading.get_ident()))
    thread = in_thread(server.serve)
    with connect(server.url) as client:
        client.send("x")
        client.recv(TIMEOUT)
    assert idents == [thread.ident]
    server.stop()
    join(thread)


def test_counting_callbacks_loses_nothing(run: Listen) -> None:
    counts = {"text": 0, "binary": 0}

    def count(kind: str) -> Callable[[Client, Any], None]:
        def callback(_client: Client, _message: Any) -> None:
            counts[kind] += 1

        return callback

    server = run(on_text=count("text"), on_binary=count("binary"))
    clients = [RawClient(server.port).opened() for _ in range(20)]
    for client in clients:
        client.socket.sendall((frame(1, b"x") + frame(2, b"y")) * 50)
    for client in clients:
        for _ in range(100):
            client.receive()
        client.close()
    assert counts == {"text": 1000, "binary": 1000}
