"""What is measured: the workloads, and which servers are compared in which of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """The number that a workload's ratios are made of."""

    key: str
    title: str


CPU = Metric("server_cpu_ns_per_msg", "server CPU per message")
CPU_CONNECT = Metric("server_cpu_ns_per_msg", "server CPU per connection")
LATENCY = Metric("p50_us", "median latency")
MEMORY = Metric("rss_per_conn_bytes", "memory per idle connection")


@dataclass(frozen=True)
class Workload:
    """One kind of load."""

    text: str
    """What it is, for a reader."""
    args: str
    """The generator's arguments."""
    metric: Metric = CPU
    count: int = 0
    """How many messages `counts.py` exchanges; 0 where it counts nothing."""

    @property
    def steady(self) -> bool:
        """Whether messages are exchanged on connections that stay."""
        return self.args.startswith("echo")


WORKLOADS = {
    "W1": Workload(
        "1 client, 1 in flight, 32 B text, generator polls",
        "echo --conns 1 --inflight 1 --size 32 --text --spin",
        LATENCY,
        10_000,
    ),
    "W1z": Workload(
        "1 client, 1 in flight, 32 B text, generator sleeps",
        "echo --conns 1 --inflight 1 --size 32 --text",
        LATENCY,
        10_000,
    ),
    "W2": Workload(
        "64 clients, 1 in flight, 125 B binary",
        "echo --conns 64 --inflight 1 --size 125",
        count=25_600,
    ),
    "W3": Workload(
        "16 clients, 32 in flight, 125 B binary",
        "echo --conns 16 --inflight 32 --size 125",
        count=204_800,
    ),
    "W3t": Workload(
        "16 clients, 32 in flight, 125 B text",
        "echo --conns 16 --inflight 32 --size 125 --text",
        count=204_800,
    ),
    "W4": Workload(
        "16 clients, 4 in flight, 16 KiB binary",
        "echo --conns 16 --inflight 4 --size 16384",
        count=6_400,
    ),
    "W5": Workload(
        "4 clients, 2 in flight, 1 MiB binary",
        "echo --conns 4 --inflight 2 --size 1048576",
        count=400,
    ),
    "W6": Workload(
        "connect, upgrade, 1 message, close; 16 at a time",
        "connect --conns 16 --size 32 --text",
        CPU_CONNECT,
    ),
    "W7": Workload("5,000 idle clients", "idle --conns 5000 --secs 1", MEMORY),
}


@dataclass(frozen=True)
class Comparison:
    """Servers that are compared, and with which baseline in which workload."""

    title: str
    servers: tuple[str, ...]
    baselines: dict[str, str]


NATIVE = ("tcp_epoll", "ws_own", "uwebsockets", "tt_cork", "tt_naive", "echoserver")
PYTHON = ("picows+uvloop", "aiohttp+uvloop", "websockets+uvloop", "pyside6")
EVERYONE = (*NATIVE[1:], *PYTHON, "node_ws")

SETS = {
    "native": Comparison(
        "Native echo",
        NATIVE,
        dict.fromkeys(("W1", "W1z", "W2", "W3", "W3t", "W4"), "tcp_epoll") | {"W5": "ws_own"},
    ),
    "callbacks": Comparison(
        "Echo through Python callbacks",
        (*PYTHON, "node_ws", "echoserver-noop", "echoserver-reply"),
        dict.fromkeys(("W1", "W1z", "W2", "W3", "W3t", "W4", "W5"), "picows+uvloop"),
    ),
    "connect": Comparison("Connect, one message, close", EVERYONE, {"W6": "ws_own"}),
    "idle": Comparison("Idle clients", EVERYONE, {"W7": "ws_own"}),
}
