"""Reading what clients did, where that is recorded: waiting until more of it has come, and saying what has not.

The core records (`_core.Record`), without Python; here is who asks. Each call looks, and looks again after everything
that happens.
"""

from __future__ import annotations

import time

from echoserver._core import checked_timeout, shown
from echoserver.exceptions import ClientClosed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from echoserver._core import Client, Record, Request, Server

    _T = TypeVar("_T")
    _T_co = TypeVar("_T_co", covariant=True)

    class _Wanted(Protocol[_T_co]):
        """What is waited for."""

        def is_over(self) -> bool:
            """Whether it can't come any more; asked before it is looked for."""
            ...

        def look(self) -> _T_co | None:
            """It, if it is there."""

        def so_far(self) -> str:
            """What there is instead."""
            ...

        def end(self) -> None:
            """Raises: it can't come any more."""


__all__ = ["Reading", "recv", "recv_async", "wait_pong", "wait_pong_async"]

# Where a wait was in vain pytest shows the test's line, and none of these.
__tracebackhide__ = True

# How many messages an error shows.
_SHOWN = 10

# The status of a client's request (RFC 6455 section 4.2.2).
_SWITCHED = 101


class Reading:
    """What the clients of a server did, for those who read it. Needs `record`, else all of it raises RuntimeError."""

    @property
    def _core(self) -> Server:
        raise NotImplementedError

    def accept(self, path: str | None = None, timeout: float | None = 5.0) -> Client:
        """The next client, in the order of their 101s, each once, also those that are gone already.

        With `path` the next of those that asked for it; the others stay for other calls. TimeoutError, which says what
        did come, after `timeout` seconds; None waits for ever. RuntimeError if there is none and the server does not
        serve, and in the thread of a running event loop, which waiting would stop: there use `accept_async()`.
        """
        return _wait(self._core.record, "accept()", _Accepting(self._core, path), timeout)

    async def accept_async(self, path: str | None = None, timeout: float | None = 5.0) -> Client:
        """As `accept`, to be awaited, on any event loop."""
        return await _wait_async(self._core.record, _Accepting(self._core, path), timeout)

    @property
    def accepted(self) -> list[Client]:
        """The clients since the beginning or `clear()`, and who was connected then, in the order of their 101s.

        A new list each time.
        """
        return self._core.accepted()

    @property
    def requests(self) -> list[Request]:
        """The requests since the beginning or `clear()`, in the order of their coming; a new list each time.

        Refused ones and those for no WebSocket are among them: `status` says what they got.
        """
        return self._core.record.requests()

    @property
    def received(self) -> list[str | bytes]:
        """The messages of all clients since the beginning or `clear()`, taken or not; a new list each time.

        Those of one client are in their order; between clients it is the order of reading. A message is there as soon
        as the answer to it has its place: what is sent to its client then goes out after that.
        """
        return self._core.record.messages()

    def wait_received(self, count: int, timeout: float | None = 5.0) -> list[str | bytes]:
        """The first `count` messages of `received`, as soon as there are so many.

        TimeoutError, which says what did come, after `timeout` seconds; None waits for ever. RuntimeError if the server
        ends before, and in the thread of a running event loop: there use `wait_received_async()`.
        """
        return _wait(self._core.record, "wait_received()", _Receiving(self._core.record, count), timeout)

    async def wait_received_async(self, count: int, timeout: float | None = 5.0) -> list[str | bytes]:
        """As `wait_received`, to be awaited, on any event loop."""
        return await _wait_async(self._core.record, _Receiving(self._core.record, count), timeout)

    def wait_until(self, predicate: Callable[[], _T], timeout: float | None = 5.0) -> _T:
        """What `predicate()` returns once that is true; it is asked at once, and after everything that happens.

        That is all that clients do, all that is counted in `stats()`, an entry taken from `EchoTestServer.handshakes`,
        the end or failure of each callback (of an `async def` each of its steps), and the end of the server. It is not
        asked for what the program itself changes, such as in a thread of its own. Errors as `wait_received`.
        """
        wanted: _Wanted[_T] = _Until(self._core.record, predicate)
        return _wait(self._core.record, "wait_until()", wanted, timeout)

    async def wait_until_async(self, predicate: Callable[[], _T], timeout: float | None = 5.0) -> _T:
        """As `wait_until`, to be awaited, on any event loop."""
        wanted: _Wanted[_T] = _Until(self._core.record, predicate)
        return await _wait_async(self._core.record, wanted, timeout)

    def clear(self) -> None:
        """Forgets messages, pongs and requests, clients that nobody has accepted, and all who are gone.

        Who is connected stays in `accepted`. If more came than `record` has room for, recording goes on from here; who
        came meanwhile and is connected is in `accepted`, too.
        """
        self._core.clear()


def recv(client: Client, timeout: float | None) -> str | bytes:
    """As `Client.recv`."""
    wanted: _Wanted[str | bytes] = _Next(client, "message")
    return _wait(client._record, "recv()", wanted, timeout)


async def recv_async(client: Client, timeout: float | None) -> str | bytes:
    """As `Client.recv_async`."""
    wanted: _Wanted[str | bytes] = _Next(client, "message")
    return await _wait_async(client._record, wanted, timeout)


def wait_pong(client: Client, timeout: float | None) -> bytes:
    """As `Client.wait_pong`."""
    wanted: _Wanted[bytes] = _Next(client, "pong")
    return _wait(client._record, "wait_pong()", wanted, timeout)


async def wait_pong_async(client: Client, timeout: float | None) -> bytes:
    """As `Client.wait_pong_async`."""
    wanted: _Wanted[bytes] = _Next(client, "pong")
    return await _wait_async(client._record, wanted, timeout)


class _Next:
    def __init__(self, client: Client, what: str) -> None:
        self._client, self._what = client, what

    def is_over(self) -> bool:
        # Its client ends before the server.
        return False

    def look(self) -> Any:
        client = self._client
        found, is_gone = client._take_message() if self._what == "message" else client._take_pong()
        if found is None and is_gone:
            code, reason = client.close_code, client.close_reason
            error = ClientClosed(
                f"client {client.id} is closed: {code}{f' {reason!r}' if reason else ''}; {self.so_far()}"
            )
            error.code, error.reason = code, reason
            raise error
        return found

    def so_far(self) -> str:
        sent = _sent(self._client._record, self._client.id)
        return f"no {self._what} from client {self._client.id} that was not taken; it has sent {sent}"

    def end(self) -> None:
        """Never called."""


class _Accepting:
    def __init__(self, core: Server, path: str | None) -> None:
        self._core, self._path = core, path

    def is_over(self) -> bool:
        # A worker may be at a 101 while the server is told to stop.
        return not self._core.lets_in

    def look(self) -> Client | None:
        return self._core.take_client(self._path)

    def so_far(self) -> str:
        refused = [
            f"{one.method} {one.path} {one.status or 'unanswered'}"
            for one in self._core.record.requests()
            if one.status != _SWITCHED
        ]
        clients = self._core.accepted()
        parts = [
            f"no client {'' if self._path is None else f'of path {self._path!r} '}that was not accepted",
            f"all so far: {', '.join(map(repr, clients[-_SHOWN:])) or 'none'}",
        ]
        if refused:
            parts.append(f"refused: {', '.join(refused[-_SHOWN:])}")
        return "; ".join(parts)

    def end(self) -> None:
        state = (
            "has stopped; `accepted` has all that there were"
            if self._core.is_used
            else "is not started: start it, or use `with server:`"
        )
        raise RuntimeError(f"{self.so_far()}, and none will come, since the server {state}")


class _Receiving:
    def __init__(self, record: Record, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"count={shown(count)}: must be an int, not {type(count).__name__}")
        if count < 0:
            raise ValueError(f"count={shown(count)}: must not be negative")
        self._record, self._count = record, count

    def is_over(self) -> bool:
        return self._record.is_over

    def look(self) -> list[str | bytes] | None:
        if self._record.message_count() < self._count:
            return None
        return self._record.messages(self._count)

    def so_far(self) -> str:
        return f"{self._record.message_count()} of {shown(self._count)} messages: {_sent(self._record)}"

    def end(self) -> None:
        raise RuntimeError(f"{self.so_far()}, and none will come, since the server has ended")


class _Until:
    def __init__(self, record: Record, predicate: Callable[[], Any]) -> None:
        if not callable(predicate):
            raise TypeError(f"predicate={shown(predicate)}: must be callable, without arguments")
        self._record, self._predicate = record, predicate

    def is_over(self) -> bool:
        return self._record.has_ended

    def look(self) -> Any:
        return self._predicate() or None

    def so_far(self) -> str:
        return f"{shown(self._predicate)} is not true; received {_sent(self._record)}"

    def end(self) -> None:
        raise RuntimeError(f"{self.so_far()}, and nothing will come, since the server has ended")


def _sent(record: Record, client: int | None = None) -> str:
    count, last, is_cut = record.latest(_SHOWN, client)
    dots = "..., " if count > len(last) else ""
    sent = f"{count}: {dots}{', '.join(map(shown, last))}" if count else "none"
    return f"{sent}; more came than is recorded" if is_cut else sent


def _wait(record: Record, call: str, wanted: _Wanted[_T], timeout: float | None) -> _T:
    # Imported with the first server.
    from echoserver.threads import loop_runs

    left = _countdown(timeout)
    while True:
        count, found = _look(record, wanted)
        if found is not None:
            return found
        if loop_runs():
            instead = call.replace("()", "_async()")
            raise RuntimeError(f"{call} would stop the event loop that runs in this thread: await {instead} instead")
        # Whether or not more goes on happening, which each look may make happen.
        if left() == 0:
            raise _too_late(wanted, timeout)
        record.wait(count, left())


async def _wait_async(record: Record, wanted: _Wanted[_T], timeout: float | None) -> _T:
    import asyncio

    left = _countdown(timeout)
    while True:
        count, found = _look(record, wanted)
        if found is not None:
            return found
        if left() == 0:
            raise _too_late(wanted, timeout)
        news = asyncio.ensure_future(record.news(count))
        try:
            await asyncio.wait({news}, timeout=left())
        finally:
            news.cancel()


def _look(record: Record, wanted: _Wanted[_T]) -> tuple[int, _T | None]:
    """How much has happened, and what is waited for, if that is there. What happens later is worth another look."""
    count, is_over = record.count, wanted.is_over()
    found = wanted.look()
    if found is None and is_over:
        wanted.end()
    return count, found


def _countdown(timeout: float | None) -> Callable[[], float | None]:
    """Says how many of these seconds, which begin now, are left."""
    timeout = checked_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    return lambda: None if deadline is None else max(deadline - time.monotonic(), 0.0)


def _too_late(wanted: _Wanted[_T], timeout: float | None) -> TimeoutError:
    return TimeoutError(f"after {timeout:g} s: {wanted.so_far()}")
