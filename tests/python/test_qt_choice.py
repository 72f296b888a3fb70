"""Whose QtCore it is, and why not."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from support import finished, program

if TYPE_CHECKING:
    from pathlib import Path

ASK = "from echoserver.qt import QtCore; print(QtCore.__name__)"

# A PySide6 whose signals lose a reference to True at each emission, as 6.12.0 does on CPython 3.11.
BROKEN = """
import ctypes

class Emitter:
    def emit(self):
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(True))

def Signal():
    return Emitter()

class QObject:
    pass
"""


def asked(choice: str | None, path: Path | None = None) -> tuple[int, str, str]:
    changes = {} if choice is None else {"ECHOSERVER_QT": choice}
    if path is not None:
        changes["PYTHONPATH"] = os.pathsep.join([str(path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    return finished(program(sys.executable, "-c", ASK, env=changes))


def test_the_stand_ins_can_be_chosen() -> None:
    status, out, err = asked("builtin")
    assert (status, out) == (0, "echoserver.qt.builtin.QtCore\n"), err


def test_another_choice_is_refused() -> None:
    status, _, err = asked("pyqt")
    assert status == 1
    assert "ImportError: ECHOSERVER_QT='pyqt': must be 'pyside6' or 'builtin', or not set" in err


def packages(path: Path, core: str) -> Path:
    """PySide6 and shiboken6, as far as they are asked about."""
    for name, text in {
        "PySide6/__init__.py": "__version__ = '6.12.0'",
        "PySide6/QtCore.py": core,
        "shiboken6/__init__.py": "def isValid(thing): return True",
    }.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    return path


def test_pyside6_is_taken_where_it_is(tmp_path: Path) -> None:
    sound = packages(tmp_path, BROKEN.replace("ctypes.pythonapi.Py_DecRef(ctypes.py_object(True))", "pass"))
    for choice in ("pyside6", ""):
        status, out, err = asked(choice, sound)
        assert (status, out) == (0, "PySide6.QtCore\n"), err


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CPython 3.12 and later keep such references")
def test_a_pyside6_that_loses_references_is_refused(tmp_path: Path) -> None:
    status, _, err = asked("pyside6", packages(tmp_path, BROKEN))
    # It ends in order, too: what was lost in finding out is given back.
    assert status == 1, err
    assert "ImportError: PySide6 6.12.0 on CPython 3.11" in err
    assert "loses a reference at every signal that is emitted" in err


def test_pyside6_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "PySide6").mkdir()
    (tmp_path / "PySide6" / "__init__.py").write_text("")
    status, _, err = asked("pyside6", tmp_path)
    assert status == 1
    assert "ImportError: ECHOSERVER_QT=pyside6: " in err
    assert "PySide6-Essentials" in err
