"""What the stand-ins for Qt do, by themselves and beside PySide6: the same programs say the same, in the same order."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import pytest

import qt_scripts
from qt_variants import BUILTIN, PYSIDE6, environment, needs
from support import FACTOR, finished, program

HERE = Path(__file__).parent


def names() -> list[str]:
    """Of all scripts, without importing them: that would choose a Qt for this process."""
    found = []
    for file in qt_scripts.FILES:
        lines = (HERE / f"qt_scripts_{file}.py").read_text(encoding="utf-8").splitlines()
        found += [
            line[4 : line.index("(")]
            for line in lines
            if line.startswith("def ") and line.endswith("(say: Say) -> None:")
        ]
    return found


@cache
def results(variant: str) -> dict[str, dict[str, list[str]]]:
    """What each script says, and what it has to, from a process that ran them all."""
    process = program(sys.executable, str(HERE / "qt_scripts.py"), env=environment(variant))
    status, out, err = finished(process, 60 * FACTOR)
    assert status == 0, err
    found: dict[str, dict[str, list[str]]] = json.loads(out)
    return found


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
def test_a_script_says_what_it_has_to(variant: str, name: str) -> None:
    needs(variant)
    found = results(variant)[name]
    assert found["says"] == found["expected"]


def test_all_scripts_are_run() -> None:
    assert sorted(results(BUILTIN)) == sorted(names())


def test_what_differs_from_pyside6_says_why() -> None:
    differing = {name: found["why"] for name, found in results(BUILTIN).items() if found["why"]}
    # These are in docs/qt.md.
    assert differing.keys() == {
        "a_direct_slot_runs_where_it_is_emitted",
        "an_argument_of_another_type",
        "sender_in_a_method_that_overrides_one",
    }
