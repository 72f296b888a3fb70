"""Bytes per connection that compression costs, for each setting: what is charged, and what the process has resident.

    tests/bench/deflate_memory.py [--clients 300]

Clients of its own, which exchange messages of 64 KiB until every context is as large as it gets, and then are idle.
"""

import argparse
import random
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

SERVER = """
import sys, echoserver
server = echoserver.EchoServer(0, host="127.0.0.1", workers=1, compression="deflate")
server.start()
print(server.port, flush=True)
for _ in sys.stdin:
    print(server.stats().memory_used, flush=True)
"""
SETTINGS = [
    None,
    "",
    "; server_max_window_bits=12; client_max_window_bits=12",
    "; server_max_window_bits=9; client_max_window_bits=9",
    "; client_no_context_takeover",
    "; server_no_context_takeover",
    "; server_no_context_takeover; client_no_context_takeover",
]


def connect(port: int, parameters: str | None) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    lines = [
        "GET / HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    if parameters is not None:
        lines.append(f"Sec-WebSocket-Extensions: permessage-deflate{parameters}")
    client.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    return client


def exchange(client: socket.socket, first: int, payload: bytes) -> None:
    client.sendall(bytes([first]) + struct.pack("!BQ", 0xFF, len(payload)) + bytes(4) + payload)
    file = client.makefile("rb")
    _, short = file.read(2)
    length = short if short < 126 else struct.unpack("!H", file.read(2))[0] if short == 126 else 0
    file.read(length or struct.unpack("!Q", file.read(8))[0])


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def measure(parameters: str | None, count: int, plain: bytes, compressed: bytes) -> tuple[float, float]:
    """Bytes per client: charged and resident, when all have exchanged messages and are idle."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        port = int(server.stdout.readline())
        # What the worker keeps for all of them is there before.
        first = connect(port, parameters)
        for _ in range(3):
            exchange(first, *((0x82, plain) if parameters is None else (0xC2, compressed)))
        before = resident(server.pid)
        clients = [connect(port, parameters) for _ in range(count)]
        for client in clients:
            for _ in range(3):
                exchange(client, *((0x82, plain) if parameters is None else (0xC2, compressed)))
        server.stdin.write("\n")
        server.stdin.flush()
        charged = int(server.stdout.readline())
        growth = resident(server.pid) - before
        server.kill()
        for client in [first, *clients]:
            client.close()
    return charged / (count + 1), growth / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=300)
    count = parser.parse_args().clients
    dice = random.Random(1)
    words = [dice.randbytes(4).hex() for _ in range(3000)]
    plain = " ".join(dice.choices(words, k=7281)).encode().ljust(65536 + 100, b".")
    # Refers back at most 512 bytes and stands alone, so it is fit for every setting; longer than 64 KiB even so.
    deflater = zlib.compressobj(0, zlib.DEFLATED, -9)
    compressed = (deflater.compress(plain) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    print(f"{'offer':<60} {'charged':>10} {'resident':>10}  bytes per client")
    for parameters in SETTINGS:
        charged, growth = measure(parameters, count, plain, compressed)
        name = "(no compression)" if parameters is None else f"permessage-deflate{parameters}"
        print(f"{name:<60} {charged:>10.0f} {growth:>10.0f}")


if __name__ == "__main__":
    main()
