"""What is measured: the workloads, and which servers are compared in which of them."""
# ruff: noqa: RUF001 - the sign of multiplication is for readers

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    """A number that the generator prints, and how a reader sees it."""

    key: str
    title: str
    unit: str = ""
    scale: float = 1.0

    @property
    def head(self) -> str:
        """The head of a column."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


CPU = Metric("server_cpu_ns_per_msg", "server CPU per message", "µs", 1e-3)
CPU_CONNECT = Metric("server_cpu_ns_per_msg", "server CPU per connection", "µs", 1e-3)
MEDIAN = Metric("p50_us", "median latency", "µs")
P99 = Metric("p99_us", "99th percentile", "µs")
MEMORY = Metric("rss_per_conn_bytes", "memory per idle client", "B")
REPLY = Metric("reply_bytes_per_msg", "bytes per reply")


@dataclass(frozen=True)
class Workload:
    """One kind of load."""

    text: str
    """What it is, for a reader."""
    short: str
    """The same as the head of a column."""
    args: str
    """The generator's arguments."""
    metric: Metric = CPU
    count: int = 0
    """For how many messages or connections the set `counts` counts; 0 where it counts nothing."""
    least_secs: float = 0.0
    """Messages that take long need long measurements."""

    @property
    def steady(self) -> bool:
        """Whether messages are exchanged on connections that stay."""
        return self.args.startswith("echo")

    @property
    def needs_frames(self) -> bool:
        """Whether a plain TCP echo has nothing to do with it."""
        return not self.steady or "--fragments" in self.args

    @property
    def idle(self) -> bool:
        """Whether memory is measured, which needs a fresh process."""
        return self.args.startswith("idle")


def _echo(conns: int, inflight: int, rest: str) -> str:
    return f"echo --conns {conns} --inflight {inflight} {rest}"


JSON = "--text --deflate 15"
MIX = "1,125,126,1000,16384,65535,65536,300000"

WORKLOADS = {
    "W1": Workload(
        "1 client, 1 in flight, 32 B text, generator polls",
        "client polls",
        _echo(1, 1, "--size 32 --text --spin"),
        MEDIAN,
    ),
    "W1z": Workload(
        "1 client, 1 in flight, 32 B text, generator sleeps",
        "client sleeps",
        _echo(1, 1, "--size 32 --text"),
        MEDIAN,
    ),
    "W2": Workload("64 clients, 1 in flight, 125 B binary", "64 × 1, 125 B", _echo(64, 1, "--size 125"), count=25_600),
    "W3": Workload(
        "16 clients, 32 in flight, 125 B binary", "16 × 32, 125 B", _echo(16, 32, "--size 125"), count=204_800
    ),
    "W3t": Workload(
        "16 clients, 32 in flight, 125 B text", "the same, text", _echo(16, 32, "--size 125 --text"), count=204_800
    ),
    "W4": Workload(
        "16 clients, 4 in flight, 16 KiB binary", "16 × 4, 16 KiB", _echo(16, 4, "--size 16384"), count=6_400
    ),
    "W5": Workload("4 clients, 2 in flight, 1 MiB binary", "4 × 2, 1 MiB", _echo(4, 2, "--size 1048576"), count=2_000),
    "W6": Workload(
        "connect, upgrade, 1 message, close; 16 at a time",
        "connect to close",
        "connect --conns 16 --size 32 --text",
        CPU_CONNECT,
        count=2_000,
    ),
    "churn": Workload(
        "connect, upgrade, 1 message, gone without a close; 16 at a time",
        "connect and vanish",
        "connect --conns 16 --size 32 --text --vanish",
        CPU_CONNECT,
        count=2_000,
    ),
    "W7": Workload("5,000 idle clients", "5,000 idle", "idle --conns 5000 --secs 1", MEMORY),
    "Z1": Workload(
        "16 clients, 4 in flight, 1 KiB of JSON, compressed with a window of 15 bits and context takeover",
        "1 KiB",
        _echo(16, 4, f"--size 1024 {JSON}"),
    ),
    "Z1n": Workload(
        "the same without context takeover", "1 KiB alone", _echo(16, 4, f"--size 1024 {JSON} --no-takeover")
    ),
    "Z64": Workload("64 KiB, with context takeover", "64 KiB", _echo(16, 4, f"--size 65536 {JSON}"), least_secs=0.5),
    "tiny": Workload("16 clients, 32 in flight, 1 B", "1 B", _echo(16, 32, "--size 1 --verify all")),
    "fragments": Workload(
        "16 clients, 4 in flight, 6,400 B in 100 fragments",
        "100 fragments",
        _echo(16, 4, "--size 6400 --fragments 100 --verify all"),
        count=1_600,
    ),
    "segments": Workload(
        "16 clients, 1 in flight, 12,800 B in 100 writes",
        "100 segments",
        _echo(16, 1, "--size 12800 --segments 100 --verify all"),
    ),
    "mix": Workload(
        f"16 clients, 4 in flight, one after the other {MIX.replace(',', ', ')} B",
        "mixed sizes",
        _echo(16, 4, f"--size {MIX} --verify all"),
    ),
    "crowd": Workload("2,000 clients, 1 in flight, 125 B", "2,000 clients", _echo(2000, 1, "--size 125 --verify all")),
    "huge": Workload(
        "1 client, 1 in flight, 64 MiB", "64 MiB", _echo(1, 1, "--size 67108864 --verify all"), least_secs=1.0
    ),
}
ODD = ("tiny", "fragments", "segments", "mix", "crowd", "huge")


@dataclass(frozen=True)
class Comparison:
    """Servers that are compared, and with which baseline in which workload."""

    title: str
    servers: tuple[str, ...]
    baselines: dict[str, str]
    extra: tuple[Metric, ...] = ()
    """Figures that are told as they are, beside the ratios."""
    rounds: int = 100
    """At most so many."""
    cores: int = 1
    """How many the server is meant to have."""
    rivals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Who does the same as each of ours; empty: all but the limits do."""

    @property
    def workloads(self) -> tuple[str, ...]:
        """By name, in their order."""
        return tuple(name for name in WORKLOADS if name in self.baselines)


NATIVE = ("tcp_epoll", "ws_own", "uwebsockets", "tt_cork", "tt_naive", "echoserver")
PYTHON = ("picows+uvloop", "aiohttp+uvloop", "websockets+uvloop", "pyside6")
EVERYONE = (*NATIVE[1:], *PYTHON, "node_ws")
MESSAGES = ("W2", "W3", "W3t", "W4", "W5")

COMPARISONS = {
    "native": Comparison("Native echo", NATIVE, dict.fromkeys(MESSAGES, "tcp_epoll") | {"W5": "ws_own"}),
    "callbacks": Comparison(
        "Echo through Python callbacks",
        (*PYTHON, "node_ws", "echoserver-noop", "echoserver-reply", "echoserver-noop+0", "echoserver-reply+0"),
        dict.fromkeys(MESSAGES, "picows+uvloop"),
    ),
    "asyncio": Comparison(
        "Echo on an asyncio loop",
        (*PYTHON[:3], "echoserver-asyncio", "echoserver-coroutine"),
        dict.fromkeys(("W2", "W3"), "picows+uvloop"),
    ),
    "qt": Comparison(
        "Qt's echo server example, by the Qt that it imports",
        ("qt-original", "qt-objects", "qt-alone"),
        dict.fromkeys(MESSAGES[:-1], "qt-original"),
        rivals=dict.fromkeys(("qt-objects", "qt-alone"), ("qt-original",)),
    ),
    "latency": Comparison(
        "Latency of a single message",
        ("tcp_epoll", "ws_own", "uwebsockets", "echoserver", "echoserver-reply", "echoserver-reply+0", *PYTHON[:3]),
        dict.fromkeys(("W1", "W1z"), "ws_own"),
        (MEDIAN, P99),
        rivals={"echoserver": ("uwebsockets", *PYTHON[:3])}
        | dict.fromkeys(("echoserver-reply", "echoserver-reply+0"), PYTHON[:3]),
    ),
    "connect": Comparison("Connect, one message, close", EVERYONE, {"W6": "ws_own"}),
    "churn": Comparison("Connect, one message, vanish", EVERYONE, {"churn": "ws_own"}),
    "idle": Comparison(
        "Idle clients",
        # Qt takes a minute to accept so many.
        tuple(name for name in EVERYONE if name != "pyside6"),
        {"W7": "ws_own"},
        (
            Metric("rss_before_kb", "before", "KiB"),
            MEMORY,
            Metric("rss_per_conn_after_echo_bytes", "after an echo each", "B"),
            Metric("rss_after_close_kb", "after they left", "KiB"),
        ),
        rounds=3,
    ),
    "tls": Comparison(
        "Echo through TLS",
        ("picows+tls", "aiohttp+tls", "websockets+tls", "node_ws+tls", "echoserver+tls"),
        dict.fromkeys(("W2", "W3", "W4"), "picows+tls"),
    ),
    "deflate": Comparison(
        "Compressed echo",
        (
            *("node_ws+deflate6", "websockets+deflate6", "echoserver+deflate6"),
            # Level 2 of zlib-rs makes about the size of zlib's 1.
            *("aiohttp+deflate1", "echoserver+deflate1", "echoserver+deflate2"),
        ),
        dict.fromkeys(("Z1", "Z1n", "Z64"), "websockets+deflate6"),
        (REPLY,),
        # Who makes about the same size.
        rivals={
            "echoserver+deflate6": ("node_ws+deflate6", "websockets+deflate6"),
            "echoserver+deflate2": ("aiohttp+deflate1",),
        },
    ),
    "workers": Comparison(
        "Two workers",
        ("echoserver", "echoserver+2"),
        dict.fromkeys(("W2", "W3", "W4"), "echoserver"),
        cores=2,
    ),
    "odd": Comparison(
        "Odd traffic, every byte compared",
        ("tcp_epoll", "ws_own", "uwebsockets", "tt_cork", "echoserver"),
        dict.fromkeys(ODD, "tcp_epoll") | {"fragments": "ws_own"},
        rounds=5,
    ),
}


@dataclass(frozen=True)
class Curve:
    """One kind of work, in growing amounts."""

    title: str
    amount: str
    """What the amount counts."""
    points: tuple[int, ...]
    args: Callable[[int], str]
    messages: Callable[[int], int] = lambda _: 1
    """For how many messages of the generator's the cost is told."""
    least_secs: Callable[[int], float] = lambda _: 0.0

    def workload(self, point: int) -> str:
        """The name of a point's workload."""
        return f"{self.amount}={point}"


CURVES = (
    Curve(
        "Cost of a message by its size",
        "bytes",
        (1, 16, 125, 1024, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20),
        lambda n: _echo(4 if n <= 1 << 20 else 1, 1, f"--size {n} --verify all"),
        least_secs=lambda n: 1.0 if n > 4 << 20 else 0.0,
    ),
    Curve(
        "Cost of a message by its fragments (64 B each)",
        "fragments",
        (1, 3, 10, 30, 100, 300, 1000),
        lambda n: _echo(4, 1, f"--size {64 * n} --fragments {n} --verify all"),
    ),
    Curve(
        "Cost of a message by its TCP segments (128 B each)",
        "segments",
        (1, 3, 10, 30, 100, 300, 1000),
        lambda n: _echo(4, 1, f"--size {128 * n} --segments {n} --verify all"),
    ),
    Curve(
        "Cost of one message from each of the clients (125 B)",
        "clients",
        (1, 10, 30, 100, 300, 1000, 2000),
        lambda n: _echo(n, 1, "--size 125 --verify all"),
        messages=lambda n: n,
    ),
)
WORKLOADS |= {
    curve.workload(n): Workload(
        f"{curve.title}: {n:,} {curve.amount}", f"{n:,}", curve.args(n), least_secs=curve.least_secs(n)
    )
    for curve in CURVES
    for n in curve.points
}
