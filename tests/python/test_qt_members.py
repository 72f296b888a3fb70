"""That what a server needs of Qt's classes is there and named by a test, or is refused with a sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from qt_variants import BUILTIN, ORIGINAL, PYSIDE6, environment, needs
from support import FACTOR, finished, program

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "qt-members.md"

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="needs the sources")


def asked(variant: str, question: str) -> Any:
    needs(variant)
    process = program(sys.executable, str(HERE / "qt_members.py"), question, env=environment(variant))
    status, out, err = finished(process, 60 * FACTOR)
    assert status == 0, err
    return json.loads(out)


@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
def test_members_are_there_and_named_by_tests_or_refused(variant: str) -> None:
    found = asked(variant, "--print")
    for row in found["rows"]:
        assert row["tests"] or row["refusal"], f"{row['owner']}.{row['member']} is named by no test"
        # A sentence, not Python's own words.
        assert not row["refusal"] or "has no attribute" not in row["refusal"], row
    assert found["listing"] == DOCUMENT.read_text(encoding="utf-8")


def test_what_else_qt_has_is_for_clients_and_says_so() -> None:
    rows = asked(ORIGINAL, "--others")
    names = {f"{row['owner']}.{row['member']}" for row in rows}
    assert {"QWebSocket.open", "QWebSocketServer.setProxy"} <= names
    for row in rows:
        assert "has no attribute" not in row["refusal"], row
    # What is there all the same.
    there = {f"{row['owner']}.{row['member']}" for row in rows if not row["refusal"]}
    assert there == {"QWebSocket.peerName"}
