"""permessage-deflate with clients of others: `websockets`, aiohttp, and `ws` on Node.js. (Chromium: tests/browser.)"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

import client_packages
from echoserver import Client, Deflate, EchoServer
from support import TIMEOUT, connect, finished, program

if TYPE_CHECKING:
    from conftest import Listen

TEXT = "".join(f"{number * number % 997} " for number in range(60_000))
MESSAGES: list[str | bytes] = ["", "hello", "hello", b"", b"hello", "Grüße, 世界", TEXT[:1000], TEXT.encode(), TEXT]
NODE = Path(__file__).with_name("node")
# Both sides keep their contexts, or neither does.
TAKEOVER = [True, False]
IDS = ["takeover", "no takeover"]
NO_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.fixture(params=["natively", "through callbacks"])
def server(request: pytest.FixtureRequest, run: Listen) -> EchoServer:
    def same(_: Client, message: str | bytes) -> str | bytes:
        return message

    callbacks: dict[str, Any] = {} if request.param == "natively" else {"on_text": same, "on_binary": same}
    return run(compression="deflate", **callbacks)


def is_small(server: EchoServer, size: int) -> None:
    """That much less than `size` bytes went in each direction."""
    stats = server.stats()
    assert stats.bytes_received < size / 2
    assert stats.bytes_sent < size / 2
    assert stats.violations == 0


def total() -> int:
    return sum(len(message) for message in MESSAGES)


@pytest.mark.parametrize("takeover", TAKEOVER, ids=IDS)
@pytest.mark.parametrize("bits", [9, 15])
def test_websockets(server: EchoServer, takeover: bool, bits: int) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=not takeover,
        client_no_context_takeover=not takeover,
        server_max_window_bits=bits,
        client_max_window_bits=bits,
    )
    with connect(server.url, compression=None, extensions=[factory]) as client:
        (extension,) = client.protocol.extensions
        assert extension.name == "permessage-deflate"
        (ours,) = server.clients
        assert ours.extensions.startswith("permessage-deflate" if takeover else NO_TAKEOVER)
        assert f"server_max_window_bits={bits}" in ours.extensions
        for message in MESSAGES:
            client.send(message)
            assert client.recv(TIMEOUT) == message
        # In fragments, and many at once.
        client.send(iter([TEXT[:5000], "", TEXT[5000:]]))
        assert client.recv(TIMEOUT) == TEXT
        for message in MESSAGES * 3:
            client.send(message)
        assert [client.recv(TIMEOUT) for _ in MESSAGES * 3] == MESSAGES * 3
    if bits == 15:
        is_small(server, total())


def test_websockets_by_default(server: EchoServer) -> None:
    with connect(server.url, compression="deflate") as client:
        client.send(TEXT)
        assert client.recv(TIMEOUT) == TEXT
    is_small(server, len(TEXT))


@pytest.mark.parametrize("takeover", TAKEOVER, ids=IDS)
@pytest.mark.parametrize("on_text", [None, lambda _, message: message], ids=["natively", "through callbacks"])
def test_aiohttp(run: Listen, takeover: bool, on_text: Any) -> None:
    # It offers no parameters of the caller's, but does what the server tells it.
    settings = Deflate(server_no_context_takeover=not takeover, client_no_context_takeover=not takeover)
    server = run(compression=settings, on_text=on_text)

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url, compress=15, max_msg_size=0) as client,
        ):
            (ours,) = server.clients
            assert ours.extensions == ("permessage-deflate" if takeover else NO_TAKEOVER)
            assert client.compress == 15
            for message in MESSAGES:
                await (client.send_str(message) if isinstance(message, str) else client.send_bytes(message))
                assert (await client.receive(TIMEOUT)).data == message

    asyncio.run(talk())
    is_small(server, total())


@pytest.fixture(scope="module")
def node_path() -> str:
    """A folder where Node.js finds `ws`."""
    try:
        return str(client_packages.node_modules())
    except client_packages.Missing as missing:
        pytest.skip(f"NO TEST WITH ws: {missing}")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("takeover", TAKEOVER, ids=IDS)
@pytest.mark.parametrize("bits", [9, 15])
def test_ws_on_node(server: EchoServer, node_path: str, takeover: bool, bits: int) -> None:
    offer = {
        "serverNoContextTakeover": not takeover,
        "clientNoContextTakeover": not takeover,
        "serverMaxWindowBits": bits,
        "clientMaxWindowBits": bits,
    }
    process = program("node", str(NODE / "deflate.js"), server.url, json.dumps(offer), env={"NODE_PATH": node_path})
    status, out, err = finished(process)
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert (report["echoed"], report["wrong"], report["code"]) == (report["sent"], 0, 1000), report
    assert report["extensions"] == "permessage-deflate"
    is_small(server, report["bytes"])


def test_settings_of_the_server_hold_for_all_of_them(run: Listen, node_path: str) -> None:
    settings = Deflate(server_no_context_takeover=True, client_no_context_takeover=True, server_max_window_bits=10)
    agreed: list[str] = []
    server = run(compression=settings, on_connect=lambda client: agreed.append(client.extensions))
    with connect(server.url, compression="deflate") as client:
        for message in MESSAGES:
            client.send(message)
            assert client.recv(TIMEOUT) == message

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url, compress=15, max_msg_size=0) as client,
        ):
            await client.send_str(TEXT)
            assert (await client.receive(TIMEOUT)).data == TEXT

    asyncio.run(talk())
    process = program("node", str(NODE / "deflate.js"), server.url, "{}", env={"NODE_PATH": node_path})
    _, out, _ = finished(process)
    assert json.loads(out)["wrong"] == 0
    assert len(agreed) == 3
    for extensions in agreed:
        assert extensions.startswith(NO_TAKEOVER + "; server_max_window_bits=10")
