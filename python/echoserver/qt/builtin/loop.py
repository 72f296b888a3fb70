"""What one thread has to do: calls that were posted to it, timers, descriptors. Knows nothing of signals and objects.

Each thread has one `Loop`, which `here()` gives. Any thread may `post`; the rest belongs to the thread itself.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Alarm", "Loop", "here", "is_main", "local", "settle"]

_Queued = TypeVar("_Queued")
# As many alarms that were called off as this, and more than half of all, are taken out before their time.
_MANY_CALLED_OFF: Final = 64


class Alarm:
    """A call at a time, which can be called off."""

    __slots__ = ("_loop", "call", "due", "is_off")

    def __init__(self, loop: Loop, due: float, call: Callable[[], object]) -> None:
        self._loop = loop
        self.due = due
        self.call = call
        self.is_off = False

    def call_off(self) -> None:
        """It does not happen; nothing if it has."""
        if not self.is_off:
            self.is_off = True
            self._loop.note_called_off()


class Loop:
    """One thread's."""

    def __init__(self) -> None:
        self._posted: deque[Callable[[], object]] = deque()
        self._deletions: deque[tuple[int, Callable[[], object]]] = deque()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._numbers = itertools.count()
        self._called_off = 0
        self._watched: dict[int, dict[int, Callable[[], object]]] = {}
        self._selector: selectors.BaseSelector | None = None
        self._bell: tuple[socket.socket, socket.socket] | None = None
        self._waits = False
        self._depth = 0
        self._level = 0
        # The QThread that stands for this thread, once somebody has asked for it.
        self.thread: object = None
        self._error: BaseException | None = None

    def __del__(self) -> None:
        if self._selector is not None:
            self._selector.close()
        for end in self._bell or ():
            end.close()

    @property
    def level(self) -> int:
        """How many `run` are under way, one in the other."""
        return self._level

    @property
    def alarms(self) -> int:
        """How many alarms are kept, those that were called off included."""
        return len(self._alarms)

    # From any thread

    def post(self, call: Callable[[], object]) -> None:
        """`call` in a later turn, after those that were posted before."""
        self._posted.append(call)
        self.wake()

    def wake(self) -> None:
        """It looks at what has changed, if it waits."""
        # Who is about to wait says so first and looks at what was posted then.
        if self._waits and self._bell is not None:
            # It may have been rung often enough.
            with suppress(BlockingIOError):
                self._bell[1].send(b"\0")

    # From its own thread

    def post_deletion(self, call: Callable[[], object]) -> None:
        """`call` when all that is under way now, but for the loop itself, has returned."""
        self._deletions.append((self._depth, call))
        self.wake()

    def at(self, due: float, call: Callable[[], object]) -> Alarm:
        """`call` as soon as `time.monotonic()` is `due`."""
        alarm = Alarm(self, due, call)
        heapq.heappush(self._alarms, (due, next(self._numbers), alarm))
        return alarm

    def note_called_off(self) -> None:
        """Of an alarm: one that is set again and again, far ahead, would fill the memory."""
        self._called_off += 1
        if self._called_off > max(_MANY_CALLED_OFF, len(self._alarms) // 2):
            self._alarms = [entry for entry in self._alarms if not entry[2].is_off]
            heapq.heapify(self._alarms)
            self._called_off = 0

    def watch(self, descriptor: int, event: int, call: Callable[[], object]) -> None:
        """`call` in each turn in which `descriptor` is ready for `event`, of `selectors`."""
        self._watched.setdefault(descriptor, {})[event] = call
        self._select_for(descriptor)

    def unwatch(self, descriptor: int, event: int) -> None:
        """The end of that."""
        calls = self._watched.get(descriptor, {})
        if calls.pop(event, None) is not None:
            self._select_for(descriptor)

    def interrupt(self, error: BaseException) -> None:
        """`error` comes out of `run` or `turn` as soon as what is under way has returned; out of here if none is."""
        if self._depth == 0:
            raise error
        self._error = self._error or error

    def run(self, is_over: Callable[[], bool]) -> None:
        """Does what there is to do, and waits for more, until `is_over()`. May be called again by what it calls."""
        self._depth += 1
        self._level += 1
        try:
            with self._rung_by_signals():
                while not is_over():
                    self._step(is_over, deletes=True)
        finally:
            self._depth -= 1
            self._level -= 1

    def turn(self) -> None:
        """Does what there is to do, but for deletions, as in Qt, and does not wait."""
        self._depth += 1
        try:
            self._step(lambda: True, deletes=False)
        finally:
            self._depth -= 1

    def _step(self, is_over: Callable[[], bool], *, deletes: bool) -> None:
        # Those that are there now: a call that posts itself again keeps nobody from the rest.
        for posted in _there_now(self._posted):
            posted()
            self._raise()
        if deletes:
            self._delete()
        for descriptor, mask in self._ready(is_over, deletes=deletes):
            for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                # Looked up now: a call before may have ended it.
                call = mask & event and self._watched.get(descriptor, {}).get(event)
                if call:
                    call()
                    self._raise()
        self._ring_alarms()

    def _delete(self) -> None:
        for depth, call in _there_now(self._deletions):
            # Asked for in a turn: in that turn's loop. Asked for before any: in the first.
            if self._depth <= max(depth, 1):
                call()
                self._raise()
            else:
                self._deletions.append((depth, call))

    def _pause(self, *, deletes: bool) -> float | None:
        """Seconds until there is something to do; None for ever."""
        if self._posted or (deletes and any(self._depth <= max(depth, 1) for depth, _ in self._deletions)):
            return 0.0
        while self._alarms and self._alarms[0][2].is_off:
            heapq.heappop(self._alarms)
            self._called_off -= 1
        return max(0.0, self._alarms[0][0] - time.monotonic()) if self._alarms else None

    def _ready(self, is_over: Callable[[], bool], *, deletes: bool) -> list[tuple[int, int]]:
        if not self._watched and (is_over() or self._pause(deletes=deletes) == 0.0):
            return []
        selector = self._selector or self._open()
        # Said before it is looked what there is to do: who comes after that rings.
        self._waits = True
        try:
            pause = 0.0 if is_over() else self._pause(deletes=deletes)
            found = selector.select(pause if pause is None else math.ceil(pause * 1000) / 1000)
        finally:
            self._waits = False
        ready = [(key.fd, mask) for key, mask in found if key.data is None]
        if len(ready) < len(found) and self._bell is not None:
            try:
                while len(self._bell[0].recv(4096)) == 4096:  # noqa: PLR2004  # As much as was asked for.
                    pass
            except BlockingIOError:
                pass
        return ready

    @contextmanager
    def _rung_by_signals(self) -> Iterator[None]:
        """A signal may come after the last step of the interpreter before the wait: its handler runs after that."""
        if self._level > 1 or not is_main():
            yield
            return
        if self._selector is None:
            self._open()
        assert self._bell is not None
        own = self._bell[1].fileno()
        other = signal.set_wakeup_fd(own, warn_on_full_buffer=False)
        if other != -1:
            # Somebody hears of signals already; that is not taken away.
            signal.set_wakeup_fd(other, warn_on_full_buffer=False)
        try:
            yield
        finally:
            last = signal.set_wakeup_fd(-1)
            if last != own:
                signal.set_wakeup_fd(last, warn_on_full_buffer=False)

    def _ring_alarms(self) -> None:
        if not self._alarms:
            return
        # Those that are set meanwhile have their turn next time.
        now, last = time.monotonic(), next(self._numbers)
        while self._alarms and self._alarms[0][0] <= now and self._alarms[0][1] < last:
            alarm = heapq.heappop(self._alarms)[2]
            if alarm.is_off:
                self._called_off -= 1
                continue
            # So that who calls it off now is not counted.
            alarm.is_off = True
            alarm.call()
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _open(self) -> selectors.BaseSelector:
        if self._bell is None:
            self._bell = _bell()
            _waiting.add(self)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell[0], selectors.EVENT_READ, "bell")
        for descriptor in self._watched:
            self._select_for(descriptor)
        return self._selector

    def leave_to_parent(self) -> None:
        """In a forked child: the set of descriptors that it waits for is one with the parent's, and so is its bell.

        That set stays as it is. The bell keeps its numbers, by which signals know it.
        """
        selector, self._selector = self._selector, None
        if selector is not None:
            selector.close()
        self._waits = False
        if self._bell is not None:
            for old, new in zip(self._bell, _bell(), strict=True):
                with new:
                    os.dup2(new.fileno(), old.fileno(), inheritable=False)

    def _select_for(self, descriptor: int) -> None:
        calls = self._watched[descriptor]
        if not calls:
            del self._watched[descriptor]
        if self._selector is None:
            return
        # One that was closed meanwhile has left the system's set, but not the selector's.
        with suppress(KeyError):
            self._selector.unregister(descriptor)
        if calls:
            self._selector.register(descriptor, sum(calls))


def _bell() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return ends


# Those that have waited.
_waiting: WeakSet[Loop] = WeakSet()


def _leave_all_to_parent() -> None:
    for loop in tuple(_waiting):
        loop.leave_to_parent()


if hasattr(os, "register_at_fork"):
    # Before any notifier's of this package, which takes itself from the loop.
    os.register_at_fork(after_in_child=_leave_all_to_parent)


def _there_now(queue: deque[_Queued]) -> Iterator[_Queued]:
    """Takes those that are in it now; fewer if a call among them runs a loop, which takes the rest."""
    for _ in range(len(queue)):
        if not queue:
            return
        yield queue.popleft()


class _Local(threading.local):
    def __init__(self) -> None:
        self.loop = Loop()


# `local.loop` is what `here()` says.
local = _Local()


def here() -> Loop:
    """The loop of the thread that asks."""
    return local.loop


def settle(loop: Loop) -> None:
    """Makes `loop` that of the thread that asks, which has none yet."""
    local.loop = loop


def is_main() -> bool:
    """Whether this is the main thread."""
    return threading.current_thread() is threading.main_thread()
