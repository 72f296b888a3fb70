"""Bombs: 1 MiB that inflates to 1 GiB, a thousand at once, and what ten other clients feel of it.

    tests/bench/bombs.py [--clients 1000] [--fragments 1] [--max-message-size 64MiB] [--memory-limit 1GiB]

Starts the server of the interpreter that runs it. The bombs come from a process of its own, so that they compete with
the ten others for the server alone, as far as the machine has cores. Prints the round trips of the ten, alone and
during the bombs, the close codes, and the most memory: what the server charged, and what its process had resident.
"""

import argparse
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
OTHERS = 10
PAUSE = 0.01
ALONE = 2.0


def payload() -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = bytes(2**20)
    return b"".join([*(deflater.compress(piece) for _ in range(1024)), deflater.flush(zlib.Z_SYNC_FLUSH)])[:-4]


def frames(data: bytes, fragments: int) -> bytes:
    size = -(-len(data) // fragments)
    out = []
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        first = (0 if start else 0x42) | (0x80 if start + size >= len(data) else 0)
        length = struct.pack("!BQ", 0xFF, len(piece)) if len(piece) > 0xFFFF else struct.pack("!BH", 0xFE, len(piece))
        out.append(bytes([first]) + length + bytes(4) + piece)
    return b"".join(out)


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(REQUEST)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert b"permessage-deflate" in head
    return client


def throw(port: int, count: int, fragments: int) -> None:
    """The process of the bombs: all connect, then all send; prints the close codes."""
    wire = frames(payload(), fragments)
    clients = {client.fileno(): client for client in (connect(port) for _ in range(count))}
    print("ready", len(wire), flush=True)
    sys.stdin.readline()
    sent = dict.fromkeys(clients, 0)
    codes: Counter[int] = Counter()
    poll = select.epoll()
    for number, client in clients.items():
        client.setblocking(False)
        poll.register(number, select.EPOLLIN | select.EPOLLOUT)
    while clients:
        for number, events in poll.poll():
            client = clients[number]
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                try:
                    answer = client.recv(200)
                except OSError:
                    answer = b""
                codes[int.from_bytes(answer[2:4], "big")] += 1
                poll.unregister(number)
                clients.pop(number).close()
            elif events & select.EPOLLOUT:
                try:
                    sent[number] += client.send(wire[sent[number] : sent[number] + (1 << 17)])
                except (BrokenPipeError, ConnectionResetError):
                    continue
                if sent[number] == len(wire):
                    poll.modify(number, select.EPOLLIN)
    print(dict(codes), f"{sum(sent.values()) / 2**20:.0f} MiB taken", flush=True)


def others(port: int, times: list[float], refused: list[int], stop: threading.Event) -> None:
    """Ten clients, one message each in flight, compressed for every other: each sends again 10 ms after its answer."""
    clients = [connect(port) for _ in range(OTHERS)]
    hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    messages = {
        client: b"\xc2\x87\0\0\0\0" + hello if index % 2 else b"\x82\x85\0\0\0\0Hello"
        for index, client in enumerate(clients)
    }
    while not stop.is_set():
        started = {}
        for client, message in messages.items():
            started[client] = time.perf_counter()
            client.sendall(message)
        waiting = set(messages)
        while waiting:
            for client in select.select(list(waiting), [], [])[0]:
                answer = client.recv(200)
                if answer[:1] == b"\x88":
                    # The bombs have all the memory, and this client needs some: 1013, try again.
                    refused.append(int.from_bytes(answer[2:4], "big"))
                    waiting.discard(client)
                    client.close()
                    new = connect(port)
                    messages[new] = messages.pop(client)
                    continue
                assert answer[0] == messages[client][0]
                assert len(answer) == 2 + answer[1]
                times.append(time.perf_counter() - started[client])
                waiting.discard(client)
        time.sleep(PAUSE)


def told(name: str, times: list[float]) -> None:
    times = sorted(times)
    p50, p99 = (times[int(len(times) * part)] * 1e3 for part in (0.5, 0.99))
    print(f"{name}: {len(times)} round trips, p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {times[-1] * 1e3:.2f} ms")


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


SERVER = """
import sys, echoserver
server = echoserver.EchoServer(0, host="127.0.0.1", compression="deflate", max_message_size=int(sys.argv[1]),
                               memory_limit=int(sys.argv[2]), workers=int(sys.argv[3]))
server.start()
print(server.port, flush=True)
for _ in sys.stdin:
    print(server.stats().memory_used, flush=True)
"""


def charged(server: "subprocess.Popen[str]", stop: threading.Event) -> Iterator[int]:
    assert server.stdin
    assert server.stdout
    while not stop.wait(0.005):
        server.stdin.write("\n")
        server.stdin.flush()
        yield int(server.stdout.readline())


def wait(process: "subprocess.Popen[str]", over: threading.Event) -> None:
    process.wait()
    over.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--fragments", type=int, default=1)
    parser.add_argument("--max-message-size", type=int, default=64 << 20, help="bytes")
    parser.add_argument("--memory-limit", type=int, default=1 << 30, help="bytes")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--throw", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.throw:
        throw(args.throw, args.clients, args.fragments)
        return
    limits = [str(args.max_message_size), str(args.memory_limit), str(args.workers)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([sys.executable, "-c", SERVER, *limits], **pipes)  # type: ignore[call-overload]
    port = int(server.stdout.readline())
    command = [
        sys.executable,
        __file__,
        f"--throw={port}",
        f"--clients={args.clients}",
        f"--fragments={args.fragments}",
    ]
    bombs = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
    print(bombs.stdout.readline().strip(), "bytes each", flush=True)
    before = resident(server.pid)

    for name, length in (("alone", ALONE), ("during the bombs", None)):
        times: list[float] = []
        refused: list[int] = []
        stop = threading.Event()
        thread = threading.Thread(target=others, args=(port, times, refused, stop))
        thread.start()
        if length is not None:
            time.sleep(length)
        else:
            most = {"charged": 0, "resident": 0}
            over = threading.Event()
            started = time.perf_counter()
            bombs.stdin.write("\n")
            bombs.stdin.flush()
            threading.Thread(target=wait, args=(bombs, over), daemon=True).start()
            for amount in charged(server, over):
                most["charged"] = max(most["charged"], amount)
                most["resident"] = max(most["resident"], resident(server.pid) - before)
            print(f"the bombs took {time.perf_counter() - started:.1f} s; close codes: {bombs.stdout.read().strip()}")
            print(f"memory_limit {args.memory_limit / 2**20:.0f} MiB;", end=" ")
            print(", ".join(f"{what} at most {amount / 2**20:.0f} MiB" for what, amount in most.items()))
        stop.set()
        thread.join()
        told(name, times)
        if refused:
            print(f"{len(refused)} times refused: {dict(Counter(refused))}")
    server.kill()
    server.wait()
    bombs.wait()


if __name__ == "__main__":
    main()
