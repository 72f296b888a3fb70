"""Runs pytest. Where CI is set, a few tests that fail are run once more, alone.

    unsteady.py [ARGUMENT OF PYTEST ...]

Tests share a machine there with what nobody knows. One that fails among others and passes alone is told as UNSTEADY,
with what it said: it waits for what nobody promised, or has seen a fault that comes seldom, and is looked into in
either case. When many fail, or a process crashes, nothing is tried again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Tests that may be unsteady at once.
FEW = 3
PASSED = "passed"
FAILED = "FAILED"


def outcome(pytest: Sequence[str | Path], arguments: Sequence[str], *, root: Path = ROOT) -> str:
    """What becomes of the tests in `root`, as a word or a few; `FAILED` if that is a failure.

    `pytest` is the command of pytest, and `arguments` are for the first run only.
    """
    passed, has_crashed = _run([*pytest, *arguments])
    if passed:
        return PASSED
    # Written when a run ends.
    try:
        failed = json.loads((root / ".pytest_cache/v/cache/lastfailed").read_text())
    except FileNotFoundError:
        return FAILED
    if has_crashed or not os.environ.get("CI") or not 0 < len(failed) <= FEW:
        return FAILED
    print(f"\nOnce more, alone: {', '.join(failed)}", flush=True)
    passed, _ = _run([*pytest, "-n0", *failed])
    return f"{PASSED}, but UNSTEADY, failed once and passed alone: {', '.join(failed)}" if passed else FAILED


def _run(command: list[str | Path]) -> tuple[bool, bool]:
    """Whether all pass, and whether a process has crashed; what it prints is passed on."""
    has_crashed = False
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            has_crashed |= "crashed while running" in line
    return process.returncode == 0, has_crashed or process.returncode < 0


if __name__ == "__main__":
    said = outcome([sys.executable, "-m", "pytest"], sys.argv[1:])
    if said != PASSED:
        print(f"\nPython tests: {said}")
    sys.exit(said == FAILED)
