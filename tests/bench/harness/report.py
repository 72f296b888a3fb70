"""Pieces of markdown."""

from collections.abc import Iterable, Sequence

from .stats import Ratio


def number(value: float | None, scale: float = 1.0) -> str:
    """A number with about three digits."""
    if value is None:
        return "-"
    value *= scale
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table whose first column is text."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def ratio_text(one: Ratio | None) -> str:
    """A ratio with its interval."""
    if one is None:
        return "-"
    if one.low == one.high:
        return number(one.value)
    return f"{number(one.value)} ({number(one.low)}-{number(one.high)})"


def bullets(title: str, lines: Sequence[str]) -> str:
    """A titled list; nothing when it is empty."""
    return f"{title}:\n\n" + "".join(f"- {line}\n" for line in lines) if lines else ""


def paragraphs(*parts: str) -> str:
    """What is not empty, with empty lines between."""
    return "\n".join(part for part in parts if part)
