"""The pytest plugin: fixtures that are servers for one test, and what goes wrong in their callbacks fails that test.

pytest imports this with every run, so the rest of the package is imported by the first test that needs it.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from echoserver.run import Run
    from echoserver.testing import EchoTestServer

_MARKER = "echo_server"
_FIXTURES = ("echo_server", "echo_server_tls")

# The servers of a test, all of them, and those that it has yet to end.
_servers = pytest.StashKey[list["EchoTestServer"]]()
_serving = pytest.StashKey[list["EchoTestServer"]]()
# A number between those of servers that are older than the test and its own.
_older = pytest.StashKey[int]()
# Between which numbers there are the servers of fixtures that several tests share.
_shared = pytest.StashKey[list[tuple[int, int]]]()
# Servers that others have started while the test was called.
_others = pytest.StashKey["list[Run]"]()
# The fixtures of a project's own for which there was a warning.
_warned = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(**options): options of EchoTestServer for the fixtures {' and '.join(_FIXTURES)}"
    )
    config.stash[_warned] = set()
    config.stash[_shared] = []


@pytest.fixture
def make_echo_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., EchoTestServer]]:
    """Makes servers that serve until the test ends: `make_echo_server(**options)`, options as of EchoTestServer."""

    def make(**options: Any) -> EchoTestServer:
        _check_options(options, "make_echo_server()")
        return _start(request.node, options)

    yield make
    _forget(request.node)


@pytest.fixture
def echo_server(request: pytest.FixtureRequest) -> Iterator[EchoTestServer]:
    """A server of this test alone, an EchoTestServer; `@pytest.mark.echo_server(...)` gives it options."""
    yield _start(request.node, _marked(request.node))
    _forget(request.node)


@pytest.fixture
def echo_server_tls(request: pytest.FixtureRequest) -> Iterator[EchoTestServer]:
    """The same with TLS: clients trust it with `ssl_context()` or `ca_pem`."""
    yield _start(request.node, {"tls": "self-signed", **_marked(request.node)})
    _forget(request.node)


def _start(item: pytest.Item, options: Mapping[str, Any]) -> EchoTestServer:
    from echoserver.testing import EchoTestServer

    server = EchoTestServer(**options)
    item.stash.setdefault(_servers, []).append(server)
    item.stash.setdefault(_serving, []).append(server)
    return server.start()


def _forget(item: pytest.Item) -> None:
    """Once the reports are made; what the servers have recorded goes with them."""
    item.stash[_servers] = []
    # None, unless the test itself was not called, or another fixture has made some after it.
    _raise_first(_end(item))


def _marked(node: pytest.Item) -> dict[str, Any]:
    """What the markers of a test say: those of the function before those of its class."""
    options: dict[str, Any] = {}
    for marker in reversed([*node.iter_markers(_MARKER)]):
        if marker.args:
            raise TypeError(f"the marker {_MARKER} takes options by name, not {_shown(marker.args)}")
        _check_options(marker.kwargs, f"the marker {_MARKER}")
        options |= marker.kwargs
    return options


def _is_checked(node: pytest.Item, option: str) -> bool:
    """What the marker says that has it and is the closest; all is checked unless one says other."""
    found = (marker.kwargs[option] for marker in node.iter_markers(_MARKER) if option in marker.kwargs)
    return bool(next(found, True))


def _check_options(options: Mapping[str, Any], whose: str) -> None:
    if not options:
        return
    from inspect import signature

    from echoserver.callbacks import nearest
    from echoserver.server import EchoServer
    from echoserver.testing import EchoTestServer

    names = [name for kind in (EchoTestServer, EchoServer) for name in signature(kind).parameters]
    known = [name for name in names if name != "options"]
    for name in options:
        if name not in known:
            raise TypeError(f"{whose} has no option {name!r}; did you mean {nearest(name, known)!r}?")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Warns of a marker that nobody reads."""
    item.stash[_older] = _next_number()
    result = yield
    if item.get_closest_marker(_MARKER):
        _warn_of_other_fixtures(item)
    return result


def _warn_of_other_fixtures(item: pytest.Item) -> None:
    found = getattr(item, "_fixtureinfo", None)
    for name in _FIXTURES:
        definitions = found.name2fixturedefs.get(name) if found else None
        if not definitions or definitions[-1].func.__module__ == __name__ or name in item.config.stash[_warned]:
            continue
        item.config.stash[_warned].add(name)
        warnings.warn(
            pytest.PytestWarning(
                f"{item.nodeid}: the fixture {name} is this project's own, so the marker {_MARKER} gives it no options"
            ),
            stacklevel=1,
        )


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Looks which servers a fixture makes for more than one test; a test may be the first to start them."""
    if fixturedef.scope == "function":
        return (yield)
    first = _next_number()
    try:
        return (yield)
    finally:
        last = _next_number()
        if last - first > 1:
            request.config.stash[_shared].append((first, last))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Ends the servers of a test with it, so that what their callbacks have raised fails the test itself."""
    __tracebackhide__ = True
    before = {run.number for run in _running()}
    try:
        result = yield
    except BaseException as error:  # The test's own failure comes first.
        for other in _end(item):
            error.add_note(_told(other))
        raise
    finally:
        before.update(server._run.number for server in item.stash.get(_servers, ()))
        item.stash[_others] = [run for run in _running() if run.number not in before and _is_of(item, run)]
    _raise_first(_end(item))
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Looks for servers that the test has started by itself, and that run on: fixtures may end some of them."""
    __tracebackhide__ = True
    result = yield
    others, item.stash[_others] = item.stash.get(_others, []), []
    if _is_checked(item, "check_threads"):
        _raise_first([error for run in others if (error := run.left_over())])
    return result


def _is_of(item: pytest.Item, run: Run) -> bool:
    """Whether a server was made for this test alone."""
    shared = item.config.stash[_shared]
    return run.number > item.stash.get(_older, -1) and not any(first < run.number < last for first, last in shared)


def _end(item: pytest.Item) -> list[BaseException]:
    """Ends its servers; what they raise."""
    servers = item.stash.get(_serving, [])
    errors: list[BaseException] = []
    while servers:
        try:
            servers.pop(0).stop()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # Of a callback, which may raise what it likes.
            errors.append(error)
    return errors


def _raise_first(errors: Sequence[BaseException]) -> None:
    __tracebackhide__ = True
    for other in errors[1:]:
        errors[0].add_note(_told(other))
    if errors:
        raise errors[0]


def _told(error: BaseException) -> str:
    from echoserver.testing.server import told

    return told(error)


def _shown(value: object) -> str:
    from echoserver._core import shown

    return shown(value)


def _next_number() -> int:
    """A number between those of the servers that there are and of those to come."""
    module = sys.modules.get("echoserver.running")
    # Where nobody has imported them there are none, and the first one gets 0.
    return next(module.numbers) if module else -1


def _running() -> Iterable[Run]:
    """The servers of this process that run; none where nobody has imported them."""
    module = sys.modules.get("echoserver.running")
    return module.running() if module else ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001  # The names are pytest's.
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to the report of a failure what the clients did."""
    report = yield
    if report.failed and report.when == "call":
        for server in item.stash.get(_servers, ()):
            report.sections.append((f"clients of {server.url}", _transcript(server)))
    return report


def _transcript(server: EchoTestServer) -> str:
    try:
        return server.transcript()
    except Exception as error:  # It may record nothing, or be another process's; the report is made all the same.
        return f"not to be had: {error}"
