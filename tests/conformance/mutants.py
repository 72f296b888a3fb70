"""A small WebSocket echo server (standard library only) that can be told to be wrong.

    mutants.py [FAULT ...]

Prints its URL and serves until SIGTERM. Without a FAULT it conforms, strictly; with one it has exactly that fault.
selftest.py uses it to show that each fault is reported, so it must not share code with echoserver.
"""

import asyncio
import base64
import codecs
import hashlib
import re
import signal
import struct
import sys
import zlib
from dataclasses import dataclass, field
from typing import Any

FAULTS = {
    "no-utf8": "text is not checked for UTF-8",
    "late-utf8": "text is checked when a frame is complete, not at the first bad octet",
    "ignore-rsv": "RSV bits are ignored",
    "wrong-payload": "the last octet of an echo is changed",
    "wrong-long-payload": "one octet in the middle of echoes above 1000 octets is changed",
    "wrong-type": "text is echoed as binary",
    "duplicate": "each message is echoed twice",
    "truncate": "echoes are cut at 65536 octets",
    "drop-empty": "empty messages are not echoed",
    "no-pong": "pings are not answered",
    "empty-pong": "pongs carry no payload",
    "long-control": "control frames above 125 octets are accepted",
    "any-opcode": "frames with reserved opcodes are skipped",
    "fragmented-control": "control frames without FIN are accepted",
    "any-continuation": "continuation order is not checked",
    "any-close": "close frames are echoed unchecked",
    "no-close": "a close frame is answered by dropping TCP",
    "ignore-close": "close frames are ignored",
    "close-1000": "every close frame is answered with 1000",
    "wrong-code": "violations are answered with 1011",
    "silent-failure": "violations are answered by dropping TCP",
    "bad-accept": "Sec-WebSocket-Accept is wrong",
    "masked": "frames to the client are masked",
    "deflate-fresh-inflate": "inflate starts anew for each message",
    "deflate-window": "server_max_window_bits is agreed to but not kept",
    "deflate-tail": "the 00 00 ff ff tail of a message is not removed",
    "deflate-no-rsv1": "compressed messages lack RSV1",
    "deflate-unasked-bits": "client_max_window_bits is answered without being offered",
    "no-deflate": "the extension is declined",
}

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class ViolationError(Exception):
    """The client broke the protocol: fail the connection with this close code."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Message:
    """A message of which not all frames have come."""

    opcode: int
    is_compressed: bool
    pieces: list[bytes] = field(default_factory=list)
    utf8: Any = field(default_factory=codecs.getincrementaldecoder("utf-8"))


@dataclass
class Deflate:
    """What was agreed on permessage-deflate, and both contexts."""

    bits: int
    is_fresh: bool
    inflate: Any
    deflate: Any = None

    def compress(self, data: bytes) -> bytes:
        if self.deflate is None or self.is_fresh:
            self.deflate = zlib.compressobj(6, zlib.DEFLATED, -self.bits)
        return self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)


def changed(octet: bytes) -> bytes:
    return b"$" if octet == b"#" else b"#"


def unmask(data: bytes, key: bytes) -> bytes:
    pad = key * (len(data) // 4) + key[: len(data) % 4]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")


class Peer:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: set[str]) -> None:
        self.reader, self.writer, self.faults = reader, writer, faults
        self.deflate: Deflate | None = None
        self.message: Message | None = None

    def has(self, fault: str) -> bool:
        return fault in self.faults

    # Opening

    async def handshake(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {name.lower(): value for name, value in re.findall(r"\r\n([^:\r]+):[ \t]*([^\r]*)", head)}
        key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        if self.has("bad-accept"):
            accept = accept[::-1]
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept}")
        extension = self.agree(headers.get("sec-websocket-extensions", ""))
        if extension:
            lines.append(f"Sec-WebSocket-Extensions: {extension}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    def agree(self, offers: str) -> str | None:
        """Agrees to the first offer of permessage-deflate."""
        offer = next(
            (offer for offer in offers.split(",") if offer.split(";")[0].strip() == "permessage-deflate"), None
        )
        if offer is None or self.has("no-deflate"):
            return None
        reply = ["permessage-deflate"]
        bits = 15
        is_fresh = "server_no_context_takeover" in offer
        if is_fresh:
            reply.append("server_no_context_takeover")
        if window := re.search(r"server_max_window_bits=(\d+)", offer):
            bits = int(window[1])
            reply.append(f"server_max_window_bits={bits}")
        if self.has("deflate-unasked-bits"):
            reply.append("client_max_window_bits=0")
        self.deflate = Deflate(15 if self.has("deflate-window") else bits, is_fresh, zlib.decompressobj(-15))
        return "; ".join(reply)

    # Frames out

    def send(self, opcode: int, payload: bytes, rsv: int = 0) -> None:
        length = len(payload)
        mask = 0x80 if self.has("masked") else 0
        first = 0x80 | rsv << 4 | opcode
        if length < 126:
            head = struct.pack("!BB", first, mask | length)
        elif length < 65536:
            head = struct.pack("!BBH", first, mask | 126, length)
        else:
            head = struct.pack("!BBQ", first, mask | 127, length)
        self.writer.write(head + (b"\0\0\0\0" if mask else b"") + payload)

    def echo(self, opcode: int, data: bytes, is_compressed: bool) -> None:
        if opcode == TEXT and self.has("wrong-type"):
            opcode = BINARY
        if self.has("wrong-payload") and data:
            data = data[:-1] + changed(data[-1:])
        if self.has("wrong-long-payload") and len(data) > 1000:
            i = len(data) // 2
            data = data[:i] + changed(data[i : i + 1]) + data[i + 1 :]
        if self.has("truncate"):
            data = data[:65536]
        if self.has("drop-empty") and not data:
            return
        for _ in range(2 if self.has("duplicate") else 1):
            if not is_compressed or not self.deflate:
                self.send(opcode, data)
                continue
            packed = self.deflate.compress(data)
            self.send(
                opcode,
                packed if self.has("deflate-tail") else packed[:-4],
                rsv=0 if self.has("deflate-no-rsv1") else 4,
            )

    # Frames in

    async def header(self) -> tuple[bool, int, int, int]:
        """FIN, RSV, opcode and payload length, checked as far as they can be before the payload."""
        first, second = await self.reader.readexactly(2)
        fin, rsv, opcode, length = bool(first & 128), first >> 4 & 7, first & 15, second & 127
        is_rsv_allowed = rsv == 0 or (rsv == 4 and self.deflate and opcode in (TEXT, BINARY))
        if not is_rsv_allowed and not self.has("ignore-rsv"):
            raise ViolationError(1002)
        if opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG) and not self.has("any-opcode"):
            raise ViolationError(1002)
        if opcode >= CLOSE and not fin and not self.has("fragmented-control"):
            raise ViolationError(1002)
        if opcode >= CLOSE and length > 125 and not self.has("long-control"):
            raise ViolationError(1002)
        if not second & 128:
            raise ViolationError(1002)
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return fin, rsv, opcode, length

    async def payload(self, length: int, utf8: Any = None) -> bytes:
        """The unmasked payload; text that `utf8` cannot continue fails at the first bad octet."""
        key = await self.reader.readexactly(4)
        pieces = []
        while length:
            piece = await self.reader.read(length)
            if not piece:
                raise ConnectionError
            length -= len(piece)
            piece = unmask(piece, key)
            key = (key * 2)[len(piece) % 4 :][:4]
            if utf8:
                self.check(utf8, piece)
            pieces.append(piece)
        return b"".join(pieces)

    def check(self, utf8: Any, data: bytes, *, is_last: bool = False) -> None:
        try:
            utf8.decode(data, is_last)
        except UnicodeDecodeError:
            raise ViolationError(1007) from None

    def message_of(self, opcode: int, is_compressed: bool) -> Message:
        """The message that a data frame begins or continues."""
        if (opcode == 0) != (self.message is not None) and not self.has("any-continuation"):
            raise ViolationError(1002)
        if self.message is None:
            if is_compressed and self.deflate and self.has("deflate-fresh-inflate"):
                self.deflate.inflate = zlib.decompressobj(-15)
            self.message = Message(opcode or TEXT, is_compressed)
        return self.message

    async def receive(self, message: Message, length: int, fin: bool) -> None:
        is_checked = message.opcode == TEXT and not self.has("no-utf8")
        is_checked_early = is_checked and not message.is_compressed and not self.has("late-utf8")
        data = await self.payload(length, message.utf8 if is_checked_early else None)
        if message.is_compressed and self.deflate:
            try:
                data = self.deflate.inflate.decompress(data + (b"\0\0\xff\xff" if fin else b""))
            except zlib.error:
                raise ViolationError(1007) from None
        if is_checked:
            self.check(message.utf8, b"" if is_checked_early else data, is_last=fin)
        message.pieces.append(data)
        if fin:
            self.message = None
            self.echo(message.opcode, b"".join(message.pieces), message.is_compressed)
            await self.writer.drain()

    def answer_close(self, payload: bytes) -> bool:
        """Whether the connection is over."""
        if self.has("ignore-close") or self.has("no-close"):
            return self.has("no-close")
        if self.has("any-close"):
            self.send(CLOSE, payload[:125])
            return True
        if len(payload) == 1:
            raise ViolationError(1002)
        code = int.from_bytes(payload[:2], "big") if payload else 1000
        if not (code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise ViolationError(1002)
        self.check(codecs.getincrementaldecoder("utf-8")(), payload[2:], is_last=True)
        self.send(CLOSE, struct.pack("!H", 1000 if self.has("close-1000") else code) + payload[2:])
        return True

    async def serve(self) -> None:
        await self.handshake()
        while True:
            fin, rsv, opcode, length = await self.header()
            if opcode in (0, TEXT, BINARY):
                await self.receive(self.message_of(opcode, rsv == 4 and self.deflate is not None), length, fin)
                continue
            payload = await self.payload(length)
            if opcode == CLOSE and self.answer_close(payload):
                return
            if opcode == PING and not self.has("no-pong"):
                self.send(PONG, b"" if self.has("empty-pong") else payload)

    async def run(self) -> None:
        try:
            await self.serve()
        except ViolationError as violation:
            if not self.has("silent-failure"):
                self.send(CLOSE, struct.pack("!H", 1011 if self.has("wrong-code") else violation.code))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writer.close()


async def main(faults: set[str]) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Peer(reader, writer, faults).run()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(client, "127.0.0.1", 0, limit=1 << 20)
    host, port = server.sockets[0].getsockname()
    print(f"ws://{host}:{port}/", flush=True)
    await stop.wait()


if __name__ == "__main__":
    if set(sys.argv[1:]) - set(FAULTS):
        sys.exit("usage: mutants.py [FAULT ...]\n" + "\n".join(f"  {name:<24} {what}" for name, what in FAULTS.items()))
    asyncio.run(main(set(sys.argv[1:])))
