"""The pytest plugin: fixtures that are servers for one test, and what goes wrong in their callbacks fails that test.

pytest imports this with every run, so the rest of the package is imported by the first test that needs it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from echoserver.testing import EchoTestServer

_MARKER = "echo_server"
_FIXTURES = ("echo_server", "echo_server_tls")

# The servers of a test.
_servers = pytest.StashKey[list["EchoTestServer"]]()
# The fixtures of a project's own for which there was a warning.
_warned = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(**options): options of EchoTestServer for the fixtures {' and '.join(_FIXTURES)}"
    )
    config.stash[_warned] = set()


@pytest.fixture
def make_echo_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., EchoTestServer]]:
    """Makes servers that serve until the test ends: `make_echo_server(**options)`, options as of EchoTestServer."""
    servers = request.node.stash.setdefault(_servers, [])

    def make(**options: Any) -> EchoTestServer:
        from echoserver.testing import EchoTestServer

        _check_options(options, "make_echo_server()")
        server = EchoTestServer(**options)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def echo_server(request: pytest.FixtureRequest, make_echo_server: Callable[..., EchoTestServer]) -> EchoTestServer:
    """A server of this test alone, an EchoTestServer; `@pytest.mark.echo_server(...)` gives it options."""
    return make_echo_server(**_marked(request.node))


@pytest.fixture
def echo_server_tls(request: pytest.FixtureRequest, make_echo_server: Callable[..., EchoTestServer]) -> EchoTestServer:
    """The same with TLS: clients trust it with `ssl_context()` or `ca_pem`."""
    return make_echo_server(**{"tls": "self-signed", **_marked(request.node)})


def _marked(node: pytest.Item) -> dict[str, Any]:
    """What the markers of a test say: those of the function before those of its class."""
    options: dict[str, Any] = {}
    for marker in reversed([*node.iter_markers(_MARKER)]):
        if marker.args:
            raise TypeError(f"the marker {_MARKER} takes options by name, not {marker.args!r}")
        _check_options(marker.kwargs, f"the marker {_MARKER}")
        options |= marker.kwargs
    return options


def _check_options(options: Mapping[str, Any], whose: str) -> None:
    from inspect import signature

    from echoserver.callbacks import nearest
    from echoserver.server import EchoServer
    from echoserver.testing import EchoTestServer

    known = {name: None for kind in (EchoTestServer, EchoServer) for name in signature(kind).parameters}
    del known["options"]
    for name in options:
        if name not in known:
            raise TypeError(f"{whose} has no option {name!r}; did you mean {nearest(name, known)!r}?")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Warns of a marker that nobody reads."""
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
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Ends the servers of a test with it, so that what their callbacks have raised fails the test itself."""
    __tracebackhide__ = True
    try:
        result = yield
    except BaseException as error:
        for server in item.stash.get(_servers, ()):
            try:
                server.stop()
            except Exception as other:  # The test's own failure comes first.
                error.add_note(f"{server!r}: {other!r}")
        raise
    for server in item.stash.get(_servers, ()):
        server.stop()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001  # The names are pytest's.
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to the report of a failure what the clients did."""
    report = yield
    if report.failed and report.when == "call":
        for server in item.stash.get(_servers, ()):
            report.sections.append((f"clients of {server.url}", server.transcript()))
    return report
