"""Fixtures: servers on free ports of 127.0.0.1 that end with the test."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import surroundings
from aio_support import LOOPS, Run, factory, run_on
from certificates import Authority
from echoserver import EchoServer
from echoserver.callbacks import is_async
from support import FACTOR, Handler, Watched, aborted, processes

Listen = Callable[..., EchoServer]

# The tests that make servers here run with `workers=0` as well: `make inline`.
WITHOUT_WORKERS = "ECHOSERVER_WITHOUT_WORKERS" in os.environ


def pytest_configure() -> None:
    surroundings.reset()
    _name_transports()


def _name_transports() -> None:
    """Has asyncio's transports say which test has made them: one that nobody closes is found in another one."""
    kind: Any = asyncio.selector_events._SelectorTransport  # type: ignore[attr-defined]  # Nothing else is told.
    init, text = kind.__init__, kind.__repr__

    def make(transport: Any, *arguments: Any, **options: Any) -> None:
        transport.made_by = os.environ.get("PYTEST_CURRENT_TEST")
        init(transport, *arguments, **options)

    kind.__init__, kind.__repr__ = make, lambda transport: f"{text(transport)} of {transport.made_by}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if WITHOUT_WORKERS:
        _without_workers(config, items)
    limit = float(config.getini("timeout"))
    for item in items:
        own = item.get_closest_marker("timeout")
        item.add_marker(pytest.mark.timeout((own.args[0] if own else limit) * FACTOR), append=False)


def _without_workers(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves those that make servers here, none of which an event loop runs."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        names = getattr(item, "fixturenames", ())
        (kept if "listen" in names and "make_loop" not in names else left_out).append(item)
        if item.get_closest_marker("needs_worker"):
            item.add_marker(
                pytest.mark.skip(reason="others are to be served while a callback blocks or an event loop runs")
            )
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    yield
    for process in processes:
        with process:
            if process.poll() is None:
                # Shown of a test that has failed.
                print("a process that the test has left:", process.args, *aborted(process), sep="\n")
    processes.clear()


class _Exceptions(logging.Handler):
    """Keeps those that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: queue.Queue[BaseException | None] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.queue.put(record.exc_info[1])


@pytest.fixture(autouse=True)
def _reported(request: pytest.FixtureRequest) -> Iterator[queue.Queue[BaseException | None]]:
    """No callback fails but where the test looks at `reported`."""
    handler = _Exceptions()
    loggers = [logging.getLogger(name) for name in ("echoserver", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler.queue
    for logger in loggers:
        logger.removeHandler(handler)
    if "reported" not in request.fixturenames:
        assert list(handler.queue.queue) == []


@pytest.fixture
def reported(_reported: queue.Queue[BaseException | None]) -> queue.Queue[BaseException | None]:
    """The exceptions of callbacks that are logged, by the server or by an event loop."""
    return _reported


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[logging.LogRecord], object]], None]]:
    """Adds handlers to the logger `echoserver` until the end of the test."""
    logger = logging.getLogger("echoserver")
    handlers: list[Handler] = []

    def handle(emit: Callable[[logging.LogRecord], object]) -> None:
        handlers.append(Handler(emit))
        logger.addHandler(handlers[-1])

    yield handle
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.fixture
def listen(request: pytest.FixtureRequest) -> Iterator[Listen]:
    """Makes servers that only listen; those that are not stopped by the test are stopped after it."""
    # What the test has put in place, such as for errors, stays until then: it is made before and so undone after.
    for name in ("monkeypatch", "reported", "caplog", "capsys"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    servers: list[EchoServer] = []

    def listen(
        port: int = 0, debug: bool = False, *, host: str | Iterable[str] | None = "127.0.0.1", **options: Any
    ) -> EchoServer:
        if WITHOUT_WORKERS and not any(map(is_async, options.values())):
            options["workers"] = 0
        server = EchoServer(port, debug, host=host, **options)
        servers.append(server)
        return server

    yield listen
    for server in servers:
        server.stop()


@pytest.fixture
def run(listen: Listen) -> Listen:
    """Makes servers that serve."""

    def run(**options: Any) -> EchoServer:
        return listen(**options).start()

    return run


@pytest.fixture
def server(run: Listen) -> EchoServer:
    """A server that serves, with all defaults."""
    return run()


@pytest.fixture
def recorded(run: Listen) -> EchoServer:
    """One that records what its clients do."""
    return run(record=2**20)


@pytest.fixture
def watched(run: Listen) -> Watched:
    return Watched(run)


@pytest.fixture(params=LOOPS)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes event loops, of each kind in turn."""
    return factory(request.param)


@pytest.fixture
def on_loop(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    """Runs an `async def` on each kind of event loop, as `asyncio.run` does."""

    def on_loop(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return run_on(make_loop, main)

    return on_loop


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority with its files in a folder of the test's."""
    return Authority(tmp_path)
