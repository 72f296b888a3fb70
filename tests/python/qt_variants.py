"""Which Qt there is to run a program on, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import pytest

__all__ = ["BUILTIN", "ORIGINAL", "PYSIDE6", "environment", "needs"]

# echoserver.qt on the stand-ins; on PySide6; and PySide6's own QtWebSockets.
BUILTIN, PYSIDE6, ORIGINAL = "builtin", "pyside6", "original"


@cache
def _missing(variant: str) -> str | None:
    """Why a variant can't be run here; None if it can."""
    if variant == BUILTIN:
        return None
    if find_spec("PySide6") is None:
        return "PySide6 is not installed here: `make qt-differential` has it"
    module = "echoserver.qt.QtCore" if variant == PYSIDE6 else "PySide6.QtWebSockets"
    command = [sys.executable, "-c", f"import echoserver.qt.QtCore, {module}"]
    result = subprocess.run(command, env=os.environ | environment(PYSIDE6), capture_output=True, text=True, check=False)
    return (result.stderr.strip().splitlines() or [f"status {result.returncode}"])[-1] if result.returncode else None


def needs(variant: str) -> None:
    """Skips the test where `variant` can't be run."""
    missing = _missing(variant)
    if missing:
        pytest.skip(missing)


def environment(variant: str) -> dict[str, str]:
    """What the process has in its environment."""
    return {"ECHOSERVER_QT": BUILTIN if variant == BUILTIN else PYSIDE6, "QT_QPA_PLATFORM": "offscreen"}
