"""A WebSocket client for a quick try: the part of RFC 6455 that `echoserver send` needs, on asyncio's streams.

It offers no compression, and checks of the server what it needs to go on.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import ssl
import struct
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import SplitResult, urlsplit

from echoserver import printing
from echoserver.cli.roots import roots_in

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BINARY", "CLOSE", "TEXT", "Connection", "NotConnected", "is_secure", "trust"]

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
_PING: Final = 9
_PONG: Final = 10

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PORTS: Final = {"ws": 80, "wss": 443, "http": 80, "https": 443}
# What OpenSSL says of a certificate whose issuer is not trusted: X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT and the next.
_FROM_NOBODY: Final = range(18, 22)
# Bytes that are read of what a refusal says.
_MOST_SAID: Final = 500


def is_secure(url: str) -> bool:
    """Whether a connection to `url` has TLS. ValueError says what a URL should be."""
    return _parsed(url)[0].scheme in {"wss", "https"}


def trust(path: str | None) -> ssl.SSLContext:
    """For a client that trusts the certificates in the file `path`, in PEM, by default the system's.

    OSError for a file that can't be used. Ctrl-C ends the wait for one that is a pipe: OpenSSL's own reading would not.
    """
    if path is None:
        return ssl.create_default_context()
    # What is no ASCII can only be a comment. Nothing at all would be the system's certificates.
    pem = roots_in(path).decode("ascii", "ignore") or "\n"
    try:
        return ssl.create_default_context(cadata=pem)
    except ssl.SSLError:
        raise OSError("has no certificate in PEM (-----BEGIN CERTIFICATE-----), or a broken one") from None


class NotConnected(Exception):  # noqa: N818  # It says what has happened.
    """Why there is no WebSocket, as a sentence."""


class Connection:
    """One conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """With streams that are connected; `open` is for others."""
        self._reader, self._writer = reader, writer
        self.subprotocol: str | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: Sequence[str] = (),
        trust: ssl.SSLContext | None = None,
    ) -> Self:
        """Connects to `url`, with `trust` if it `is_secure`; NotConnected says why it could not."""
        parts, port = _parsed(url)
        try:
            streams = await asyncio.open_connection(parts.hostname, port, ssl=trust)
        except OSError as error:
            raise NotConnected(f"cannot connect to {parts.netloc}: {_reason(error)}") from None
        made = cls(*streams)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        try:
            await made._upgrade(parts.netloc.rpartition("@")[2], target, headers, subprotocols)
        except (OSError, EOFError, ValueError) as error:
            made.end()
            reason = getattr(error, "strerror", None) or "what answers there speaks no HTTP, or ended the connection"
            raise NotConnected(f"no answer to the upgrade request: {reason}") from None
        except BaseException:
            made.end()
            raise
        return made

    async def _upgrade(
        self, host: str, target: str, headers: Sequence[tuple[str, str]], subprotocols: Sequence[str]
    ) -> None:
        key = base64.b64encode(os.urandom(16))
        own = [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key.decode()),
            ("Sec-WebSocket-Version", "13"),
        ]
        if subprotocols:
            own.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
        given = {name.lower() for name, _ in headers}
        lines = [f"{name}: {value}" for name, value in own if name.lower() not in given]
        lines += [f"{name}: {value}" for name, value in headers]
        self._writer.write("\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode("latin-1"))
        await self._writer.drain()
        status, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, answer = status.partition(" ")
        if not version.startswith("HTTP/"):
            raise ValueError
        pairs = (line.partition(":") for line in rest)
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if answer.partition(" ")[0] != "101":
            length = fields.get("content-length", "0")
            said = await self._reader.readexactly(min(int(length), _MOST_SAID))
            answer = f"{answer} {said.decode(errors='replace')}".strip()
            raise NotConnected(f"refused: {printing.escaped(answer)}")
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        if fields.get("sec-websocket-accept") != accept:
            raise NotConnected("the server's Sec-WebSocket-Accept is wrong: it has not understood the request")
        self.subprotocol = fields.get("sec-websocket-protocol")

    async def send(self, opcode: int, payload: bytes) -> None:
        """Sends a frame."""
        length = len(payload)
        if length < 126:  # noqa: PLR2004  # RFC 6455 section 5.2.
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        mask = os.urandom(4)
        key = int.from_bytes((mask * (length // 4 + 1))[:length])
        self._writer.write(head + mask + (int.from_bytes(payload) ^ key).to_bytes(length))
        await self._writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """Kind and payload of the next message, or of the close; pings are answered. EOFError at the end."""
        kind, parts = 0, []
        while True:
            is_last, opcode, payload = await self._frame()
            if opcode == _PING:
                await self.send(_PONG, payload)
            elif opcode == CLOSE:
                return opcode, payload
            elif opcode != _PONG:
                kind = kind or opcode
                parts.append(payload)
                if is_last:
                    return kind, b"".join(parts)

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length == 126:  # noqa: PLR2004
            (length,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif length == 127:  # noqa: PLR2004
            (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
        return bool(first & 0x80), first & 0x0F, await self._reader.readexactly(length)

    def end(self) -> None:
        """Ends the connection, whatever is on its way."""
        self._writer.transport.abort()


def _reason(error: OSError) -> str:
    """Why, in the words of the system, or of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _FROM_NOBODY:
        return f"{error.verify_message}; --ca FILE says which certificates to trust, in PEM"
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", None) or error.strerror or str(error)
    # asyncio has its own words for it, and what a resolver says has a number below 0.
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def _parsed(url: str) -> tuple[SplitResult, int]:
    """The parts of a URL, and the port. ValueError says what it should be."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in _PORTS or not parts.hostname or port == -1 or not url.isprintable() or " " in url:
        raise ValueError("is no URL of a WebSocket, such as ws://localhost:1234/")
    return parts, _PORTS[parts.scheme] if port is None else port
