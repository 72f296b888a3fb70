"""What holds under every fault: the order, what a client may cost, and what others get."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from echoserver._core import FAULTS
from echoserver.faults import FaultKind
from echoserver.testing import (
    Bandwidth,
    Close,
    Drop,
    Duplicate,
    EchoTestServer,
    Fragment,
    Freeze,
    HalfClose,
    Latency,
    NoCloseReply,
    NoPong,
    Replace,
    Reset,
    Slice,
    Violate,
)
from fault_rows import OVER, example
from support import RawClient, connect, eventually, frame, in_thread, join

MIB = 1 << 20
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"

# With every=2: what a client gets for the messages that it is about, and for the others.
ORDERLY: list[tuple[FaultKind, dict[str, Any], Callable[[str], list[str]]]] = [
    (Drop(), {"every": 2}, lambda _: []),
    (Duplicate(3), {"every": 2}, lambda text: [text] * 4),
    (Replace("another"), {"every": 2}, lambda _: ["another"]),
    (Fragment(400), {"every": 2}, lambda text: [text]),
    (Latency(0.01, jitter=0.01, direction="both"), {}, lambda text: [text]),
    (Bandwidth(10 * MIB, direction="both"), {"after": 100}, lambda text: [text]),
    (Slice(1000, 0.0001, direction="both"), {"after": 1000}, lambda text: [text]),
    (NoPong(), {}, lambda text: [text]),
    (NoCloseReply(), {}, lambda text: [text]),
]


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize(("kind", "selectors", "gets"), ORDERLY, ids=[repr(kind) for kind, _, _ in ORDERLY])
def test_order(kind: FaultKind, selectors: dict[str, Any], gets: Callable[[str], list[str]], over: str) -> None:
    """Echoes of all sizes that are due for the fault in turn, and between them what the application sends."""
    numbers = random.Random(7)
    said = [f"{index} {numbers.randbytes(numbers.choice((10, 300, 20_000))).hex()}" for index in range(60)]
    with EchoTestServer(**OVER[over], check_unused=False) as server:
        context = server.ssl_context() if "tls" in OVER[over] else None
        compression = "deflate" if "compression" in OVER[over] else None
        with connect(server.url, ssl=context, compression=compression) as ws:
            client = server.accept()
            assert bool(client.extensions) == bool(compression)
            fault = client.fault(kind, **selectors)
            talk = in_thread(lambda: list(map(ws.send, said)))
            expected = _due(said, gets)
            assert [ws.recv(10) for _ in expected] == expected
            join(talk)
            server.wait_received(len(said))
            # It counts on: the first of these passes.
            sent = [f"{number} sent" for number in range(20)]
            for text in sent:
                client.send(text)
            expected = _due(sent, gets)
            assert [ws.recv(10) for _ in expected] == expected
            assert client.received == said
            fault.stop()


def _due(texts: list[str], gets: Callable[[str], list[str]]) -> list[str]:
    """What comes of them, if the fault is about each second one."""
    return [one for index, text in enumerate(texts) for one in (gets(text) if index % 2 else [text])]


# On a client that sends and does not read.
GREEDY: list[tuple[FaultKind, dict[str, Any]]] = [
    (Drop(), {"every": 2}),
    (Duplicate(10), {}),
    (Replace(b"x" * MIB), {"every": 5}),
    (Fragment(1), {}),
    (Violate("bomb of 256 MiB"), {}),
    (Close(), {"after": 3}),
    (Reset(), {"after": 3}),
    (HalfClose(), {"after": 3}),
    (Latency(60, direction="out"), {}),
    (Latency(60, direction="in"), {}),
    (Bandwidth(1000, direction="both"), {}),
    (Slice(100, 1, direction="both"), {}),
    (NoPong(), {}),
    (Freeze(), {}),
]
# One that is new is as greedy as it is in its row. A client that does not read does not close.
KNOWN = {type(kind).__name__ for kind, _ in GREEDY} | {"NoCloseReply"}
NEW = [row["class"] for row in FAULTS if row["class"] not in KNOWN and row["opportunity"] != "request"]
GREEDY += [(example(name), {}) for name in NEW]


@pytest.mark.parametrize("over", ["plain", "deflate"])
@pytest.mark.parametrize(("kind", "selectors"), GREEDY, ids=[repr(kind)[:40] for kind, _ in GREEDY])
def test_who_does_not_read_is_not_read_from_and_costs_what_it_may(
    kind: FaultKind, selectors: dict[str, Any], over: str
) -> None:
    limit, most = 8 * MIB, 64 * MIB
    with EchoTestServer(**OVER[over], memory_limit=limit, record=None, close_timeout=0.5) as server:
        offers = [DEFLATE] if over == "deflate" else []
        with connect(server.url_for("/other")) as other:

            def is_served() -> bool:
                other.send("x" * 1000)
                return bool(other.recv(10) == "x" * 1000)

            assert is_served()
            before = server.stats().memory_used
            with server.fault(kind, path="/", **selectors) as fault:
                with RawClient(server.port, *offers, receive_buffer=4096).opened() as raw:
                    served: list[bool] = []
                    talk = in_thread(lambda: served.extend(is_served() for _ in range(50)))
                    try:
                        sent = raw.fill(frame(2, bytes(1000)) + frame(9, b"ping"), most)
                    except (ConnectionResetError, BrokenPipeError):
                        # That is what the fault is for, or the memory is not enough for all that it makes of a message.
                        sent = 0
                    # Who waits for the client's end takes all, and throws it away.
                    assert sent < most or isinstance(kind, (Close, HalfClose))
                    join(talk)
                    assert served == [True] * 50
                    assert is_served()
                    assert server.stats().memory_used <= limit
                assert fault.hits
            eventually(lambda: server.client_count == 1)
            eventually(lambda: server.stats().memory_used <= before)
            assert is_served()
