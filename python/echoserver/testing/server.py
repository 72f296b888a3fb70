"""EchoTestServer: an EchoServer with the options that a test wants, which tells what went wrong in its callbacks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from echoserver._core import shown
from echoserver.server import EchoServer
from echoserver.testing.handshakes import Handshakes
from echoserver.testing.transcript import transcript

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from echoserver._core import Client, Fault

__all__ = ["EchoTestServer", "told"]

# Seconds that clients have to answer the close at the end.
_GRACE = 0.05

# Beyond it a test is not one that anybody reads.
_RECORD = 16 * 2**20


class EchoTestServer(EchoServer):
    """An `EchoServer` for tests: on 127.0.0.1, on a free port, with one worker, and what clients do is recorded.

    All options of EchoServer can be given, those too. It differs in how it ends: clients that are left get 1001 and
    50 ms to answer it, then they are dropped (`unanswered` has them). And `stop()`, `stop_async()` and leaving `with`
    or `async with` raise what went wrong meanwhile:

    - the first exception of a callback, unless `on_error` is given, which has them then, or `check_errors` is False;
    - AssertionError for what is left in `handshakes`, and for a fault that had no opportunity, unless `check_unused` is
      False;
    - TimeoutError for a thread that still runs, such as that of a callback, unless `check_threads` is False.

    Where the block itself raises, that comes out, with a note on the rest.
    """

    check_unused: bool
    """Whether the end of the server is an error if `handshakes` or faults were not used; may be set at any time."""

    check_threads: bool
    """Whether the end of the server raises TimeoutError while a thread of its own runs on; may be set at any time."""

    check_errors: bool
    """Whether the end of the server raises the first of `errors`; may be set at any time."""

    def __init__(  # noqa: PLR0913  # As EchoServer's.
        self,
        port: int = 0,
        debug: bool = False,
        parent: object = None,
        *,
        host: str | Iterable[str] | None = "127.0.0.1",
        workers: int | None = 1,
        record: int | None = _RECORD,
        check_errors: bool = True,
        check_unused: bool = True,
        check_threads: bool = True,
        **options: Any,
    ) -> None:
        """As `EchoServer`, of which `options` are the others."""
        errors: list[BaseException] = []
        self._errors = errors
        self.check_errors = check_errors
        self.check_unused = check_unused
        self.check_threads = check_threads
        self._handshakes: Handshakes | None = None
        # All that were set.
        self._faults: list[Fault] = []
        if options.get("on_error") is None and getattr(type(self), "on_error", None) is None:
            # It does not refer to the server, which would then have to be collected.
            options["on_error"] = lambda _client, error: errors.append(error)
        if not (options.get("uds") is None and options.get("sock") is None):
            # These say where to listen.
            host = None
        super().__init__(port, debug, parent, host=host, workers=workers, record=record, **options)
        self._run.grace = _GRACE
        self._faults += self._core.given_faults()

    @property
    def errors(self) -> list[BaseException]:
        """What callbacks have raised and nobody has been told. A test that expects it does `server.errors.clear()`."""
        return self._errors

    @property
    def handshakes(self) -> Handshakes:
        """A deque of what the next upgrade requests get.

        `Response`, `Accept`, `Delay`, `Hang`, `Reset`, `BadAccept`, `WrongSubprotocol` and `WrongExtension` can be put
        into it. Each good upgrade request takes one, before `on_handshake` is asked; with none left, all is as usual.
        TypeError where something else is put in.
        """
        if self._handshakes is None:
            self._handshakes = Handshakes()
            self._core.take_handshakes(self._handshakes)
        return self._handshakes

    def _note_fault(self, fault: Fault) -> None:
        self._faults.append(fault)

    @property
    def unanswered(self) -> tuple[Client, ...]:
        """The clients that did not answer the close at the end in time, and were dropped; no fault held them up."""
        return tuple(self._run.dropped)

    def transcript(self) -> str:
        """What clients did, a line for each event, with the seconds since the first; for the report of a failure.

        With faults their `seed` is in it, too: it gives the same chance again.
        """
        text = transcript(self._core.record, self.unanswered)
        return f"{text}\nseed={self.seed}" if self._faults else text

    def stop(self, timeout: float | None = None, wait: bool = True) -> None:
        """As `EchoServer.stop()`, but without a `timeout` clients have 50 ms; raises what went wrong meanwhile."""
        with self._checked_threads():
            super().stop(timeout, wait)
        if wait and not self._core.in_dispatcher():
            self._raise_first()

    async def stop_async(self, timeout: float | None = None) -> None:
        """As `stop()`, to be awaited."""
        with self._checked_threads():
            await super().stop_async(timeout)
        if not self._core.in_callback():
            self._raise_first()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `stop()`, but an exception of the block is what comes out."""
        if not self._run.ask():
            return
        if error is None:
            self.stop()
            return
        try:
            super().stop()
        except TimeoutError as other:
            if self.check_threads:
                error.add_note(told(other))
        self._note(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `EchoServer.__aexit__`, and as leaving `with`."""
        if not self._run.ask():
            return
        await super().__aexit__(kind, error, traceback)
        if error is None:
            self._raise_first()
        else:
            self._note(error)

    @contextmanager
    def _checked_threads(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            if self.check_threads:
                self._note(error)
                raise

    def _raise_first(self) -> None:
        __tracebackhide__ = True
        errors = self._take_errors()
        for other in errors[1:]:
            errors[0].add_note(f"a callback has raised after it: {told(other)}")
        if errors:
            raise errors[0]

    def _note(self, error: BaseException) -> None:
        for other in self._take_errors():
            if other is not error:
                error.add_note(f"a callback has raised, too: {told(other)}")

    def _take_errors(self) -> list[BaseException]:
        errors = self._errors[:] if self.check_errors else []
        del self._errors[: len(errors)]
        if self._handshakes and self.check_unused:
            left = ", ".join(map(shown, self._handshakes))
            self._handshakes.clear()
            errors.append(AssertionError(f"{shown(self)}: no client has asked for these handshakes: {left}"))
        if self.check_unused:
            # What chance has decided is nobody's fault.
            unused = [shown(fault.kind) for fault in self._faults if fault.hits == 0 and fault._is_sure]
            if unused:
                left = ", ".join(unused)
                errors.append(AssertionError(f"{shown(self)}: these faults had no opportunity: {left}"))
        self._faults.clear()
        return errors


def told(error: BaseException) -> str:
    """What a note says of another exception: its `repr()`, whole; something also if that raises."""
    try:
        return repr(error)
    except Exception:  # It is whatever a callback has raised.
        return shown(error)
