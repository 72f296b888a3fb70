"""What the pytest plugin costs: at pytest's start where nothing uses it, and the fixture in each test.

`make costs` prints both medians, for docs/testing.md. No test has a limit on them, since a busy machine takes many
times as long.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_STARTS = 41
_TESTS = 500

# Plugins of others that are installed here change nothing then.
_ALONE = [
    "-p",
    "no:cacheprovider",
    *(word for name in ("xdist", "asyncio", "anyio", "timeout", "aiohttp") for word in ("-p", f"no:{name}")),
]

# Imports and registers; pytest goes through its assertion rewriting for that.
_START = """
import importlib.metadata, time
from _pytest.config import PytestPluginManager

took = 0.0

def timed(function, is_ours):
    def call(self, *args, **options):
        global took
        begin = time.perf_counter()
        try:
            return function(self, *args, **options)
        finally:
            if is_ours(self, options):
                took += time.perf_counter() - begin
    return call

entry, manager = importlib.metadata.EntryPoint, PytestPluginManager
entry.load = timed(entry.load, lambda entry, _: (entry.group, entry.name) == ("pytest11", "echoserver"))
manager.register = timed(manager.register, lambda _, options: options.get("name") == "echoserver")

def pytest_unconfigure():
    print("took", took)
"""

# In turn, so that what else happens on the machine meets both.
_FIXTURE = """
for number in range(TESTS):
    exec(f"def test_{number}_with(echo_server): pass\\ndef test_{number}_without(): pass")
"""
_TIMES = """
import statistics, time
import pytest

took = {"with": [], "without": []}

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    begin = time.perf_counter()
    result = yield
    took[item.name.rsplit("_", 1)[1]].append(time.perf_counter() - begin)
    return result

def pytest_unconfigure():
    print("took", statistics.median(took["with"]) - statistics.median(took["without"]))
"""


def took(folder: Path, *options: str) -> float:
    """Seconds, as a session in this folder says."""
    command = [sys.executable, "-m", "pytest", "-q", *_ALONE, *options]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    # Compiled files are kept, as they mostly are; else each start would compile the plugin.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    out = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout
    return float(next(line for line in out.splitlines() if line.startswith("took")).split()[1])


def main() -> None:
    """Prints both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "costs_start.py").write_text(_START, encoding="utf-8")
        start = statistics.median(took(folder, "-p", "costs_start") for _ in range(_STARTS))
        (folder / "costs_times.py").write_text(_TIMES, encoding="utf-8")
        (folder / "test_it.py").write_text(_FIXTURE.replace("TESTS", str(_TESTS)), encoding="utf-8")
        fixture = took(folder, "-p", "costs_times")
    print(f"the plugin at pytest's start, unused: {start * 1000:.2f} ms (median of {_STARTS})")
    print(f"the fixture echo_server in a test: {fixture * 1000:.2f} ms (median of {_TESTS})")


if __name__ == "__main__":
    main()
