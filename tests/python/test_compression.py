"""permessage-deflate (RFC 7692): what is agreed, what goes back how, and what Python's zlib says to it."""

from __future__ import annotations

import dataclasses
import random
import socket
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import NO_REPLY, Client, Deflate, EchoServer, _core
from support import TIMEOUT, RawClient, Watched, connect, eventually

if TYPE_CHECKING:
    from conftest import Listen

TEXT, BINARY, CLOSE, PING, PONG, COMPRESSED = 1, 2, 8, 9, 10, 0x40
TAIL = b"\x00\x00\xff\xff"
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
BOMB_SIZE = 256 * 2**20


class Peer(RawClient):
    """A client whose compression is Python's zlib, and which sees each frame as it is."""

    def __init__(self, port: int, parameters: str = "", *, takeover: bool = True, bits: int = 15) -> None:
        super().__init__(port, OFFER + parameters)
        self.takeover, self.bits = takeover, bits
        self.opened()
        self._begin()

    def _begin(self) -> None:
        self.deflater = zlib.compressobj(6, zlib.DEFLATED, -self.bits)
        self.inflater = zlib.decompressobj(-15)

    def compressed(self, message: bytes) -> bytes:
        if not self.takeover:
            self.deflater = zlib.compressobj(6, zlib.DEFLATED, -self.bits)
        whole = self.deflater.compress(message) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        assert whole.endswith(TAIL) or not message
        return whole.removesuffix(TAIL) or b"\0"

    def send_compressed(self, opcode: int, message: bytes) -> None:
        self.send(opcode | COMPRESSED, self.compressed(message))

    def receive(self) -> tuple[int, bytes]:
        """Opcode, with RSV1 if it was compressed, and the message."""
        head = self.file.read(2)
        if len(head) < 2:
            raise EOFError
        length = head[1]
        if length > 125:
            layout = "!H" if length == 126 else "!Q"
            (length,) = struct.unpack(layout, self.file.read(struct.calcsize(layout)))
        payload = self.file.read(length)
        assert head[0] & 0xB0 == 0x80
        if not head[0] & COMPRESSED:
            return head[0] & 0x7F, payload
        if not self.takeover:
            self.inflater = zlib.decompressobj(-15)
        message = self.inflater.decompress(payload + TAIL)
        assert not self.inflater.unused_data
        return head[0] & 0x7F, message


def agreed(server: EchoServer, *lines: str) -> str:
    """The response to these lines of offers; the client object has to say the same."""
    with RawClient(server.port, *lines) as client:
        client.opened()
        told = client.headers.get("sec-websocket-extensions", "")
        assert [one.extensions for one in server.clients] == [told]
    eventually(lambda: not server.clients, "the end of the client")
    return told


def test_nothing_is_agreed_unless_asked_for(server: EchoServer) -> None:
    assert agreed(server, OFFER) == ""


def test_what_is_agreed_is_visible(run: Listen) -> None:
    server = run(compression="deflate")
    assert agreed(server) == ""
    assert agreed(server, OFFER) == "permessage-deflate"
    assert agreed(server, OFFER + "; client_max_window_bits") == "permessage-deflate"
    assert (
        agreed(server, OFFER + '; server_no_context_takeover; server_max_window_bits="10"; client_max_window_bits=9')
        == "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9"
    )


def test_the_settings_are_what_is_agreed_at_most(run: Listen) -> None:
    server = run(
        compression=Deflate(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=11,
            client_max_window_bits=12,
        )
    )
    both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits="
    assert agreed(server, OFFER) == both + "11"
    assert agreed(server, OFFER + "; client_max_window_bits") == both + "11; client_max_window_bits=12"
    assert agreed(server, OFFER + "; server_max_window_bits=9") == both + "9"


@pytest.mark.parametrize(
    "bad",
    [
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits=010",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-bzip2; level=9",
    ],
)
def test_the_next_offer_is_tried(run: Listen, bad: str) -> None:
    server = run(compression="deflate")
    header = "Sec-WebSocket-Extensions: "
    good = "permessage-deflate; server_max_window_bits=12"
    assert agreed(server, header + bad) == ""
    assert agreed(server, f"{header}{bad}, {good}, permessage-deflate") == good
    assert agreed(server, header + bad, header + good) == good


def test_what_is_no_list_of_extensions_is_refused(server: EchoServer) -> None:
    with RawClient(server.port, OFFER + "; a=") as client:
        assert client.status() == 400
        assert b"Sec-WebSocket-Extensions" in client.file.readline()


def test_defaults_are_those_of_the_core() -> None:
    assert dataclasses.asdict(Deflate()) == _core.DEFLATE_DEFAULTS


@pytest.mark.parametrize(
    ("value", "error", "named"),
    [
        ("gzip", ValueError, "compression='gzip'"),
        (True, TypeError, "compression=True"),
        ({}, TypeError, "compression={}"),
        (Deflate, TypeError, "compression=<class"),
        (Deflate(server_max_window_bits=8), ValueError, "compression=Deflate(server_max_window_bits=8)"),
        (Deflate(client_max_window_bits=16), ValueError, "compression=Deflate(client_max_window_bits=16)"),
        (Deflate(server_max_window_bits=-1), ValueError, "compression=Deflate(server_max_window_bits=-1)"),
        (Deflate(level=10), ValueError, "compression=Deflate(level=10)"),
        (Deflate(level=2**70), ValueError, "compression=Deflate(level="),
        (Deflate(threshold=-1), ValueError, "compression=Deflate(threshold=-1)"),
        (Deflate(threshold=2**70), OverflowError, "compression=Deflate(threshold="),
        (Deflate(level="6"), TypeError, "compression=Deflate(level='6')"),  # type: ignore[arg-type]
        (Deflate(level=True), TypeError, "compression=Deflate(level=True)"),
        (Deflate(server_no_context_takeover=1), TypeError, "compression=Deflate(server_no_context_takeover=1)"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_setting_is_named(listen: Listen, value: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error) as raised:
        listen(compression=value)
    assert str(raised.value).startswith(named)


def messages(seed: int) -> list[bytes]:
    """Texts of all lengths: repetitive, random, empty, and one that refers far back."""
    dice = random.Random(seed)
    words = [dice.randbytes(dice.randrange(1, 9)).hex() for _ in range(200)]
    texts = [" ".join(dice.choices(words, k=dice.choice([1, 20, 300, 9000]))) for _ in range(12)]
    return [b"", *(text.encode() for text in texts), dice.randbytes(3000).hex().encode(), bytes(70_000), b"", b"end"]


@pytest.mark.parametrize("bits", [9, 12, 15])
@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no takeover"])
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_zlib_and_the_server_understand_each_other(run: Listen, bits: int, takeover: bool, level: int) -> None:
    server = run(compression=Deflate(level=level))
    parameters = f"; server_max_window_bits={bits}; client_max_window_bits={bits}"
    if not takeover:
        parameters += "; server_no_context_takeover; client_no_context_takeover"
    with Peer(server.port, parameters, takeover=takeover, bits=bits) as peer:
        # A window of the agreed size has to be enough for what the server sends.
        peer.inflater = zlib.decompressobj(-bits)
        for number, message in enumerate(messages(bits)):
            opcode = [TEXT, BINARY][number % 2]
            peer.send_compressed(opcode, message)
            assert peer.receive() == (opcode | COMPRESSED, message)


def test_what_came_uncompressed_goes_back_uncompressed(run: Listen) -> None:
    for callbacks in ({}, {"on_text": lambda *_: None, "on_binary": lambda *_: None}):
        server = run(compression="deflate", **callbacks)
        with Peer(server.port) as peer:
            for number, message in enumerate(messages(1)):
                opcode = [TEXT, BINARY][number // 2 % 2]
                if number % 2:
                    peer.send(opcode, message)
                    assert peer.receive() == (opcode, message)
                else:
                    peer.send_compressed(opcode, message)
                    assert peer.receive() == (opcode | COMPRESSED, message)


def test_callbacks_get_and_give_plain_messages(run: Listen) -> None:
    def on_text(client: Client, message: str) -> object:
        if message == "nothing":
            return NO_REPLY
        client.send(b"before " + message.encode())
        return message.upper() * 1000

    server = run(compression=Deflate(threshold=20), on_text=on_text)
    with Peer(server.port) as peer:
        peer.send_compressed(TEXT, b"nothing")
        for send in (peer.send_compressed, peer.send):
            send(TEXT, b"Hello")
            assert peer.receive() == (BINARY, b"before Hello")
            assert peer.receive() == (TEXT | COMPRESSED, b"HELLO" * 1000)
        assert server.broadcast("to all " * 10) == 1
        assert peer.receive() == (TEXT | COMPRESSED, b"to all " * 10)
        peer.send_compressed(BINARY, b"below it")
        assert peer.receive() == (BINARY, b"below it")


@pytest.mark.parametrize("on_text", [None, lambda *_: None], ids=["natively", "through callbacks"])
def test_fragments_with_control_frames_between_them(run: Listen, on_text: Any) -> None:
    server = run(compression="deflate", on_text=on_text)
    with Peer(server.port) as peer:
        for message in messages(2):
            rest = peer.compressed(message)
            opcode = TEXT | COMPRESSED
            for length in (1, 0, 100):
                peer.send(opcode, rest[:length], fin=False)
                rest, opcode = rest[length:], 0
                peer.send(PING, b"?")
            peer.send(0, rest)
            answers = [peer.receive() for _ in range(4)]
            assert sorted(answers) == sorted([(PONG, b"?")] * 3 + [(TEXT | COMPRESSED, message)])


def test_blocks_of_all_kinds_and_final_ones(run: Listen) -> None:
    """Also under context takeover, where the window has to survive the end of a stream."""
    server = run(compression="deflate")
    with Peer(server.port) as peer:
        history = b""
        for number, message in enumerate(messages(3)):
            level, strategy = [(0, zlib.Z_DEFAULT_STRATEGY), (6, zlib.Z_FIXED), (9, zlib.Z_DEFAULT_STRATEGY)][
                number % 3
            ]
            window = {"zdict": history[-32768:]} if history else {}
            deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy, **window)
            payload = deflater.compress(message) + deflater.flush(zlib.Z_FINISH)
            # With a final block at the very end, or with what is left of an empty one behind it.
            peer.send(TEXT | COMPRESSED, payload + [b"", b"\0"][number % 2])
            assert peer.receive() == (TEXT | COMPRESSED, message)
            history += message


@pytest.mark.parametrize(
    ("first", "payload", "code"),
    [
        (TEXT | COMPRESSED, b"\x06", 1007),
        (TEXT | COMPRESSED, b"no deflate", 1007),
        (TEXT | COMPRESSED, zlib.compress(b"a whole zlib stream"), 1007),
        (TEXT | COMPRESSED, b"\xf2\x48\xcd\xc9", 1007),
        (TEXT | COMPRESSED, zlib.compress(b"no UTF-8: \xff", wbits=-15), 1007),
        (TEXT | COMPRESSED, zlib.compress(b"cut \xe2\x82", wbits=-15), 1007),
        (0 | COMPRESSED, b"", 1002),
        (PING | COMPRESSED, b"", 1002),
        (PONG | COMPRESSED, b"", 1002),
        (CLOSE | COMPRESSED, b"", 1002),
        (TEXT | 0x20, b"", 1002),
        (TEXT | 0x10, b"", 1002),
        (TEXT | 0x60, b"", 1002),
    ],
)
def test_what_is_wrong_ends_the_connection(run: Listen, first: int, payload: bytes, code: int) -> None:
    server = run(compression="deflate")
    with Peer(server.port) as peer:
        # What came before is echoed.
        peer.send_compressed(TEXT, b"before it")
        peer.send(first, payload)
        assert peer.receive() == (TEXT | COMPRESSED, b"before it")
        assert peer.close_code() == code


def test_the_limit_is_for_what_comes_out(run: Listen) -> None:
    server = run(compression="deflate", max_message_size=2**20)
    with Peer(server.port) as peer:
        peer.send_compressed(BINARY, bytes(2**20))
        assert peer.receive() == (BINARY | COMPRESSED, bytes(2**20))
        peer.send_compressed(BINARY, bytes(2**20 + 1))
        opcode, reason = peer.receive()
        assert (opcode, reason[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
        assert b"max_message_size" in reason


def bomb(size: int) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = bytes(2**20)
    return b"".join(
        [*(deflater.compress(piece) for _ in range(size // len(piece))), deflater.flush(zlib.Z_SYNC_FLUSH)]
    )[:-4]


@pytest.mark.parametrize("fragments", [1, 100], ids=["in one frame", "in fragments"])
def test_bombs_cost_no_more_than_the_limits(run: Listen, fragments: int) -> None:
    limit = 64 * 2**20
    server = run(compression="deflate", max_message_size=8 * 2**20, memory_limit=limit, workers=2)
    payload = bomb(BOMB_SIZE)
    piece = -(-len(payload) // fragments)
    peers = [Peer(server.port) for _ in range(50)]
    for peer in peers:
        for start in range(0, len(payload), piece):
            opcode = 0 if start else BINARY | COMPRESSED
            try:
                peer.send(opcode, payload[start : start + piece], fin=start + piece >= len(payload))
            except (BrokenPipeError, ConnectionResetError):
                break
            # Responses and close frames, which exist already, are charged whatever the limit.
            assert server.stats().memory_used <= limit + len(peers) * 512
    # Others are served meanwhile.
    with Peer(server.port) as other:
        for peer in peers:
            other.send(TEXT, b"still there?")
            assert other.receive() == (TEXT, b"still there?")
            assert server.stats().memory_used <= limit
            with peer:
                assert peer.close_code() in (1009, 1013)
    eventually(lambda: server.stats().memory_used == 0, "all memory given back")


def test_a_client_that_leaves_amid_a_message_leaves_nothing(run: Listen) -> None:
    server = run(compression="deflate")
    watched = bomb(16 * 2**20)
    for _ in range(20):
        with Peer(server.port) as peer:
            peer.send(BINARY | COMPRESSED, watched, fin=False)
            peer.socket.shutdown(socket.SHUT_WR)
    eventually(lambda: not server.clients and server.stats().memory_used == 0, "all memory given back")


def test_a_message_of_64_mib_is_echoed(run: Listen) -> None:
    server = run(compression=Deflate(level=1))
    message = bytes(range(256)) * (2**18)
    with connect(server.url, compression="deflate") as client:
        client.send(message)
        assert client.recv(4 * TIMEOUT) == message


def test_messages_in_the_segment_of_the_request_may_be_compressed(run: Listen) -> None:
    watched = Watched(run, compression="deflate")
    with RawClient(watched.port, OFFER) as client:
        client.send(TEXT | COMPRESSED, b"\xf2\x48\xcd\xc9\xc9\x07\x00")
        client.opened()
        assert client.receive()[0] == TEXT
    assert watched.gone().extensions == "permessage-deflate"
