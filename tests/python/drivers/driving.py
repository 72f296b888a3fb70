"""What the drivers of Python's clients share: each line of stdin is a case, for which a line of stdout tells what was.

A client connects, and keeps what it receives; "next" it sends back, and at "close" it closes; it reads until its
library says that it is over. It is used as its documentation shows it, and nothing is set but what the case sets. The
first line is "ready".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["NoOption", "Told", "serve"]


class NoOption(Exception):  # noqa: N818
    """The library can't be told to do what the case needs."""


@dataclass
class Told:
    """What the program is told by its client."""

    opened: bool = False
    subprotocol: str | None = None
    messages: list[str] = field(default_factory=list)
    code: int | None = None
    error: str | None = None


def serve(talk: Callable[[dict[str, Any], Told], None]) -> None:
    """Has `talk` do each case, which notes what it is told; what it raises is noted, too."""
    print("ready", flush=True)
    for line in sys.stdin:
        told = Told()
        try:
            talk(json.loads(line), told)
        except Exception as error:  # Whatever it is: that is the question.
            told.error = type(error).__name__
        print(json.dumps(asdict(told)), flush=True)
