"""Small programs against `echoserver.qt.QtCore` and `QtNetwork`, each with what it says, on PySide6 and without it.

    ECHOSERVER_QT=builtin python qt_scripts.py        prints what each says and has to say, as JSON

test_qt_builtin.py runs them both ways. They are in the files `qt_scripts_*.py`.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Script", "all_scripts", "script"]

FILES = (
    "signals",
    "objects",
    "threads",
    "loop",
    "values",
    "command_line",
    "servers",
    "sockets",
    "frames",
    "bounds",
    "leaving",
    "given",
    "refusals",
    "turns",
    "behind",
    "main",
)
Say = Callable[..., None]


@dataclass(frozen=True)
class Script:
    """A program, the lines that it says, and where PySide6 says others, why it does."""

    run: Callable[[Say], None]
    says: list[str]
    pyside6: list[str] | None
    why: str


_all: dict[str, Script] = {}


def script(*says: str, pyside6: list[str] | None = None, why: str = "") -> Callable[[Callable[[Say], None]], None]:
    """Registers one. It is handed a function that keeps what it would print."""
    assert (pyside6 is None) == (not why)

    def keep(run: Callable[[Say], None]) -> None:
        assert run.__name__ not in _all
        _all[run.__name__] = Script(run, list(says), pyside6, why)

    return keep


def all_scripts() -> dict[str, Script]:
    """By name."""
    for file in FILES:
        importlib.import_module(f"qt_scripts_{file}")
    return _all


def said(one: Script) -> list[str]:
    """What it says."""
    lines: list[str] = []
    try:
        one.run(lambda *words: lines.append(" ".join(map(str, words))))
    except Exception as error:  # What it was not meant to raise is what it says.
        lines.append(f"{type(error).__name__}: {error}")
    return lines


def main() -> None:
    # One that hangs says where.
    faulthandler.dump_traceback_later(50 * float(os.environ.get("ECHOSERVER_TIMEOUT_FACTOR", "1")), exit=True)
    # Registered in the module that the files import, which is not this one.
    import qt_scripts
    from echoserver.qt.QtCore import QCoreApplication

    application = QCoreApplication(["qt_scripts"])
    is_pyside6 = os.environ.get("ECHOSERVER_QT") == "pyside6"
    results = {
        name: {
            "says": said(one),
            "expected": one.pyside6 if is_pyside6 and one.pyside6 is not None else one.says,
            "why": [one.why] * bool(one.why),
        }
        for name, one in qt_scripts.all_scripts().items()
    }
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    del application


if __name__ == "__main__":
    main()
