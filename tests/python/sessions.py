"""Sessions of pytest, each with a file of tests of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from support import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path


HEAD = """
import asyncio, gc, threading, unittest, weakref
import pytest
from websockets.sync.client import connect
from echoserver.testing import EchoTestServer, Response

def fails(client, message):
    raise ValueError(f"no {message}")
"""


# pytest shows another summary where one of these says so, as it does in CI.
LOOKS = ("CI", "BUILD_NUMBER", "COLUMNS", "PYTEST_ADDOPTS", "FORCE_COLOR", "PY_COLORS")


def session(folder: Path, source: str, *options: str, plugins: str = "") -> tuple[str, dict[str, int]]:
    """What a session with one file of tests prints, and how many passed, failed and so on."""
    (folder / "test_it.py").write_text(HEAD + source)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "test_it.py", *options]
    for plugin in ("xdist", "asyncio", "anyio", "timeout", "aiohttp"):
        if plugin not in plugins:
            command += ["-p", f"no:{plugin}"]
    if "asyncio" in plugins:
        command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    # It starts an interpreter, or three of them under xdist.
    environment = {name: value for name, value in os.environ.items() if name not in LOOKS}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3 * TIMEOUT, check=False
    )
    out = done.stdout + done.stderr
    counts = {}
    for word, count in zip((words := done.stdout.splitlines()[-1].split())[2::2], words[1::2], strict=False):
        if count.isdigit():
            counts[word.strip(",").removesuffix("s")] = int(count)
    return out, counts
