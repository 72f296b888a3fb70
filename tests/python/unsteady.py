"""Runs pytest. Where CI is set, a few tests that fail are run once more, alone.

    unsteady.py [ARGUMENT OF PYTEST ...]

Tests share a machine there with what nobody knows. One that fails among others and passes alone is told as UNSTEADY,
with what it said: it waits for what nobody promised, or has seen a fault that comes seldom, and is looked into in
either case. When many fail, or a process of pytest's crashes, nothing is tried again.
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
    # Written at the end of a run that has one.
    list_of_failed = root / ".pytest_cache/v/cache/lastfailed"
    list_of_failed.unlink(missing_ok=True)
    status, printed = _run([*pytest, *arguments])
    if status == 0:
        return PASSED
    try:
        failed = json.loads(list_of_failed.read_text())
    except (FileNotFoundError, ValueError):
        return FAILED
    # Other statuses are of a run that was broken off, with tests that did not run.
    is_whole = status == 1 and "crashed while running" not in printed
    if not is_whole or os.environ.get("CI", "") in {"", "0", "false"} or not 0 < len(failed) <= FEW:
        return FAILED
    print(f"\nOnce more, alone: {', '.join(failed)}", flush=True)
    for one in failed:
        status, printed = _run([*pytest, "-n0", one])
        # Not skipped, which passes as well.
        if status or " 1 passed in " not in printed:
            return FAILED
    return f"{PASSED}, but UNSTEADY, failed once and passed alone: {', '.join(failed)}"


def _run(command: list[str | Path]) -> tuple[int, str]:
    """Its status and what it prints, which is passed on."""
    printed = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                printed.append(line)
        except BaseException:
            process.kill()
            raise
    return process.returncode, "".join(printed)


if __name__ == "__main__":
    said = outcome([sys.executable, "-m", "pytest"], sys.argv[1:])
    if said != PASSED:
        print(f"\nPython tests: {said}")
    sys.exit(said == FAILED)
