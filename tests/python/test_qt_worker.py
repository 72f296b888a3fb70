"""A worker thread of the application that emits, sends and closes loses nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from qt_variants import BUILTIN, PYSIDE6, environment, needs
from support import FACTOR, finished, program

PROGRAM = Path(__file__).with_name("qt_worker.py")
SECONDS = 3

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("variant", [BUILTIN, PYSIDE6])
def test_a_worker_that_emits_sends_and_closes_loses_nothing(variant: str) -> None:
    needs(variant)
    process = program(sys.executable, str(PROGRAM), str(SECONDS), env=environment(variant))
    status, out, err = finished(process, (SECONDS + 60) * FACTOR)
    assert (status, err) == (0, ""), out
    figures = json.loads(out)
    assert figures["first"] == []
    assert figures["connections"] == figures["came"] == figures["gone"] >= 8
    assert figures["sent"] == figures["received"] == figures["emitted"] == figures["heard"] > 0
    # A close does not wait for what the client has still to say.
    assert figures["echoed"] >= figures["echoes"] > 0
