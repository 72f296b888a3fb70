"""The block of the page about performance that a run of the benchmarks fills."""

from pathlib import Path

from . import figures
from .servers import HERE

PAGE = HERE.parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- bench -->\n", "<!-- /bench -->\n"


def replace_block(path: Path, text: str) -> None:
    """Puts the text between the marks, with its pictures, which are drawn beside the page."""
    whole = path.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        message = f"{path}: no block from {BEGIN.strip()} to {END.strip()}"
        raise SystemExit(message)
    text = figures.write(path, text)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
