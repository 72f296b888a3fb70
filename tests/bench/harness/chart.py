"""Panels of a picture: bars of ratios, and lines of curves, on logarithmic scales."""

import math
from collections.abc import Sequence
from html import escape

from .report import number
from .stats import Ratio

Panel = tuple[str, int]
"""SVG at the origin, and its height."""
Points = Sequence[tuple[float, float]]

COLUMNS = 2
WIDTH = 520
LABEL = 160
VALUE = 50
ROW = 18
HEAD = 40
FOOT = 26
PLOT = 260
OURS, OTHERS, INK, FAINT = "#d9480f", "#91a7c0", "#212529", "#ced4da"
STEPS = (1, 2, 5)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _colour(server: str) -> str:
    return OURS if server.startswith("echoserver") else OTHERS


class Axis:
    """Value to position, logarithmically."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        """Spans all values."""
        self._low, self._high = math.log(min(values)), math.log(max(values) * 1.001)
        self._start, self._length = start, end - start

    def at(self, value: float) -> float:
        """Where a value lies."""
        return self._start + (math.log(value) - self._low) / (self._high - self._low) * self._length

    def ticks(self, steps: Sequence[int] = STEPS) -> list[float]:
        """Round values within the span."""
        decades = range(math.floor(self._low / math.log(10)), math.ceil(self._high / math.log(10)) + 1)
        values = [float(f"{step}e{decade}") for decade in decades for step in steps]
        return [value for value in values if self._low <= math.log(value) <= self._high]


def bars(title: str, subtitle: str, found: dict[str, Ratio], label: int = LABEL) -> Panel:
    """Ratios from a line at 1, with their intervals; `label`: room for names."""
    ends = [end for one in found.values() for end in (one.low, one.high)]
    axis = Axis([0.8, 1.25, *ends], label, WIDTH - VALUE)
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
        left, width = min(x, one), abs(x - one)
        bar = f'x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}"'
        low, high, middle = axis.at(ratio.low), axis.at(ratio.high), y + ROW / 2
        parts += [
            _text(label - 8, y + 13, server, 'text-anchor="end"'),
            f'<rect {bar} fill="{_colour(server)}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="{INK}" stroke-width="2"/>',
            _text(max(x, one, high) + 5, y + 13, number(ratio.value)),
        ]
    parts.append(f'<path d="M{one:.1f} {HEAD}V{bottom}" stroke="{INK}"/>')
    return "".join(parts), bottom + FOOT


def lines(title: str, subtitle: str, curves: dict[str, Points]) -> Panel:
    """Curves, each with its points; a grey diagonal grows in proportion."""
    points = [point for curve in curves.values() for point in curve]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    bottom = HEAD + PLOT
    across, up = Axis(xs, 60, WIDTH - 20), Axis(ys, bottom - 10, HEAD + 10)
    parts = [_text(0, 14, title, 'font-weight="bold"'), _text(0, 30, subtitle)]
    for tick in across.ticks((1,)):
        x = across.at(tick)
        parts.append(f'<path d="M{x:.1f} {HEAD}V{bottom}" stroke="{FAINT}"/>')
        parts.append(_text(x, bottom + 14, f"{tick:,.0f}", 'text-anchor="middle" font-size="9"'))
    for tick in up.ticks((1,)):
        y = up.at(tick)
        parts.append(f'<path d="M60 {y:.1f}H{WIDTH - 20}" stroke="{FAINT}"/>')
        parts.append(_text(54, y + 4, f"{tick:,g}", 'text-anchor="end"'))
    for server, curve in curves.items():
        spots = [(across.at(x), up.at(y)) for x, y in curve]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{_colour(server)}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(server)}"/>' for x, y in spots]
    for row, server in enumerate(curves):
        parts.append(_text(70, HEAD + 16 + ROW * row, server, f'fill="{_colour(server)}"'))
    (x, y), end = max(points), min(xs)
    start = y / x * end
    if start < min(ys):
        start, end = min(ys), x * min(ys) / y
    dashes = 'stroke-dasharray="4 4"'
    line = f"M{across.at(end):.1f} {up.at(start):.1f}L{across.at(x):.1f} {up.at(y):.1f}"
    parts.append(f'<path d="{line}" stroke="{INK}" {dashes}/>')
    return "".join(parts), bottom + FOOT


def page(panels: Sequence[Panel]) -> str:
    """All panels, in columns."""
    placed, top = [], 10
    for start in range(0, len(panels), COLUMNS):
        row = panels[start : start + COLUMNS]
        for column, (panel, _) in enumerate(row):
            x = 10 + column * (WIDTH + 20)
            placed.append(f'<g transform="translate({x} {top})">{panel}</g>\n')
        top += max(height for _, height in row)
    width = 10 + min(COLUMNS, max(1, len(panels))) * (WIDTH + 20)
    size = f'width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
    style = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n'
    background = '<rect width="100%" height="100%" fill="white"/>\n'
    return f"{head}{background}{''.join(placed)}</svg>\n"
