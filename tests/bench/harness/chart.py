"""The ratios as a picture: one panel of bars per workload, on a logarithmic scale."""

import math
from collections.abc import Sequence
from html import escape

from .report import number, ratios
from .rounds import Results
from .stats import Ratio
from .workloads import WORKLOADS, Comparison

COLUMNS = 2
PANEL = 520
LABEL = 130
VALUE = 50
ROW = 18
HEAD = 40
FOOT = 26
OURS, OTHERS, INK, FAINT = "#d9480f", "#91a7c0", "#212529", "#ced4da"
STEPS = (1, 2, 5)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


class Axis:
    """Ratio to horizontal position."""

    def __init__(self, found: Sequence[Ratio]) -> None:
        """Spans all intervals, and the baseline's 1."""
        self._low = math.log(min(0.8, *(one.low for one in found)))
        self._high = math.log(max(1.25, *(one.high for one in found)))
        self._width = PANEL - LABEL - VALUE

    def at(self, value: float) -> float:
        """Where a ratio lies, from the panel's left edge."""
        part = (math.log(value) - self._low) / (self._high - self._low)
        return LABEL + part * self._width

    def ticks(self) -> list[float]:
        """Round values within the span."""
        decades = range(math.floor(self._low / math.log(10)), math.ceil(self._high / math.log(10)))
        steps = [float(f"{step}e{decade}") for decade in decades for step in STEPS]
        return [step for step in steps if self._low <= math.log(step) <= self._high]


def _panel(title: str, subtitle: str, found: dict[str, Ratio]) -> tuple[str, int]:
    """A panel at the origin, and its height."""
    axis = Axis(list(found.values()))
    bottom = HEAD + ROW * len(found)
    parts = [_text(0, 14, title, 'font-weight="bold"'), _text(0, 30, subtitle)]
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(f'<path d="M{x:.1f} {HEAD}V{bottom}" stroke="{FAINT}"/>')
        parts.append(_text(x, bottom + 14, f"{tick:g}", 'text-anchor="middle"'))
    one = axis.at(1)
    for row, (server, ratio) in enumerate(sorted(found.items(), key=lambda item: item[1].value)):
        y = HEAD + ROW * row
        x = axis.at(ratio.value)
        fill = OURS if server.startswith("echoserver") else OTHERS
        left, width = min(x, one), abs(x - one)
        bar = f'x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}"'
        low, high, middle = axis.at(ratio.low), axis.at(ratio.high), y + ROW / 2
        parts += [
            _text(LABEL - 8, y + 13, server, 'text-anchor="end"'),
            f'<rect {bar} fill="{fill}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="{INK}" stroke-width="2"/>',
            _text(max(x, one, high) + 5, y + 13, number(ratio.value)),
        ]
    parts.append(f'<path d="M{one:.1f} {HEAD}V{bottom}" stroke="{INK}"/>')
    return "".join(parts), bottom + FOOT


def svg(results: Results, comparisons: Sequence[Comparison]) -> str:
    """The picture of all comparisons."""
    panels = []
    for comparison in comparisons:
        for workload, found in ratios(results, comparison).items():
            about = WORKLOADS[workload]
            title = f"{workload}: {about.text}"
            what = f"{about.metric.title} ÷ {comparison.baselines[workload]}"
            subtitle = f"{comparison.title}: {what}, lower is better"
            panels.append(_panel(title, subtitle, found))
    placed, top = [], 10
    for start in range(0, len(panels), COLUMNS):
        row = panels[start : start + COLUMNS]
        for column, (panel, _) in enumerate(row):
            x = 10 + column * (PANEL + 20)
            placed.append(f'<g transform="translate({x} {top})">{panel}</g>\n')
        top += max(height for _, height in row)
    width = 10 + min(COLUMNS, max(1, len(panels))) * (PANEL + 20)
    size = f'width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
    style = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n'
    background = '<rect width="100%" height="100%" fill="white"/>\n'
    return f"{head}{background}{''.join(placed)}</svg>\n"
