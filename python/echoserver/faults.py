"""Setting faults: `EchoServer.fault()`, and what all kinds of them have in common; these are in `testing.faults`."""

from __future__ import annotations

from echoserver._core import FAULTS, Accept, Response, check_fault, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from echoserver._core import Client, Fault, Server

__all__ = ["FaultKind", "Faulting", "not_taken"]


class FaultKind:
    """What a server can do to clients that it should not. Immutable, and may be set as often as it is wanted.

    TypeError or ValueError for arguments that can't be right, which name the fault, the argument and what it can be.
    """

    def __post_init__(self) -> None:
        check_fault(self)


def not_taken(taker: str, classes: Iterable[str], given: object) -> TypeError:
    """Why `taker` does not take what is no object of these classes."""
    names = list(classes)
    what = f"the class {given.__name__}" if isinstance(given, type) else shown(given)
    if isinstance(given, type) and given.__name__ in names:
        what += f": an object of it is {given.__name__}()"
    return TypeError(f"{taker} does not take {what}; it takes {', '.join(names)}")


class Faulting:
    """What of `EchoServer` is its faults."""

    @property
    def _core(self) -> Server:
        raise NotImplementedError

    def fault(  # noqa: PLR0913  # One selector, one keyword.
        self,
        fault: FaultKind | Response | Accept,
        /,
        *,
        path: str | None = None,
        client: Client | None = None,
        after: int | str = 0,
        every: int = 1,
        probability: float = 1.0,
        times: int | None = None,
    ) -> Fault:
        """Sets a fault, one of `echoserver.testing`, until its `with` ends, its `stop()`, or the end of the server.

        It acts from the call on, on connections that are and that come. Of its opportunities on those that match `path`
        (without a query) and `client` the first `after` pass; or, with a time such as "2s" or "200ms", those before
        that time since the 101. Of the others it takes each `every`-th, of these some by chance with `probability`,
        and `times` altogether. `after` and `every` count for each connection by itself, requests for the server. What
        acts on bytes has `after` bytes, and chance decides once for each connection; what lasts has neither. What ends
        a connection does so at the time of `after` also if nothing is sent. What answers requests does so before
        `handshakes` and `on_handshake` are asked.

        The same `seed` gives the same chance on each connection, by its number. Several faults act in the order in
        which they were set. May be called from any thread, also in callbacks; returns when every connection knows it.
        TypeError or ValueError for arguments that can't be right, and for what the fault can't have.
        """
        if not isinstance(fault, FaultKind | Response | Accept):
            raise not_taken("fault()", (row["class"] for row in FAULTS), fault)
        selectors = {
            "path": path,
            "client": client,
            "after": after,
            "every": every,
            "probability": probability,
            "times": times,
        }
        made = self._core.set_fault(fault, selectors)
        self._note_fault(made)
        return made

    def _note_fault(self, fault: Fault) -> None:
        """It is set."""

    @property
    def seed(self) -> int:
        """What the chance of faults comes from: another server with the same `seed` has the same."""
        return self._core.seed
