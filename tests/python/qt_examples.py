"""A program of docs/examples/qt under observation, and what clients see of it, as one list of lines."""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path
from typing import Any, Self

from qt_variants import environment
from support import FACTOR, RawClient, connect, finished, program

__all__ = ["EXAMPLES", "LONGEST", "PATIENCE", "Observed"]

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "docs" / "examples" / "qt"
# A program that imports PySide6 starts slowly under load.
PATIENCE = 60 * FACTOR
# Characters of what it prints that are kept of a line.
LONGEST = 2000


class Observed:
    """It runs from the beginning of the `with` to its end."""

    def __init__(self, variant: str, example: str, *arguments: str) -> None:
        """Starts it; its first line ends with the port."""
        command = [sys.executable, "-u", str(HERE / "qt_observed.py"), variant, str(EXAMPLES / f"{example}.py")]
        self._process = program(*command, *arguments, env=environment(variant))
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._is_over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._said: list[str] = []
        self.port = int(self._next("").rsplit(" ", 1)[1])

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def _next(self, what: str) -> str:
        with self._news:
            self._news.wait_for(lambda: self._lines or self._is_over, PATIENCE)
            if not self._lines:
                self._process.kill()
                _, _, err = finished(self._process)
                raise AssertionError(f"the program did not say {what!r}; before: {self._said}\n{err}")
            return self._lines.pop(0)

    def until(self, slot: str) -> None:
        """Notes what it does until it calls `slot`."""
        while True:
            line = self._next(slot)
            if not line.startswith("["):
                self._said.append(("prints " + re.sub(r"<\S*QWebSocket.*>", "<QWebSocket>", line))[:LONGEST])
                continue
            name, arguments = json.loads(line)
            self._said.append(f"calls {name}({', '.join(arguments)})")
            if name == slot:
                return

    def note(self, *words: object) -> None:
        """Notes what a client sees."""
        self._said.append(" ".join(map(str, words)))

    def client(self, scheme: str = "ws", **options: Any) -> Any:
        """A client of it."""
        return connect(f"{scheme}://127.0.0.1:{self.port}/path?query", open_timeout=PATIENCE, **options)

    def raw(self, *lines: str) -> RawClient:
        """One that is only a socket."""
        return RawClient(self.port, *lines)

    def said(self) -> list[str]:
        """All that was noted, when the program has ended: it is killed, as by the user's Ctrl-C."""
        self._process.terminate()
        self._reader.join(PATIENCE)
        rest = [line for line in self._lines if line.startswith("[")]
        return [*self._said, *(f"calls {json.loads(line)[0]}, unexpected" for line in rest)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        finished(self._process)
