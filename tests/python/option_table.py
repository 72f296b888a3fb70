"""The options of EchoServer as the table of docs/reference.md: `make options` writes it, test_reference.py compares.

Each thing has one source: what an option does is in the docstring of EchoServer, its default in the signature, and how
the program has it, with what stands for None, in the help of the program.
"""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echoserver import EchoServer
from echoserver.cli import arguments, tls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DOCUMENT", "Option", "document", "options"]

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = ROOT / "docs" / "reference.md"

_BEGIN: Final = "<!-- options: `make options` writes this -->\n"
_END: Final = "<!-- /options -->\n"
# Flags that are not called like the option they are for.
_FOR: Final = {
    "allow_missing_origin": "origins",
    "any_subprotocol": "subprotocols",
    **dict.fromkeys(tls.FILES, "tls"),
}
# Headings of the docstring that are none of a table.
_HEADINGS: Final = {"Arguments, with their defaults in the signature": "", "And": "Besides"}
# Where more is said, in place of these words.
_LINKS: Final = {
    "a `ManualClock` of echoserver.testing": "a [`ManualClock`](testing.md#time) of echoserver.testing",
    "the lines of Qt's example": "[the lines of Qt's example](#what-debug-prints)",
    "bytes that are kept of what clients do, for": "bytes that are kept of what clients do, for "
    "[reading](#reading-what-clients-did):",
    "what it does to clients that it should not": "[what it does to clients](faults.md#as-text) that it should not",
    "of their own connection by URL": "of their own connection [by URL](faults.md#by-url)",
    "a page for browsers": "[a page for browsers](guide.md#in-a-browser)",
    "a GET of `/healthz`": "a GET of [`/healthz`](operations.md#health)",
    "the counters in OpenMetrics": "[the counters](operations.md#metrics) in OpenMetrics",
}


@dataclass
class Option:
    """What is known of one."""

    name: str
    group: str
    text: str
    flags: list[str]
    default: str


def options() -> list[Option]:
    """All but the callbacks, in the order of the docstring."""
    actions = list(arguments.parser()._actions)  # argparse has no other way.
    found = []
    for group, name, text in _told():
        flags = [action for action in actions if _FOR.get(action.dest, action.dest) == name]
        found.append(
            Option(
                name,
                group,
                text,
                [flag for action in flags for flag in action.option_strings],
                _default(name, [action for action in flags if action.dest == name]),
            )
        )
    return found


def _told() -> Iterator[tuple[str, str, str]]:
    """Group, name and text of each, as the docstring has them."""
    group = ""
    for part in re.split(r"\n\n", inspect.getdoc(EchoServer) or ""):
        if part.startswith("- `"):
            for item in re.split(r"\n(?=- )", part):
                named = re.match(r"- `(\w+)`: (.*)", item, re.DOTALL)
                if named:
                    yield group, named[1], re.sub(r"\s+", " ", named[2])
        elif part.endswith(":"):
            group = part.rpartition(". ")[2].removesuffix(":")


def _default(name: str, flags: list[argparse.Action]) -> str:
    value = arguments.DEFAULTS[name]
    if isinstance(value, bool):
        turned = [action for action in flags if isinstance(action, argparse._StoreFalseAction)]
        return ("on" if value else "off") + ("; in the program on" if turned and not value else "")
    if value is None or value == ():
        # What that means is different for each option.
        help_text = " ".join(action.help or "" for action in flags)
        said = re.search(r"\(default: (.*)\)$", help_text)
        return said[1] if said else "none"
    shown: str = arguments._shown(value, "SIZE" if name.endswith(("size", "limit", "queue")) else "")
    return shown


def document(text: str) -> str:
    """The document, with its table."""
    rows = ["| argument | command line | default | |", "| --- | --- | --- | --- |"]
    group = ""
    for option in options():
        if option.group != group:
            group = option.group
            heading = _HEADINGS.get(group, group)
            rows += [f"| **{heading}** | | | |"] * bool(heading)
        flags = ", ".join(f"`{flag}`" for flag in option.flags)
        told = option.text
        for words, link in _LINKS.items():
            told = told.replace(words, link)
        rows.append(f"| `{option.name}` | {flags} | {option.default} | {told} |".replace("|  |", "| |"))
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise SystemExit(f"{DOCUMENT}: no block from {_BEGIN.strip()} to {_END.strip()}")
    return f"{before}{_BEGIN}\n" + "\n".join(rows) + f"\n\n{_END}{after}"


def main() -> None:
    """Writes what has changed."""
    text = DOCUMENT.read_text(encoding="utf-8")
    if (new := document(text)) != text:
        DOCUMENT.write_text(new, encoding="utf-8")
        print("changed:", DOCUMENT.relative_to(ROOT))


if __name__ == "__main__":
    main()
