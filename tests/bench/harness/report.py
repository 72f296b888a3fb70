"""The results as markdown."""

from collections.abc import Callable, Iterable, Sequence

from .rounds import Results
from .servers import Spec
from .stats import Ratio, median, ratio, spread
from .workloads import WORKLOADS, Comparison

Cell = Callable[[str, str], str]
"""Server and workload to the text of a table's cell."""


def number(value: float | None, scale: float = 1.0) -> str:
    """A number with about three digits."""
    if value is None:
        return "-"
    value *= scale
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table whose first column is text."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def ratios(results: Results, comparison: Comparison) -> dict[str, dict[str, Ratio]]:
    """By workload, then by server."""
    found: dict[str, dict[str, Ratio]] = {}
    for workload, baseline in comparison.baselines.items():
        base = results.get(baseline, workload)
        key = WORKLOADS[workload].metric.key
        for server in comparison.servers:
            one = ratio(results.get(server, workload), base, key)
            if one:
                found.setdefault(workload, {})[server] = one
    return found


def _ratio_text(one: Ratio | None) -> str:
    if one is None:
        return "-"
    if one.low == one.high:
        return number(one.value)
    return f"{number(one.value)} ({number(one.low)}-{number(one.high)})"


class Report:
    """Makes the text, part by part."""

    def __init__(self, results: Results, servers: dict[str, Spec]) -> None:
        """Takes what was run."""
        self._results = results
        self._servers = [name for name in servers if name in results.runs]
        self._texts = servers
        found = {name for runs in results.runs.values() for name in runs}
        self._workloads = [name for name in WORKLOADS if name in found]

    def text(self, comparisons: Sequence[Comparison], about: str) -> str:
        """The whole report."""
        parts = [about, self._legend(), *map(self._comparison, comparisons), *self._figures()]
        left_out = [f"{name}: {why}" for name, why in self._results.left_out.items()]
        for title, lines in (("Left out", left_out), ("Errors", self._results.errors())):
            if lines:
                parts.append(f"**{title}**\n\n" + "".join(f"- {line}\n" for line in lines))
        return "\n".join(filter(None, parts))

    def _legend(self) -> str:
        lines = [f"- {name}: {WORKLOADS[name].text}\n" for name in self._workloads]
        lines += ["\n", *(f"- {name}: {self._texts[name].text}\n" for name in self._servers)]
        return "".join(lines)

    def _comparison(self, comparison: Comparison) -> str:
        found = ratios(self._results, comparison)
        if not found:
            return ""
        metrics: dict[tuple[str, str], list[str]] = {}
        for name in found:
            key = (WORKLOADS[name].metric.title, comparison.baselines[name])
            metrics.setdefault(key, []).append(name)
        lines = [f"{', '.join(w)}: {metric} ÷ {base}" for (metric, base), w in metrics.items()]
        head = ["server", *found]
        rows = [
            [server, *(_ratio_text(found[w].get(server)) for w in found)]
            for server in self._servers
            if any(server in of_workload for of_workload in found.values())
        ]
        title = f"**{comparison.title}: ratios, with 95 % intervals (lower is better)**"
        return f"{title}\n\n{'; '.join(lines)}\n\n{table(head, rows)}"

    def _value(self, key: str, scale: float = 1.0) -> Cell:
        return lambda s, w: number(median(self._results.get(s, w), key), scale)

    def _grid(self, title: str, cell: Cell, workloads: Sequence[str]) -> str:
        servers = [s for s in self._servers if any(self._results.get(s, w) for w in workloads)]
        rows = [[s, *(cell(s, w) for w in workloads)] for s in servers]
        return f"**{title}**\n\n{table(['server', *workloads], rows)}"

    def _keys(self, workload: str, keys: dict[str, str]) -> str:
        servers = [s for s in self._servers if self._results.get(s, workload)]
        rows = [[s, *(self._value(key)(s, workload) for key in keys.values())] for s in servers]
        return f"**{workload}**\n\n{table(['server', *keys], rows)}"

    def _figures(self) -> list[str]:
        parts = []
        steady = [name for name in self._workloads if WORKLOADS[name].steady]
        busy = [name for name in self._workloads if name != "W7"]
        if busy:
            cpu = "server_cpu_ns_per_msg"
            title = "Server CPU, ns per message (W6: per connection)"
            parts.append(self._grid(title, self._value(cpu), busy))
            title = "Spread of that over the rounds, (max - min) ÷ median, %"

            def percent(s: str, w: str) -> str:
                return number(spread(self._results.get(s, w), cpu), 100)

            parts.append(self._grid(title, percent, busy))
            title = "Server busy / generator busy, %"
            parts.append(self._grid(title, self._two("server_busy", "gen_busy", 100), busy))
        if steady:
            parts.append(self._grid("Messages per second", self._value("msgs_per_s"), steady))
            title = "Latency p50 / p99, µs"
            parts.append(self._grid(title, self._two("p50_us", "p99_us"), steady))
        if "W6" in self._workloads:
            keys = {
                "connections/s": "msgs_per_s",
                "upgrade p50, µs": "upgrade_p50_us",
                "whole p50, µs": "p50_us",
                "whole p99, µs": "p99_us",
                "left open by the server": "left_open",
            }
            parts.append(self._keys("W6", keys))
        if "W7" in self._workloads:
            keys = {
                "before, kB": "rss_before_kb",
                "idle, bytes per client": "rss_per_conn_bytes",
                "after one echo each": "rss_per_conn_after_echo_bytes",
                "after they left, kB": "rss_after_close_kb",
            }
            parts.append(self._keys("W7", keys))
        return parts

    def _two(self, first: str, second: str, scale: float = 1.0) -> Cell:
        one, two = self._value(first, scale), self._value(second, scale)
        return lambda s, w: f"{one(s, w)} / {two(s, w)}"
