"""Callbacks and `echo` that are set while the server runs, and names that are none."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from aio_support import connect as connect_async
from aio_support import exchange, started
from echoserver import Client, EchoServer, _core
from support import TIMEOUT, RawClient, connect, frame

if TYPE_CHECKING:
    from aio_support import Run
    from conftest import Listen

# pyright takes callbacks for methods, and None for no value of theirs.
NONE: Any = None


def upper(_client: Client, text: str) -> str:
    return text.upper()


async def reverse(_client: Client, text: str) -> str:
    await asyncio.sleep(0)
    return text[::-1]


def test_a_callback_holds_from_the_next_message_on_and_none_ends_it(server: EchoServer) -> None:
    assert server.on_text is None
    with connect(server.url) as client:

        def answer() -> str | bytes:
            client.send("text")
            return client.recv(TIMEOUT)

        assert answer() == "text"
        server.on_text = upper
        assert server.on_text is upper
        assert answer() == "TEXT"
        server.on_text = lambda _, text: text * 2
        assert answer() == "texttext"
        server.on_text = NONE
        assert answer() == "text"


def test_one_that_is_set_in_a_callback_has_the_next_message_of_the_same_read(run: Listen) -> None:
    def once(_client: Client, text: str) -> str:
        server.on_text = upper
        return f"once {text}"

    server = run(on_text=once, workers=1)
    with RawClient(server.port).opened() as client:
        client.socket.sendall(b"".join(frame(1, b"%d a" % n) for n in range(100)))
        assert client.receive() == (1, b"once 0 a")
        for n in range(1, 100):
            assert client.receive() == (1, b"%d A" % n)


def test_one_that_is_taken_away_in_a_callback_leaves_the_order(run: Listen) -> None:
    def once(_client: Client, text: str) -> str:
        server.on_text = NONE
        return f"once {text}"

    server = run(on_text=once, workers=1)
    with RawClient(server.port).opened() as client:
        client.socket.sendall(b"".join(frame(1, b"%d" % n) for n in range(1000)))
        assert client.receive() == (1, b"once 0")
        for n in range(1, 1000):
            assert client.receive() == (1, b"%d" % n)


def test_the_other_callbacks_may_be_set_as_well(server: EchoServer) -> None:
    events: queue.Queue[str] = queue.Queue()
    with connect(server.url) as client:
        server.on_handshake = lambda _: events.put("handshake")
        server.on_connect = lambda _: events.put("connect")
        server.on_binary = lambda _client, _message: events.put("binary")
        server.on_disconnect = lambda _: events.put("disconnect")
        server.on_closed = lambda: events.put("closed")
        # Who is there already has come before, but goes after.
        client.send(b"x")
        assert client.recv(TIMEOUT) == b"x"
    assert [events.get(timeout=TIMEOUT) for _ in range(2)] == ["binary", "disconnect"]
    with connect(server.url):
        assert [events.get(timeout=TIMEOUT) for _ in range(2)] == ["handshake", "connect"]
        server.on_disconnect = NONE
    server.stop()
    assert list(events.queue) == ["closed"]


def test_a_method_of_a_subclass_may_be_covered() -> None:
    class Shouting(EchoServer):
        def on_text(self, _client: Client, message: str) -> str:
            return message.upper()

    with Shouting(0, host="127.0.0.1") as server, connect(server.url) as client:
        replies = []
        for callback in (None, lambda _, text: text * 2):
            client.send("a")
            replies.append(client.recv(TIMEOUT))
            server.on_text = callback  # type: ignore[assignment, method-assign]
        client.send("a")
        assert [*replies, client.recv(TIMEOUT)] == ["A", "a", "aa"]


@pytest.mark.parametrize("name", ["on_text", "on_binary", None])
def test_without_echo_only_what_a_callback_answers_comes_back(run: Listen, name: str | None) -> None:
    options: dict[str, Any] = {name: lambda _, message: message * 2} if name else {}
    server = run(echo=False, workers=1, **options)
    assert server.echo is False
    with RawClient(server.port).opened() as client:
        messages = [(1, b"text"), (2, b"binary"), (1, b"t" * 70_000), (2, b"b" * 700_000)]
        client.socket.sendall(b"".join(frame(*message) for message in messages))
        wanted = {"on_text": 1, "on_binary": 2}.get(name or "")
        for opcode, payload in messages:
            if opcode == wanted:
                assert client.receive() == (opcode, payload * 2)
        client.send(9, b"end")
        assert client.receive() == (10, b"end")
        # None is no answer either.
        server.on_text = lambda *_: None
        client.send(1, b"text")
        client.send(9, b"end")
        assert client.receive() == (10, b"end")
        server.echo = True
        client.send(1, b"text")
        assert client.receive() == (1, b"text")
        server.on_text = NONE
        server.echo = False
        client.send(1, b"text")
        client.send(9, b"end")
        assert client.receive() == (10, b"end")
        client.send(8, b"\x03\xe8")
        assert client.receive() == (8, b"\x03\xe8")
    server.stop()
    stats = server.stats()
    assert (stats.text_messages_received, stats.binary_messages_received) == (5, 2)
    assert stats.memory_used == 0


def test_without_echo_compressed_messages_are_swallowed_too(run: Listen) -> None:
    server = run(echo=False, compression="deflate")
    with connect(server.url, compression="deflate") as client:
        client.send("swallowed" * 1000)
        client.send(b"")
        pong = client.ping()
        assert pong.wait(TIMEOUT)
        server.echo = True
        client.send("x" * 1000)
        assert client.recv(TIMEOUT) == "x" * 1000


def test_without_echo_python_never_sees_a_client(run: Listen) -> None:
    server = run(echo=False, workers=1)
    with RawClient(server.port).opened() as client:
        client.send(1, b"text")
        client.send(9)
        client.receive()
        (known,) = server.clients
        known.send("asked for")
        assert client.receive() == (1, b"asked for")


def test_debug_prints_what_is_swallowed(run: Listen, capsys: pytest.CaptureFixture[str]) -> None:
    server = run(echo=False, debug=True)
    with RawClient(server.port).opened() as client:
        client.send(1, b"text")
        client.send(9)
        assert client.receive() == (10, b"")
    server.stop()
    assert "Message received: text" in capsys.readouterr().out


def test_any_thread_may_set(run: Listen) -> None:
    server = run(on_text=upper)
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            server.on_text = NONE
            server.on_text = upper

    threads = [threading.Thread(target=change) for _ in range(2)]
    for thread in threads:
        thread.start()
    with connect(server.url) as client:
        for n in range(500):
            client.send(f"a{n}")
            assert client.recv(TIMEOUT) in (f"a{n}", f"A{n}")
    over.set()
    for thread in threads:
        thread.join(TIMEOUT)


def test_on_a_loop_a_coroutine_function_may_be_set(on_loop: Run) -> None:
    async def main() -> None:
        server = EchoServer(0, host="127.0.0.1")
        serving = await started(server)
        async with connect_async(server.url) as client:
            assert await exchange(client, "ab") == ["ab"]
            server.on_text = reverse
            assert await exchange(client, "ab", "cd") == ["ba", "dc"]
            server.on_text = upper
            assert await exchange(client, "ab") == ["AB"]
            server.on_text = NONE
            assert await exchange(client, "ab") == ["ab"]
        server.stop()
        await serving

    on_loop(main)


@pytest.mark.needs_worker
def test_before_the_start_it_brings_the_loop_and_after_it_it_is_too_late(listen: Listen) -> None:
    server = listen()
    server.on_text = reverse
    server.start()
    with connect(server.url) as client:
        client.send("ab")
        assert client.recv(TIMEOUT) == "ba"
    plain = listen().start()
    with pytest.raises(TypeError, match=r"^on_text: an `async def` needs an event loop"):
        plain.on_text = reverse
    assert plain.on_text is None


def test_messages_go_to_iterators_or_to_callbacks(on_loop: Run) -> None:
    async def main() -> None:
        async with EchoServer(0, host="127.0.0.1") as server:
            aiter(server)
            with pytest.raises(RuntimeError, match="use either"):
                server.on_text = upper
            server.on_disconnect = lambda _: None
            server.on_text = NONE

    on_loop(main)


@pytest.mark.parametrize("value", [5, "on_text", object()])
@pytest.mark.parametrize("name", _core.CALLBACKS)
def test_what_can_not_be_called_is_a_type_error(server: EchoServer, name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{name}=.*must be callable or None"):
        setattr(server, name, value)
    assert getattr(server, name) is None


def test_echo_is_a_bool(server: EchoServer) -> None:
    with pytest.raises(TypeError, match=r"^echo=0: must be a bool, not int"):
        server.echo = 0  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"^echo=None: must be a bool, not NoneType"):
        EchoServer(0, host="127.0.0.1", echo=None)  # type: ignore[arg-type]


NEAREST = {
    "on_txt": "on_text",
    "on_close": "on_closed",
    "on_conect": "on_connect",
    "on_errors": "on_error",
}


@pytest.mark.parametrize(("name", "meant"), NEAREST.items())
def test_a_callback_that_there_is_not_names_the_nearest(server: EchoServer, name: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"^EchoServer.{name}: there is no such callback; did you mean {meant}\\?"):
        setattr(server, name, upper)
    with pytest.raises(TypeError, match=f"^Shop.{name}: there is no such callback; did you mean {meant}\\?"):
        type("Shop", (EchoServer,), {name: upper})
    options: dict[str, Any] = {name: upper}
    with pytest.raises(TypeError, match=f"^EchoServer\\(\\) has no argument '{name}'; did you mean '{meant}'\\?"):
        EchoServer(0, host="127.0.0.1", **options)


def test_other_attributes_are_free() -> None:
    class Shop(EchoServer):
        only = "mine"

        def __init__(self, on_sale: int) -> None:
            super().__init__(0, host="127.0.0.1")
            self.sale = on_sale

    with Shop(on_sale=5) as shop:
        shop.name = "shop"  # type: ignore[attr-defined]
        assert (shop.sale, shop.only) == (5, "mine")


def test_set_before_the_constructor_has_run_it_says_so() -> None:
    class Early(EchoServer):
        def __init__(self) -> None:
            self.on_text = upper

    with pytest.raises(RuntimeError, match=r"call super\(\).__init__"):
        Early()


def test_one_that_is_deleted_is_called_no_more(server: EchoServer) -> None:
    with connect(server.url) as client:

        def answer() -> str | bytes:
            client.send("text")
            return client.recv(TIMEOUT)

        # It restores with `del` what is the class's.
        with patch.object(server, "on_text", upper):
            assert answer() == "TEXT"
        assert server.on_text is None
        assert answer() == "text"
