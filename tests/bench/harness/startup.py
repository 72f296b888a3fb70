"""What it takes to begin and to end: imports, first echoes, stops, sizes."""

import json
import os
import statistics
import subprocess
import time
import zipfile
from pathlib import Path

from .chart import Panel
from .job import Data, Job
from .report import bullets, number, paragraphs, table
from .servers import HERE, Place

IMPORTS = ("echoserver", "picows", "websockets.asyncio.server", "aiohttp.web")
LIVES = 50
CLIENTS = 1000


def run(place: Place, *arguments: str) -> str:
    """Python on the servers' core; what it printed."""
    done = subprocess.run(
        [place.python, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: os.sched_setaffinity(0, place.server_cpus),
    )
    return done.stdout


def seconds(place: Place, statement: str) -> float:
    """A whole life of the interpreter."""
    begin = time.perf_counter()
    run(place, "-c", statement)
    return time.perf_counter() - begin


def imports(place: Place, rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Milliseconds that each import adds to a bare interpreter of the same round; what cannot be imported, and why."""
    extra: dict[str, list[float]] = {}
    left_out = {}
    for name in IMPORTS:
        try:
            run(place, "-c", f"import {name}")
            extra[name] = []
        except subprocess.CalledProcessError as error:
            left_out[name] = error.stderr.strip().splitlines()[-1]
    for _ in range(rounds):
        bare = seconds(place, "pass")
        for name, found in extra.items():
            found.append(1000 * (seconds(place, f"import {name}") - bare))
    return extra, left_out


def programs(place: Place, rounds: int) -> list[float]:
    """Milliseconds from the start of the program to its URL, when clients are served."""
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        with subprocess.Popen(
            [place.python, "-m", "echoserver", "--host", "127.0.0.1", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, place.server_cpus),  # noqa: PLW1509  # No other thread.
        ) as process:
            assert process.stdout
            url = process.stdout.readline()
            found.append(1000 * (time.perf_counter() - begin))
            process.terminate()
        if not url.startswith(b"ws://"):
            message = f"the program prints no URL: {url!r}"
            raise SystemExit(message)
    return found


def sizes(folder: Path) -> dict[str, int]:
    """The wheel that `run` has built, and the stripped extension module in it."""
    found = {}
    for wheel in folder.glob("*.whl"):
        found["wheel"] = wheel.stat().st_size
        with zipfile.ZipFile(wheel) as archive:
            modules = [one.file_size for one in archive.infolist() if one.filename.endswith(".so")]
            found["extension module, stripped"] = sum(modules)
    return found


class Startup:
    """One table of milliseconds, one of bytes."""

    title = "Beginning and ending"

    def run(self, job: Job) -> Data:
        """Measures; imports are interleaved with the bare interpreter."""
        found, left_out = imports(job.place, max(3, 3 * job.rounds))
        lives = run(job.place, str(HERE / "servers/lifetimes.py"), str(LIVES), str(CLIENTS))
        times = {
            f"import {name}, more than the bare interpreter": [statistics.median(v), min(v), max(v)]
            for name, v in found.items()
        }
        whole = programs(job.place, max(3, 3 * job.rounds))
        times["the program, to its URL"] = [statistics.median(whole), min(whole), max(whole)]
        return {
            "ms": times | json.loads(lives),
            "bytes": sizes(job.place.bin.parent / "wheel"),
            "left_out": left_out,
        }

    def brief(self, data: Data) -> str:
        """One table."""
        rows = [
            [what, f"{number(middle)} ms", f"{number(low)} to {number(high)}"]
            for what, (middle, low, high) in data["ms"].items()
        ]
        rows += [[what, f"{size / 1024:,.0f} KiB", ""] for what, size in data["bytes"].items()]
        missing = [f"import {name}: {why}" for name, why in data["left_out"].items()]
        return paragraphs(table(["", "median", "range"], rows), bullets("Left out", missing))

    def text(self, data: Data) -> str:
        """The same."""
        return self.brief(data)

    def panels(self, _data: Data) -> list[Panel]:
        """None."""
        return []
