"""Runs the suite against echoserver and compares every result with expected.json.

Started by `run`. Exit status: 0 all as expected, 1 any other result, 2 wrong usage, 77 (from setup.sh) nothing was run.
"""

import argparse
import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import suite
from server import ServerError, free_port, running

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"
ROOT = HERE.parents[1]
RESULTS = ROOT / "target" / "conformance" / "results.json"

# Everything without compression; of the cases with it, every kind of negotiation and data, and the shorter messages.
IN_MINUTES = ",".join(
    [
        "1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.*,10.*,12.1.*",
        *(f"12.*.{number},13.*.{number}" for number in range(1, 9)),
    ]
)
# What a server without compression has, but for the limits and the speed of long messages.
WITHOUT_COMPRESSION = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*"
GOOD = ("OK", "INFORMATIONAL")

# [behavior, behaviorClose, remoteCloseCode]
Verdict = list[str | int | None]


def verdict(result: suite.Result) -> Verdict:
    return [result["behavior"], result["behaviorClose"], result["remoteCloseCode"]]


def is_good(result: suite.Result) -> bool:
    return result["behavior"] in GOOD and result["behaviorClose"] in GOOD


def read_expected() -> dict[str, Verdict]:
    return json.loads(EXPECTED.read_text(encoding="ascii"))


def write_expected(expected: dict[str, Verdict]) -> None:
    lines = [f"{json.dumps(case)}: {json.dumps(expected[case])}" for case in sorted(expected, key=suite.case_key)]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")


def differences(results: dict[str, suite.Result], expected: dict[str, Verdict]) -> dict[str, str]:
    """The failed cases, each with a line that says why: an unexpected result, or one that is never accepted."""
    failed = {}
    for case, result in results.items():
        wanted = expected.get(case)
        if is_good(result) and verdict(result) == wanted:
            continue
        columns = [" / ".join(map(str, wanted or ["nothing"])), " / ".join(map(str, verdict(result)))]
        failed[case] = f"{case:<8} {columns[0]:<40} {columns[1]:<40} {result['detail']}"
    return failed


def report(results: dict[str, suite.Result], failed: dict[str, str]) -> None:
    groups: dict[str, list[str]] = {}
    for case in results:
        groups.setdefault(case.partition(".")[0], []).append(case)
    for group, cases in groups.items():
        print(f"{group + '.*':<5} {sum(case not in failed for case in cases):>4} of {len(cases):>3} passed")
    if failed:
        print(f"\n{'case':<8} {'expected (behavior / close / code)':<40} {'this run':<40} detail")
        print("\n".join(failed.values()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/conformance/run", description="Run the Autobahn suite.")
    parser.add_argument("--full", action="store_true", help="all cases: also 1,000 long compressed messages each")
    parser.add_argument("--cases", metavar="PATTERNS", help="only these, e.g. '1.*,6.4.2'")
    parser.add_argument("--python", default="python3", metavar="PATH", help="interpreter that has echoserver")
    parser.add_argument(
        "--server-url", metavar="URL", help="test this running server instead, e.g. ws://127.0.0.1:1234"
    )
    parser.add_argument("--qt", action="store_true", help="test `python -m echoserver.qt`: sections 1 to 7 and 10")
    parser.add_argument("--update", action="store_true", help="write the good results to expected.json")
    options = parser.parse_args()
    options.cases = options.cases or ("*" if options.full else WITHOUT_COMPRESSION if options.qt else IN_MINUTES)
    return options


def main() -> int:
    options = arguments()
    suite.check()
    cases = suite.select(options.cases)
    port = free_port() if options.qt else None
    command = [options.python, "-m", "echoserver", "--host", "127.0.0.1", "-p", "0", "--deflate"]
    if options.qt:
        command = [options.python, "-m", "echoserver.qt", "-p", str(port)]
    started = time.monotonic()
    results: dict[str, suite.Result] = {}
    trouble = []
    try:
        with nullcontext(options.server_url) if options.server_url else running(command, port) as url:
            print(f"running {len(cases)} cases against {url}", flush=True)
            results = suite.run(url, cases)
    except (ServerError, OSError) as error:
        trouble.append(f"server: {error}")
    if not results:
        print(*trouble, f"0 passed, {len(cases)} failed", sep="\n")
        return 1

    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="ascii")
    expected = read_expected()
    if options.update:
        expected |= {case: verdict(result) for case, result in results.items() if is_good(result)}
        write_expected(expected)
    failed = differences(results, expected)
    report(results, failed)
    print(f"\n{time.monotonic() - started:.0f} s; details in {RESULTS.relative_to(ROOT)}", *trouble, sep="\n")
    print(f"{len(cases) - len(failed)} passed, {len(failed) + len(trouble)} failed")
    return 1 if failed or trouble else 0


if __name__ == "__main__":
    sys.exit(main())
