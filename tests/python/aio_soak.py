"""Random cancellations, timeouts and loop closings, over and over: nothing may be left, and no loop may complain.

    python tests/python/aio_soak.py [SECONDS] [SEED]

Each life makes a loop (asyncio's or uvloop), some servers of random kinds on it, in the ways there are, and clients
that talk to them; then it cancels, times out, stops, or closes the loop under all of it. Between lives threads and
descriptors are counted, and at the end memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from echoserver import NO_REPLY, Client, EchoServer
from footprint import descriptors
from support import thread_names

# A life that takes longer hangs.
PATIENCE = 60.0
WAYS = ["serve_async", "async with", "timeout", "abandoned", "start", "iterate"]
ENDS = ["cancel", "cancel twice", "stop", "stop in a thread", "return", "close the loop"]


class Life:
    """One event loop with what lives on it."""

    def __init__(self, rng: random.Random, counts: Counter[str]) -> None:
        self.rng = rng
        self.counts = counts
        self.complaints: list[str] = []
        self.unexpected: list[str] = []
        self.servers: list[EchoServer] = []
        self.end = rng.choice(ENDS)
        self.is_over = False

    def callback(self) -> Callable[..., Any] | None:
        """A callback that does one thing or another with a message."""
        rng, counts = self.rng, self.counts

        async def coroutine(client: Client, message: str | bytes) -> Any:
            counts["callbacks"] += 1
            what = rng.random()
            task = asyncio.current_task()
            assert task
            if what < 0.3:
                return message
            if what < 0.5:
                await asyncio.sleep(rng.choice([0, 0, 0.001]))
            elif what < 0.6:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rng.choice([0, 0.0005, 0.002])):
                        await asyncio.sleep(rng.choice([0, 0.001, 1000]))
            elif what < 0.7:
                async with asyncio.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(asyncio.sleep(0))
            elif what < 0.75:
                asyncio.get_running_loop().call_later(rng.choice([0, 0.001]), task.cancel)
                await asyncio.sleep(0.002)
            elif what < 0.8:
                task.cancel()
                await asyncio.sleep(0)
            elif what < 0.85:
                client.send(b"more")
                await client.flush_async()
            elif what < 0.87:
                await asyncio.sleep(1000)
            elif what < 0.9:
                raise ZeroDivisionError
            return rng.choice([None, NO_REPLY, message, "reply"])

        def plain(_client: Client, message: str | bytes) -> Any:
            counts["callbacks"] += 1
            return rng.choice([None, NO_REPLY, message])

        return rng.choice([None, plain, coroutine, coroutine])

    async def note(self, *_: object) -> None:
        """A callback for all else."""
        await asyncio.sleep(self.rng.choice([0, 0.001]))

    async def note_error(self, _client: Client | None, error: BaseException) -> None:
        """What callbacks raise."""
        if not _is_expected(error) and self.end != "close the loop":
            # A loop that is closed under its tasks has asyncio's own blocks end where nothing can be awaited.
            self.unexpected.append(repr(error))
        await self.note()

    def make(self, way: str) -> EchoServer:
        """A server of a random kind."""
        rng = self.rng
        options: dict[str, Any] = {
            name: self.note for name in ("on_connect", "on_disconnect", "on_closed") if rng.random() < 0.4
        }
        if way != "iterate":
            options["on_text"] = self.callback()
            options["on_binary"] = self.callback()
        close_timeout = rng.choice([0.01, 0.1, 1.0])
        server = EchoServer(
            0, host="127.0.0.1", workers=1, close_timeout=close_timeout, on_error=self.note_error, **options
        )
        self.servers.append(server)
        return server

    async def serve(self, way: str) -> None:
        """Serves in one of the ways until something ends it."""
        server = self.make(way)
        if way == "serve_async":
            await server.serve_async()
        elif way == "async with":
            async with server:
                await asyncio.sleep(1000)
        elif way == "timeout":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.rng.uniform(0, 0.05)):
                    await server.serve_async()
        elif way == "abandoned":
            await server.__aenter__()
            await asyncio.sleep(1000)
        elif way == "start":
            server.start()
            await server.wait_closed_async()
        else:
            async with server, asyncio.TaskGroup() as group:
                async for client in server:
                    group.create_task(self.iterate(client))

    async def iterate(self, client: Client) -> None:
        """Answers the messages of one client, or some of them."""
        with contextlib.suppress(ConnectionError):
            async for message in client:
                self.counts["iterated"] += 1
                await client.send_async(message)
                if self.rng.random() < 0.05:
                    break

    async def talk(self) -> None:
        """A client of one server or another."""
        # A cancellation can get lost in what clients make of it.
        while not self.is_over:
            await asyncio.sleep(self.rng.uniform(0, 0.005))
            serving = [server for server in self.servers if server.is_serving]
            if not serving:
                continue
            url = self.rng.choice(serving).url
            with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError, TimeoutError, EOFError):
                options: dict[str, Any] = {"compression": None, "proxy": None, "close_timeout": 0.05}
                async with connect(url, **options) as client:
                    self.counts["clients"] += 1
                    for _ in range(self.rng.randrange(20)):
                        times = self.rng.choice([1, 1, 1, 5000])
                        await client.send("text" * times if self.rng.random() < 0.5 else b"binary" * times)
                        if self.rng.random() < 0.7:
                            await asyncio.wait_for(client.recv(), self.rng.choice([0.001, 0.02]))

    async def main(self, end: str) -> None:
        """Lives for a moment, and ends in one of the ways."""
        rng = self.rng
        ways = [rng.choice(WAYS) for _ in range(rng.randint(1, 4))]
        for way in ways:
            self.counts[way] += 1
        tasks = [asyncio.create_task(self.serve(way)) for way in ways]
        talking = [asyncio.create_task(self.talk()) for _ in range(rng.randint(1, 8))]
        await asyncio.sleep(rng.choice([0, 0.001, 0.02, 0.1]))
        self.is_over = True
        await self.end_all(end, tasks, talking)

    async def end_all(  # noqa: PLR0912  # One branch for each way to end.
        self, end: str, tasks: list[asyncio.Task[None]], talking: list[asyncio.Task[None]]
    ) -> None:
        """What the loop's end does not do."""
        rng = self.rng
        if end == "close the loop":
            # Not under the clients: CPython 3.11 may crash when it collects coroutines that are nested like theirs.
            for task in talking:
                task.cancel()
            await asyncio.wait(talking)
            return
        for task in talking:
            if rng.random() < 0.5:
                task.cancel()
        if end in ("cancel", "cancel twice"):
            for task in tasks:
                task.cancel()
            if end == "cancel twice":
                await asyncio.sleep(rng.choice([0, 0.001]))
                for task in tasks:
                    task.cancel()
        elif end == "stop":
            for server in self.servers:
                server.stop(rng.choice([None, 0, 0.05]))
        elif end == "stop in a thread":
            await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self.servers), return_exceptions=True)
        if end != "return":
            # What sleeps has to be cancelled.
            done, pending = await asyncio.wait(tasks, timeout=0.1)
            for task in pending:
                task.cancel()
            for task in done:
                if not task.cancelled() and task.exception() and not isinstance(task.exception(), RuntimeError):
                    self.unexpected.append(repr(task.exception()))

    def live(self) -> None:
        """The whole life."""
        end = self.end
        self.counts[end] += 1
        make = self.rng.choice([asyncio.new_event_loop, uvloop.new_event_loop])

        def complain(_loop: object, context: dict[str, Any]) -> None:
            # A loop that is closed under its tasks tells of them: that is the program's fault, and meant here.
            if end != "close the loop" or "was destroyed but it is pending" not in context["message"]:
                self.complaints.append(repr(context))

        if end == "close the loop":
            loop = make()
            loop.set_exception_handler(complain)
            loop.run_until_complete(self.main(end))
            loop.close()
            # Servers with a thread of their own go on.
            for server in self.servers:
                server.stop()
        else:
            with asyncio.Runner(loop_factory=make) as runner:
                runner.get_loop().set_exception_handler(complain)
                runner.run(self.main(end))
            for server in self.servers:
                server.stop()


def left() -> tuple[list[str], int]:
    """Threads of ours, and the number of open descriptors."""
    names = [name for name in thread_names() if name.startswith(("echoserver", "tokio"))]
    return names, descriptors()


def resident() -> int:
    """KiB of memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def main(seconds: float = 600, seed: int = 1) -> int:
    """Lives for that long; 0 if nothing was left behind."""
    sys.unraisablehook = lambda report: problems.append(repr(report))
    warnings.simplefilter("ignore")
    problems: list[str] = []
    counts: Counter[str] = Counter()
    # uvloop keeps a pair of descriptors from its first loop on.
    uvloop.new_event_loop().close()
    until = time.monotonic() + seconds
    number, memory, descriptors = 0, 0, None
    while time.monotonic() < until and not problems:
        number += 1
        life = Life(random.Random(seed * 1_000_003 + number), counts)
        watchdog = threading.Timer(PATIENCE, _hangs, [seed, number])
        watchdog.daemon = True
        watchdog.start()
        life.live()
        watchdog.cancel()
        watchdog.join()
        problems += life.complaints + life.unexpected
        life.servers.clear()
        for _ in range(3):
            # What ends in one collection may leave something for the next.
            gc.collect()
        names, open_now = left()
        descriptors = descriptors or open_now
        if names or open_now > descriptors:
            problems.append(f"left behind: threads {names}, {open_now} descriptors, {descriptors} before")
        if number == 100:
            memory = resident()
    grown = resident() - memory if memory else 0
    print(f"seed {seed}: {number} lives; " + ", ".join(f"{name}: {n}" for name, n in sorted(counts.items())))
    print(f"memory: {grown:+} KiB since life 100")
    if grown > 40_000:
        problems.append("memory grows")
    for problem in problems:
        print(f"in life {number}: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _is_expected(error: BaseException | None) -> bool:
    # What callbacks raise here, send too late, or what was cancelled under them without their being asked.
    return isinstance(error, ZeroDivisionError | ConnectionError | ExceptionGroup | asyncio.CancelledError)


def _hangs(seed: int, number: int) -> None:
    import faulthandler  # Only then.

    print(f"seed {seed}: life {number} hangs", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main(float((sys.argv[1:] or ["600"])[0]), int((sys.argv[2:] or ["1"])[0])))
