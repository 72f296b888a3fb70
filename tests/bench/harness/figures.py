"""The pictures of the page about performance: a set's ratios as bars, drawn from the tables that the page has."""

import re
from pathlib import Path

from . import chart
from .stats import Ratio

# With fewer there is nothing to see.
LEAST = 3
# Room for the longest name of a server.
LABEL = 260
_SET = re.compile(r"^\*\*(.*?)\*\* \(`--set (\w+)`\)$")
_PICTURE = re.compile(r"^!\[.*\]\(performance-\w+\.svg\)\n\n", re.MULTILINE)
_RATIO = re.compile(r"([\d.,]+)(?: \(([\d.,]+)-([\d.,]+)\))?")


def _ratio(cell: str) -> Ratio | None:
    if cell.startswith("1 = "):
        return Ratio(1, 1, 1)
    found = _RATIO.fullmatch(cell)
    if not found:
        return None
    value, low, high = (float(one.replace(",", "")) if one else None for one in found.groups())
    return Ratio(value, value if low is None else low, value if high is None else high) if value else None


def _panels(table: list[list[str]]) -> list[chart.Panel]:
    """One for each column of ratios: those in which a server is the one that the others are compared with."""
    head, rows = table[0], table[2:]
    found = []
    for column in range(1, len(head)):
        ratios = {row[0]: ratio for row in rows if (ratio := _ratio(row[column]))}
        bases = [row for row in rows if row[column].startswith("1 = ")]
        if bases and len(ratios) >= LEAST:
            base = bases[0][column].removeprefix("1 = ")
            found.append(chart.bars(head[column], f"1 is {base}, of {bases[0][0]}", ratios, LABEL))
    return found


def drawn(text: str) -> tuple[str, dict[str, str]]:
    """The block of the page with its pictures, and these, by the names of their files."""
    pictures: dict[str, str] = {}
    out = []
    title, name = "", ""
    for part in _PICTURE.sub("", text).split("\n\n"):
        if heading := _SET.match(part):
            title, name = heading.groups()
        lines = part.splitlines()
        if name and lines and all(line.startswith("| ") for line in lines):
            panels = _panels([line.strip("| ").split(" | ") for line in lines])
            file = f"performance-{name}.svg"
            if panels and file not in pictures:
                pictures[file] = chart.page(panels)
                out.append(f"![{title}: the table below as bars]({file})")
        out.append(part)
    return "\n\n".join(out), pictures


def write(page: Path, text: str) -> str:
    """Writes the pictures of a block beside its page, and returns the block with them."""
    text, pictures = drawn(text)
    for old in page.parent.glob(f"{page.stem}-*.svg"):
        old.unlink()
    for name, picture in pictures.items():
        (page.parent / name).write_text(picture, encoding="utf-8")
    return text
