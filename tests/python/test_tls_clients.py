"""Clients that are not ours, over TLS: OpenSSL, curl, aiohttp, websockets, picows, and ws of Node.js."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as asyncio_connect

from echoserver import EchoServer
from support import REQUEST, TIMEOUT, connect, frame

if TYPE_CHECKING:
    from conftest import Listen

PROGRAMS = {name: shutil.which(name) for name in ("openssl", "curl", "node", "npm")}
# How long npm may take, with a slow network.
NPM_SECONDS = 45
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]


def need(*names: str) -> list[str]:
    missing = [name for name in names if PROGRAMS[name] is None]
    if missing:
        pytest.skip(f"NOT TESTED WITH {' '.join(names).upper()}: {', '.join(missing)} is not installed")
    return [path for name in names if (path := PROGRAMS[name])]


@pytest.fixture
def server(run: Listen) -> EchoServer:
    return run(tls="self-signed")


@pytest.fixture
def ca(server: EchoServer, tmp_path: Path) -> str:
    assert server.ca_pem is not None
    path = tmp_path / "ca.pem"
    path.write_text(server.ca_pem)
    return str(path)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(server: EchoServer, ca: str, version: str) -> None:
    (openssl,) = need("openssl")
    options = [
        "-quiet",
        "-verify_return_error",
        "-verify_hostname",
        "localhost",
        "-CAfile",
        ca,
        "-x509_strict",
        version,
    ]
    command = [openssl, "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost", *options]
    payload = bytes(range(256)) * 100
    sent = REQUEST + frame(2, payload) + frame(1, b"hello") + frame(8, b"\x03\xe8")
    result = subprocess.run(command, input=sent, capture_output=True, timeout=TIMEOUT, check=True)
    head, _, frames = result.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert frames == b"\x82\x7e" + len(payload).to_bytes(2, "big") + payload + b"\x81\x05hello" + b"\x88\x02\x03\xe8"
    assert server.stats().tls_failures == 0


@pytest.mark.parametrize("version", [("--tls-max", "1.2"), ("--tlsv1.3",)], ids=" ".join)
def test_curl(server: EchoServer, ca: str, version: tuple[str, ...]) -> None:
    (curl,) = need("curl")
    url = server.url.replace("wss:", "https:")
    command = [curl, "-i", "--silent", "--noproxy", "*", "--max-time", str(TIMEOUT), *version, url]
    trusting = subprocess.run([*command, "--cacert", ca], capture_output=True, check=True)
    head, _, body = trusting.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 ")
    assert b"WebSocket" in body
    other = subprocess.run(command, capture_output=True, check=False)
    # CURLE_PEER_FAILED_VERIFICATION
    assert (other.returncode, other.stdout) == (60, b"")


def test_websockets(server: EchoServer) -> None:
    with connect(server.url, ssl=server.ssl_context()) as client:
        for size in SIZES:
            client.send(bytes(size))
            assert client.recv() == bytes(size)


def test_websockets_on_asyncio(server: EchoServer) -> None:
    async def play() -> None:
        options: dict[str, Any] = {"ssl": server.ssl_context(), "compression": None, "max_size": None, "proxy": None}
        async with asyncio.timeout(TIMEOUT), asyncio_connect(server.url, **options) as client:
            for size in SIZES:
                await client.send("x" * size)
            for size in SIZES:
                assert await client.recv() == "x" * size

    asyncio.run(play())


def test_aiohttp(server: EchoServer) -> None:
    async def play() -> None:
        context = server.ssl_context()
        async with (
            asyncio.timeout(TIMEOUT),
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url, ssl=context, max_msg_size=0) as client,
        ):
            for size in SIZES:
                await client.send_bytes(bytes(size))
            for size in SIZES:
                assert await client.receive_bytes() == bytes(size)
            await client.close(code=4000)
            assert client.close_code == 4000

    asyncio.run(play())


def test_picows(server: EchoServer) -> None:
    picows = pytest.importorskip("picows", reason="NOT TESTED WITH PICOWS: it is not installed")

    async def play() -> None:
        loop = asyncio.get_running_loop()
        received: asyncio.Queue[bytes] = asyncio.Queue()

        class Listener(picows.WSListener):  # type: ignore[misc, name-defined]
            def on_ws_frame(self, _transport: Any, message: Any) -> None:
                received.put_nowait(message.get_payload_as_bytes())

        async with asyncio.timeout(TIMEOUT):
            transport, _ = await picows.ws_connect(Listener, server.url, ssl_context=server.ssl_context())
            for size in SIZES:
                transport.send(picows.WSMsgType.BINARY, bytes(size))
            for size in SIZES:
                assert await received.get() == bytes(size)
            transport.disconnect()
            await transport.wait_disconnected()
        assert loop.is_running()

    asyncio.run(play())


NODE = """
const { readFileSync } = require("fs");
const WebSocket = require("ws");
const [url, ca, sizes] = process.argv.slice(2);
const expected = JSON.parse(sizes);
const client = new WebSocket(url, { ca: readFileSync(ca), perMessageDeflate: false });
const received = [];
client.on("open", () => expected.forEach((size) => client.send(Buffer.alloc(size, 7))));
client.on("message", (data, isBinary) => {
  received.push(isBinary && data.every((byte) => byte === 7) ? data.length : -1);
  if (received.length === expected.length) client.close(4000, "done");
});
client.on("error", (error) => console.log(JSON.stringify({ error: error.code })));
client.on("close", (code, reason) => {
  if (received.length) console.log(JSON.stringify({ received, code, reason: String(reason) }));
});
"""


@pytest.fixture(scope="module")
def node_modules() -> str:
    """Where ws is; fetched once for this environment."""
    _, npm = need("node", "npm")
    folder = Path(sys.prefix) / "echoserver-tests-node"
    if not (folder / "node_modules" / "ws" / "package.json").exists():
        folder.mkdir(exist_ok=True)
        command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(folder)]
        try:
            subprocess.run([*command, "ws@8"], check=True, capture_output=True, timeout=NPM_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"NOT TESTED WITH NODE'S WS: npm can't fetch it: {error}")
    return str(folder / "node_modules")


@pytest.mark.timeout(2 * NPM_SECONDS)
def test_ws_of_node(server: EchoServer, run: Listen, ca: str, node_modules: str) -> None:
    def play(url: str) -> Any:
        result = subprocess.run(
            [PROGRAMS["node"] or "node", "-e", NODE, "-", url, ca, json.dumps(SIZES)],
            env={"NODE_PATH": node_modules},
            capture_output=True,
            timeout=2 * TIMEOUT,
            check=True,
        )
        return json.loads(result.stdout)

    assert play(server.url) == {"received": SIZES, "code": 4000, "reason": "done"}
    assert "error" in play(run(tls="self-signed").url)
