"""Which servers of this process run: for the end of the interpreter, which stops them, and for the end of a test."""

from __future__ import annotations

import atexit
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from echoserver._core import finish

if TYPE_CHECKING:
    from typing import Protocol

    class _Run(Protocol):
        """How one server runs: run.py."""

        @property
        def number(self) -> int: ...
        @property
        def was_started(self) -> bool: ...
        def runs(self) -> bool: ...
        def left_over(self) -> AssertionError | None: ...
        def ask(self) -> bool: ...
        def end(self) -> None: ...


__all__ = ["note", "numbers", "running"]

# Each server has one, in the order in which they were made.
numbers = count()

# By id. Each access is one atomic step, so there is no lock to be held in a fork.
_started: WeakValueDictionary[int, _Run] = WeakValueDictionary()


def note(run: _Run) -> None:
    """It is about to be started."""
    _started[id(run)] = run


def running() -> list[_Run]:
    """Those of this process that run."""
    found = []
    for run in _known():
        if run.runs():
            found.append(run)
        elif run.was_started:
            # So that the next who asks does not look at all that there ever were.
            _started.pop(id(run), None)
    return found


def _known() -> list[_Run]:
    return [run for reference in _started.valuerefs() if (run := reference()) is not None]


@atexit.register
def _stop_all() -> None:
    try:
        # All are asked before one is waited for.
        for run in [run for run in _known() if run.ask()]:
            run.end()
    finally:
        finish()
