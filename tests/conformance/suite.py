"""The converted suite as a whole: its cases, whether it is intact, and a run of some of them in worker processes.

Knows nothing of expectations or of the server's life; one connection and one case at a time is client.py's part.
Runs in the environment that setup.sh builds. As a program it only checks the suite.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, TypedDict

import autobahntestsuite.case as published
from autobahn.websocket.utf8validator import Utf8Validator
from autobahntestsuite.caseset import CaseSet

HERE = Path(__file__).parent

CASES: dict[str, Any] = CaseSet(
    published.CaseSetname,
    published.CaseBasename,
    published.Cases,
    published.CaseCategories,
    published.CaseSubCategories,
).CasesById

# Two, since fuzzer and server take turns: more would only shift time limits on a small machine.
WORKERS = 2

# Seconds. The suite's own limits reach 480 for cases that take a sound server eight.
CASE_TIMEOUT = 120.0


class Result(TypedDict):
    """What became of one case; `detail` says it in words."""

    behavior: str
    behaviorClose: str
    remoteCloseCode: int | None
    detail: str
    milliseconds: int


NOT_RUN = Result(behavior="MISSING", behaviorClose="MISSING", remoteCloseCode=None, detail="not run", milliseconds=0)


def case_key(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


def golden() -> dict[str, str]:
    """Per case, the hash of what the original sends under Python 2 when the connection opens."""
    return json.loads((HERE / "golden.json").read_text(encoding="ascii"))


def select(patterns: str) -> list[str]:
    """The cases that match any of the comma-separated patterns (`1.*,6.4.2`), in order."""
    selected: set[str] = set()
    for pattern in patterns.split(","):
        hits = [case for case in CASES if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), case)]
        if not hits:
            sys.exit(f"no test case matches {pattern!r}")
        selected.update(hits)
    return sorted(selected, key=case_key)


def is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def check() -> None:
    """Ends the program when the converted suite is damaged, by facts that do not depend on the conversion."""
    found = []
    if len(CASES) != 517 or set(golden()) != set(CASES):
        found.append(f"{len(CASES)} cases, expected 517, those of golden.json")
    for name, case in CASES.items():
        if not hasattr(case, "isValid"):
            continue
        payload = case.PAYLOAD.encode("latin-1")
        if is_utf8(payload) != bool(case.isValid):
            found.append(f"{name}: validity of {payload.hex()}")
        if f"0x{payload.hex()}" not in case.DESCRIPTION:
            found.append(f"{name}: the payload is not the described one")
    if CASES["6.2.1"].PAYLOAD.encode("latin-1") != "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode():
        found.append("6.2.1: payload")
    if "wsaccel" not in Utf8Validator.__module__:
        found.append("wsaccel is not in use: 9.*, 12.* and 13.* would run into their time limits")
    if found:
        sys.exit("the converted suite is not what it should be:\n  " + "\n  ".join(found))


def run(url: str, cases: list[str], case_timeout: float = CASE_TIMEOUT) -> dict[str, Result]:
    """Runs the cases, shared out over the workers; a case that a dead worker left is MISSING."""
    shares = [share for i in range(WORKERS) if (share := cases[i::WORKERS])]
    command = [sys.executable, "-W", "ignore", str(HERE / "client.py"), url, str(case_timeout)]
    workers = [subprocess.Popen([*command, *share], stdout=subprocess.PIPE) for share in shares]
    results: dict[str, Result] = {}
    try:
        for worker in workers:
            output, _ = worker.communicate()
            results.update(json.loads(output or "{}"))
    finally:
        for worker in workers:
            worker.kill()
    return {case: results.get(case, NOT_RUN) for case in cases}


if __name__ == "__main__":
    check()
