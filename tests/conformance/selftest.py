"""Shows that a run can be trusted: a conforming server passes, and the cases meant to find a planted fault find it.

run --selftest [FAULT ...]
"""

import sys
import time
from pathlib import Path

import suite
from mutants import FAULTS
from run import WITHOUT_COMPRESSION, differences, read_expected
from server import running

# fault -> (cases that must find it, cases that must pass all the same)
PLAN = {
    "no-utf8": (
        "6.3.1,6.3.2,6.4.*,6.6.1,6.8.2,6.10.1,6.12.1,6.14.3,6.16.1,6.17.2,6.18.4,6.19.5,6.20.1,6.21.8",
        "6.2.1",
    ),
    "late-utf8": ("6.4.3,6.4.4", "6.4.1,6.4.2,6.3.1"),
    "ignore-rsv": ("3.*", "1.1.2"),
    "wrong-payload": (
        "1.1.2,1.1.8,1.2.2,6.2.1,6.2.4,9.1.1,9.2.1,9.3.9,9.5.6,9.7.2,9.8.3,10.1.1,12.1.1,12.2.3,13.1.2",
        "1.1.1,2.2",
    ),
    "wrong-long-payload": ("1.1.6,9.1.1,9.1.6,9.2.1,9.4.9,9.5.6,9.6.6,9.7.5,9.8.6,12.1.5,12.2.5", "1.1.2"),
    "wrong-type": ("1.1.1,1.1.2,5.3,6.2.1,9.1.1,9.7.1,10.1.1,12.1.1", "1.2.2"),
    "duplicate": ("5.15", "2.2"),
    "truncate": ("9.1.2,9.2.3,9.3.8,9.4.8,9.5.6,9.6.6,12.1.10", "1.1.7,9.1.1"),
    "drop-empty": ("1.1.1,1.2.1,6.1.1,6.1.2", "1.1.2"),
    "no-pong": ("2.1,2.2,2.3,2.4,2.6,2.9,2.10,2.11,5.6,5.7,5.8,5.19,5.20", "2.7"),
    "empty-pong": ("2.2,2.3,2.4,2.6,2.9,2.10,2.11,5.6,5.19", "2.1"),
    "long-control": ("2.5,7.3.6", "2.4"),
    "any-opcode": ("4.*", "1.1.2"),
    # 5.2 cannot tell: the continuation frame after the fragmented pong is an error by itself.
    "fragmented-control": ("5.1", "5.2,5.3"),
    "any-continuation": ("5.9,5.10,5.11,5.12,5.13,5.14,5.15,5.16,5.17,5.18", "5.3"),
    "any-close": ("7.3.2,7.5.1,7.9.*", "7.3.6,7.7.*"),
    "no-close": ("1.1.1,7.1.1,7.3.1,7.7.1", "2.5"),
    "ignore-close": ("1.1.1,7.1.1,7.3.1,7.7.1", "2.5"),
    # Close codes that the suite itself lets pass: expected.json finds them.
    "close-1000": ("7.7.2,7.7.13", "7.7.1"),
    "wrong-code": ("2.5,3.1,4.1.1,5.1,6.3.1,7.5.1", "1.1.2"),
    "silent-failure": ("2.5,3.1,4.1.1,5.1,6.3.1,7.3.2,7.5.1,7.9.1", "1.1.2"),
    "bad-accept": ("1.1.1,3.1,7.13.1,12.1.1,13.1.1", ""),
    "masked": ("1.1.1,2.1,9.1.1,12.1.1", ""),
    "deflate-fresh-inflate": ("12.1.2,12.3.3,13.1.4", "1.1.2"),
    # 13.5.* cannot tell: within one message inflate still has the octets of longer distances.
    "deflate-window": ("13.3.8", "12.1.8,13.5.2"),
    "deflate-tail": ("12.1.2,12.2.3,12.3.1", "1.1.2"),
    "deflate-no-rsv1": ("12.1.1,12.2.1,13.2.2", "1.1.2"),
    "deflate-unasked-bits": ("12.1.1,13.1.1", "1.1.2"),
    "no-deflate": ("12.1.1,12.2.1,13.2.2", "1.1.2"),
}

CONFORMING = WITHOUT_COMPRESSION + ",12.*.1,12.1.11,13.*.2,13.3.8"

CASE_TIMEOUT = 20.0


def find(faults: list[str], cases: list[str]) -> dict[str, str]:
    """The failed cases of a run against the server with these faults, each with its line of the report."""
    with running([sys.executable, str(Path(__file__).with_name("mutants.py")), *faults]) as url:
        results = suite.run(url, cases, CASE_TIMEOUT)
    broken = [case for case, result in results.items() if result["behavior"] in ("ERROR", "MISSING")]
    if broken:
        sys.exit(f"faults of the harness, not of the server: {[results[case] for case in broken]}")
    return differences(results, read_expected())


def is_conforming_server_accepted() -> bool:
    cases = suite.select(CONFORMING)
    failed = find([], cases)
    print(f"{'(conforming)':<24} {'PROBLEM' if failed else 'ok'}: {len(cases) - len(failed)} of {len(cases)} passed")
    print(*failed.values(), sep="\n", end="")
    return not failed


def is_found(fault: str) -> bool:
    finding, passing = (set(suite.select(patterns)) if patterns else set() for patterns in PLAN[fault])
    failed = find([fault], sorted(finding | passing, key=suite.case_key))
    missed, innocent = finding - failed.keys(), failed.keys() & passing
    print(f"{fault:<24} {'PROBLEM' if missed or innocent else 'ok'}: {len(failed)} cases found it", flush=True)
    for case in sorted(missed, key=suite.case_key):
        print(f"  {case} missed it")
    for case in sorted(innocent, key=suite.case_key):
        print(f"  should pass: {failed[case]}")
    return not missed and not innocent


def main(faults: list[str]) -> int:
    suite.check()
    if set(PLAN) != set(FAULTS) or not set(faults) <= set(PLAN):
        sys.exit(f"the faults are: {', '.join(FAULTS)}")
    started = time.monotonic()
    checks = [is_found(fault) for fault in faults or PLAN]
    if not faults:
        checks.append(is_conforming_server_accepted())
    print(f"{time.monotonic() - started:.0f} s; {sum(checks)} passed, {len(checks) - sum(checks)} failed")
    return 0 if all(checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
