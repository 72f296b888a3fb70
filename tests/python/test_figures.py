"""That the pictures of the page about performance are those of its tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "performance.md").exists(), reason="THERE ARE NO DOCUMENTS")
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from harness.figures import drawn  # noqa: E402  # What it needs stands before it.
from harness.page import BEGIN, END, PAGE  # noqa: E402

TABLE = """**Some load** (`--set some`)

CPU ÷ that of a:

| server | load | µs |
| --- | ---: | ---: |
| a | 1 = 2.00 µs | 2.00 |
| echoserver, b | 0.25 (0.20-0.50) | 0.50 |
| c | 1,024 | 2,048 |
"""


def test_the_page_has_the_pictures_of_its_tables() -> None:
    block = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    text, pictures = drawn(block)
    assert text == block, "run `tests/bench/run --page`"
    assert len(pictures) > 5
    assert {path.name for path in DOCS.glob("performance-*.svg")} == pictures.keys()
    for name, picture in pictures.items():
        assert (DOCS / name).read_text(encoding="utf-8") == picture, name


def test_a_table_is_drawn_as_bars() -> None:
    text, pictures = drawn(TABLE)
    assert "that of a:\n\n![Some load: the table below as bars](performance-some.svg)\n\n| server" in text
    # The column without a server that others are compared with is none of ratios.
    (picture,) = pictures.values()
    assert picture.count("font-weight") == 1
    for part in ("1 is 2.00 µs, of a", ">0.25<", ">1,024<", "echoserver, b"):
        assert part in picture
    # Done again it is the same, and follows the table.
    assert drawn(text) == (text, pictures)
    assert drawn(text.replace("1,024", "512"))[1] != pictures
    assert drawn(TABLE.replace("| c | 1,024 | 2,048 |\n", ""))[1] == {}
