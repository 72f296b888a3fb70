"""Client: who it is, what it knows, and how long it lives."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from echoserver import Client, EchoServer
from echoserver.headers import Headers
from support import TIMEOUT, RawClient, Watched, connect, eventually, in_thread, join

if TYPE_CHECKING:
    from conftest import Listen


def test_client_count_is_that_of_the_clients(server: EchoServer) -> None:
    assert server.client_count == 0
    with RawClient(server.port).opened(), RawClient(server.port).opened():
        assert server.client_count == len(server.clients) == 2
    eventually(lambda: server.client_count == 0)


def test_a_client_is_the_same_object_every_time(run: Listen) -> None:
    seen: list[Client] = []
    server = run(
        on_connect=seen.append,
        on_text=lambda client, _: seen.append(client),
        on_binary=lambda client, _: seen.append(client),
        on_disconnect=seen.append,
    )
    with connect(server.url) as client:
        client.send("x")
        client.recv(TIMEOUT)
        seen.extend(server.clients)
        gc.collect()
        client.send(b"x")
        client.recv(TIMEOUT)
    eventually(lambda: len(seen) == 5, "on_disconnect")
    assert all(one is seen[0] for one in seen)
    assert isinstance(seen[0], Client)


def test_a_client_stays_the_same_object_when_others_ask_for_it_at_its_end(run: Listen) -> None:
    lost: list[Client] = []
    gone: list[Client] = []

    def on_connect(client: Client) -> None:
        client.known = True

    def on_disconnect(client: Client) -> None:
        gone.append(client)
        if not hasattr(client, "known"):
            lost.append(client)

    server = run(on_connect=on_connect, on_disconnect=on_disconnect)
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            _ = server.clients

    with contextlib.ExitStack() as stack:
        # With many others it is a while from the look at who is there to the last object.
        for _ in range(100):
            stack.enter_context(RawClient(server.port).opened())
        asking = in_thread(ask)
        for _ in range(16):
            clients = [RawClient(server.port).opened() for _ in range(25)]
            for client in clients:
                client.close()
        eventually(lambda: len(gone) == 400)
        over.set()
        join(asking)
    assert not lost


def test_clients_differ_and_can_be_kept_in_sets(watched: Watched) -> None:
    with connect(watched.url), connect(watched.url):
        one, two = watched.next(), watched.next()
    assert one != two
    assert one == one  # noqa: PLR0124  # That is the question.
    assert len({one, two, one}) == 2


def test_ids_count_from_one_in_each_server(run: Listen) -> None:
    for _ in range(2):
        server = Watched(run)
        for number in range(1, 4):
            with connect(server.url):
                assert server.next().id == number


def test_a_client_has_attributes_of_the_application(watched: Watched) -> None:
    with connect(watched.url) as client:
        one = watched.next()
        one.name = "Ann"
        one.answers = [1]
        client.send("x")
        client.recv(TIMEOUT)
        (same,) = watched.server.clients
        same.answers.append(2)
    assert watched.gone() is one
    assert (one.name, one.answers) == ("Ann", [1, 2])
    assert one.__dict__ == {"name": "Ann", "answers": [1, 2]}
    del one.name
    with pytest.raises(AttributeError, match="name"):
        _ = one.name
    with pytest.raises(AttributeError):
        del one.name


@pytest.mark.parametrize("name", ["id", "peer", "path", "close_code", "is_open", "server", "send", "headers"])
def test_its_own_attributes_can_not_be_set(watched: Watched, name: str) -> None:
    with connect(watched.url):
        one = watched.next()
        with pytest.raises(AttributeError, match=name):
            setattr(one, name, 5)
        assert getattr(one, name) != 5


def test_the_handshake_stays_readable(run: Listen) -> None:
    watched = Watched(run, subprotocols=["chat"])
    lines = ["Origin: https://example.org", "Sec-WebSocket-Protocol: chat", "X-Twice: a", "x-twice: b", "X-Latin: \xe9"]
    with RawClient(watched.port, *lines).opened() as raw:
        client = watched.next()
        peer = raw.socket.getsockname()
    watched.gone()
    for _ in range(2):
        assert client.peer == peer
        assert (client.path, client.query) == ("/", "")
        assert (client.origin, client.subprotocol) == ("https://example.org", "chat")
        assert client.headers["x-twice"] == client.headers["X-TWICE"] == "a, b"
        assert ("X-Twice", "a") in client.raw_headers
        assert ("x-twice", "b") in client.raw_headers
        assert client.headers["X-Latin"] == "\xc3\xa9"
        assert client.headers.get("missing") is None
        watched.server.stop()


def test_headers_are_a_mapping() -> None:
    headers = Headers([("Host", "a"), ("X-A", "1"), ("x-a", "2"), ("Empty", "")])
    assert dict(headers) == {"Host": "a", "X-A": "1, 2", "Empty": ""}
    assert list(headers) == ["Host", "X-A", "Empty"]
    assert len(headers) == 3
    assert "HOST" in headers
    assert "nothing" not in headers
    assert 5 not in headers  # type: ignore[comparison-overlap]
    assert headers == {"Host": "a", "X-A": "1, 2", "Empty": ""}
    assert repr(headers) == "Headers({'Host': 'a', 'X-A': '1, 2', 'Empty': ''})"
    with pytest.raises(KeyError, match="nothing"):
        headers["nothing"]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [("/", "/", ""), ("/a/b%20c", "/a/b%20c", ""), ("/?", "/", ""), ("/p?x=1&y=%C3%A9?", "/p", "x=1&y=%C3%A9?")],
)
def test_path_and_query_are_as_the_client_wrote_them(watched: Watched, target: str, path: str, query: str) -> None:
    with connect(watched.url.removesuffix("/") + target):
        client = watched.next()
        assert (client.path, client.query) == (path, query)


def test_clients_are_in_the_order_of_their_coming(server: EchoServer) -> None:
    assert list(server.clients) == []
    raws = [RawClient(server.port).opened() for _ in range(10)]
    assert [client.id for client in server.clients] == list(range(1, 11))
    raws[3].close()
    eventually(lambda: len(server.clients) == 9, "the end of one")
    assert [client.id for client in server.clients] == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    for raw in raws:
        raw.close()


@pytest.mark.parametrize("seen_by", ["on_connect", "clients"])
def test_a_client_goes_when_nobody_holds_it_any_more(run: Listen, seen_by: str) -> None:
    references: list[weakref.ref[Client]] = []
    options = {"on_connect": lambda client: references.append(weakref.ref(client))} if seen_by == "on_connect" else {}
    server = run(**options)
    with connect(server.url):
        if seen_by == "clients":
            references.extend(weakref.ref(client) for client in server.clients)
        eventually(lambda: len(references) == 1, "on_connect")
        assert references[0]() is not None
    eventually(lambda: references[0]() is None, "the end of the object")


def test_the_collector_may_run_while_a_client_is_made(server: EchoServer) -> None:
    """It looks at no object before that is whole."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(RawClient(server.port).opened())
        thresholds = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        try:
            # Their echo is the native one: here is who makes their objects.
            assert len(server.clients) == 50
        finally:
            gc.set_threshold(*thresholds)


def test_a_client_in_a_reference_cycle_is_collected(watched: Watched) -> None:
    with connect(watched.url):
        client = watched.next()
        client.itself = client
        client.room = watched.server
    assert watched.gone() is client
    reference = weakref.ref(client)
    del client
    eventually(lambda: gc.collect() >= 0 and reference() is None, "the end of the cycle")


def test_the_repr_of_a_client_says_who_it_is_and_how_it_is(watched: Watched) -> None:
    with connect(watched.url + "path?query") as raw:
        client = watched.next()
        peer = "{}:{}".format(*raw.local_address)
        assert repr(client) == f"<Client 1 {peer} /path open>"
        raw.close(4000, "done")
    watched.gone()
    assert repr(client) == f"<Client 1 {peer} /path closed 4000 'done'>"
