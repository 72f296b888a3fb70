"""How long our server takes to begin and to end, in ms: LIVES CLIENTS. Prints JSON."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from crowd import connect

from echoserver import EchoServer

CROWDS = 5
MESSAGE = b"\x81\x82" + bytes(4) + b"hi"
ECHO = b"\x81\x02hi"


def life() -> tuple[float, float, float]:
    """Constructing and starting; until the first echo has come back; stopping when the client has gone."""
    begin = time.perf_counter()
    server = EchoServer(0, host="127.0.0.1").start()
    started = time.perf_counter()
    with connect(server.port) as client:
        client.sendall(MESSAGE)
        if client.recv(100) != ECHO:
            sys.exit("wrong echo")
        echoed = time.perf_counter()
    while server.stats().clients_closed < 1:
        time.sleep(0.001)
    stopping = time.perf_counter()
    server.stop()
    return started - begin, echoed - begin, time.perf_counter() - stopping


def stop_with(clients: int) -> float:
    """Stopping with so many clients, each of which is told 1001 and answers."""
    with EchoServer(0, host="127.0.0.1") as server:
        command = [sys.executable, str(Path(__file__).with_name("crowd.py")), str(server.port), str(clients)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
            assert crowd.stdout is not None
            crowd.stdout.readline()
            begin = time.perf_counter()
            server.stop()
            took = time.perf_counter() - begin
            told = crowd.stdout.read().strip()
    if told != str(clients):
        sys.exit(f"{told} of {clients} clients were told 1001")
    return took


def main() -> None:
    lives, clients = map(int, sys.argv[1:])
    life()
    start, echo, stop = zip(*(life() for _ in range(lives)), strict=True)
    stops = [stop_with(clients) for _ in range(CROWDS)]
    found = {"construct and start": start, "construct to first echo": echo, "stop when idle": stop}
    found[f"stop with {clients:,} clients"] = stops
    figures = {name: (statistics.median(v), min(v), max(v)) for name, v in found.items()}
    print(json.dumps({name: [1000 * value for value in three] for name, three in figures.items()}))


main()
