"""What clients do: writes docs/clients.md. `make clients` does it; test_client_table.py compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import client_packages
import surroundings
from client_outcomes import CLIENTS, Driver, outcome
from client_rows import FAULTS, SECTIONS, UNSEEN, Row

__all__ = ["DOCUMENT", "column", "columns", "text", "unseen"]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "clients.md"

_HEAD = """# What clients do

{clients}:
what they do with each answer to a handshake and each violation of [testing](testing.md), and each of the
[faults](faults.md), as they are by default, on Linux. `make clients` writes this page; the tests run all of it again
and compare.

After what the row says the server sends a message "next"; when that has come back, the server closes with 1000. Faults
are set when a first "next" has come back; then the server sends "one", and that "next", except to clients that are to
ping. Those of requests are there from the beginning, and for every request.

- *connects*, *accepts it*: all goes on as if nothing had been.
- *gets*: all goes on, and this is what the program has of "one".
- *closes with*: the client does, with that close code.
- *reports*: the program has that close code, and the client sends no close frame, or gets no answer to it; *nothing*,
  if its library just returns.
- *raises*: the program has that error, and the client sends no close frame.
- *hangs*: nothing, until the server ends the connection.
- *does not offer it*: permessage-deflate (RFC 7692), which the row needs.
- *has no option for it*: its library sends no pings by itself.
"""
_UNSEEN = " (none of them sees it)"


def column(client: str) -> dict[str, str]:
    """What it does, by the names of the rows."""
    with Driver(client) as driver:
        return {row.name: outcome(driver, row) for row in _rows()}


def text(found: dict[str, dict[str, str]]) -> str:
    """The page, of the columns by the names of the clients."""
    versions = client_packages.versions()
    *names, last = [f"{client} {versions[client]}" for client in CLIENTS]
    lines = [_HEAD.format(clients=f"{', '.join(names)} and {last}")]
    not_seen = unseen(found)
    for title, rows in SECTIONS.items():
        is_ruled = rows[0].section != ""
        lines += [f"## {title}\n", _line(["", *["rule", "strict"] * is_ruled, *CLIENTS])]
        lines.append(_line(["---"] * (len(CLIENTS) + (3 if is_ruled else 1))))
        for row in rows:
            rule = [row.section, row.strict] if is_ruled else []
            name = row.name + _UNSEEN * (row.name in not_seen)
            lines.append(_line([name, *rule, *(found[client][row.name] for client in CLIENTS)]))
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def columns(page: str) -> dict[str, dict[str, str]]:
    """What is on the page: what `text` was made of."""
    found: dict[str, dict[str, str]] = {client: {} for client in CLIENTS}
    for line in page.splitlines():
        if line.startswith("|") and not line.startswith(("|  |", "| --- |")):
            name, *cells = line.strip("| ").split(" | ")
            for client, cell in zip(CLIENTS, cells[-len(CLIENTS) :], strict=True):
                found[client][name.removesuffix(_UNSEEN)] = cell
    return found


def unseen(found: dict[str, dict[str, str]]) -> set[str]:
    """The names of the rows in which every client does as if nothing had been."""
    return {row.name for row in _rows() if all(found[client][row.name] == row.good for client in CLIENTS)}


def _rows() -> Iterator[Row]:
    return chain.from_iterable(SECTIONS.values())


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Runs all clients at the same time."""
    surroundings.reset()
    with ThreadPoolExecutor() as pool:
        try:
            found = dict(zip(CLIENTS, pool.map(column, CLIENTS), strict=True))
        except client_packages.Missing as missing:
            sys.exit(f"docs/clients.md is left as it is: {missing}")
    if (not_seen := unseen(found) - {row.name for row in FAULTS}) != UNSEEN:
        sys.exit(f"client_rows.UNSEEN has to be {sorted(not_seen)}")
    DOCUMENT.write_text(text(found), encoding="utf-8")


if __name__ == "__main__":
    main()
