"""Counts what a server does for a fixed number of messages or connections: system calls and user instructions.

Both slow the server down, so it finds full batches: the counts are those of a server that is the
slower side, and hardly vary. They say nothing about time. W5 is cut up by the socket buffers in a way
that depends on timing, so strace runs several times and the median counts.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .rounds import generator
from .servers import Place, Server, Spec
from .workloads import WORKLOADS

ATTACH_SECONDS = 10.0
END_SECONDS = 120.0


class CountError(Exception):
    """Something could not be counted."""


class AttachError(CountError):
    """The system does not let one process trace another."""


class Exchange:
    """A generator that has connected and waits, and waits again after its messages."""

    def __init__(self, place: Place, server: Server, workload: str, count: int) -> None:
        """Connects."""
        extra = ("--count", count, "--hold", "--stall", END_SECONDS)
        self._process = subprocess.Popen(
            generator(place, server, workload, extra),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, place.load_cpus),  # noqa: PLW1509 - one thread
        )
        self._expect("connected")

    def __enter__(self) -> Self:
        """Leaves the connecting behind."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets it close its connections and end, or ends it."""
        if kind:
            self._process.kill()
        self._process.communicate("\n" if kind is None else None)

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line != word:
            self._process.kill()
            raise CountError(json.loads(line).get("error", line) if line else "generator ended")

    def run(self) -> None:
        """Exchanges the messages."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._expect("done")


@contextmanager
def load(place: Place, server: Server, workload: str, count: int) -> Iterator[Callable[[], None]]:
    """What has the messages exchanged, by clients that are there, or has the clients of `connect` come and go."""
    if WORKLOADS[workload].steady:
        with Exchange(place, server, workload, count) as exchange:
            yield exchange.run
    else:
        yield lambda: _visited(place, server, workload, count)


def _visited(place: Place, server: Server, workload: str, count: int) -> None:
    """All clients come and go."""
    done = subprocess.run(
        generator(place, server, workload, ("--count", count, "--stall", END_SECONDS)),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, place.load_cpus),
    )
    if done.returncode:
        raise CountError(json.loads(done.stdout).get("error", done.stdout) if done.stdout else done.stderr)


def system_calls(place: Place, spec: Spec, workload: str, count: int) -> Counter[str]:
    """How often each system call was made, from the first message or connection to the last."""
    server = Server("counted", spec, place)
    try:
        with (
            tempfile.NamedTemporaryFile(mode="r") as summary,
            tempfile.TemporaryFile(mode="w+") as said,
            load(place, server, workload, count) as run,
        ):
            tracer = _attach(server.pid, summary.name, said)
            try:
                run()
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.wait(END_SECONDS)
            calls = Counter[str]()
            for line in summary.read().splitlines():
                number, _, name = line.strip().partition(" ")
                if number.isdigit() and name.strip() not in {"total", "restart_syscall"}:
                    calls[name.strip()] += int(number)
            return calls
    finally:
        server.stop()


def _attach(pid: int, summary: str, said: Any) -> subprocess.Popen[str]:
    """Returns once every thread of the server is traced."""
    command = ["strace", "-f", "-c", "-U", "calls,name", "-o", summary, "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=said, text=True)
    end = time.monotonic() + ATTACH_SECONDS
    while not _traced(pid):
        if tracer.poll() is not None or time.monotonic() > end:
            tracer.kill()
            said.seek(0)
            message = f"strace did not attach: {said.read().strip()}"
            raise AttachError(message)
        time.sleep(0.02)
    return tracer


def _traced(pid: int) -> bool:
    states = [p.read_text(encoding="ascii") for p in Path(f"/proc/{pid}/task").glob("*/status")]
    return all(re.search(r"^TracerPid:\s*[1-9]", state, re.MULTILINE) for state in states)


def instructions(place: Place, spec: Spec, workload: str, count: int) -> float:
    """User instructions per message or connection: what `count` more messages add to a server's whole life."""
    few = _whole_life(place, spec, workload, max(count // 4, 1))
    many = _whole_life(place, spec, workload, max(count // 4, 1) + count)
    return (many - few) / count


def _whole_life(place: Place, spec: Spec, workload: str, count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        wrapper = ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}")
        server = Server("counted", spec, place, wrapper)
        try:
            with load(place, server, workload, count) as run:
                run()
        finally:
            server.stop(END_SECONDS)
        found = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
        if not found:
            message = "callgrind wrote no total"
            raise CountError(message)
        return int(found[1])
