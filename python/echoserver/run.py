"""How a server runs and ends: which thread runs its callbacks, who waits for what, and what if nobody ends it.

Imported with the first server, together with what it needs: later there may be no descriptors to read a module with,
and at the end of the interpreter nothing can be imported.
"""

from __future__ import annotations

import logging
from contextvars import Context, copy_context
from typing import TYPE_CHECKING
from weakref import WeakSet, ref

from echoserver import running, threads
from echoserver._core import Server, checked_timeout, shown

if TYPE_CHECKING:
    import threading
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable

    from echoserver._core import Client, Thread
    from echoserver.aio import Clients, Door
    from echoserver.qt.door import Door as QtDoor
    from echoserver.qt.door import Told
    from echoserver.qt.QtCore import QObject

__all__ = ["Run"]

# Beyond its deadline a stop waits this often and long (seconds) for the workers, which then drop what is left.
_DROP_ATTEMPTS, _DROP_WAIT = 20, 0.25

# Seconds for the thread of the callbacks to end when they have.
_JOIN_TIMEOUT = 5.0

# Where an event loop waits for a stop its clients can't answer: this long (seconds) the others may.
_LOOP_WAIT = 0.05


class Run:
    """How one server runs, from its start to its end."""

    def __init__(self, owner: object, core: Server) -> None:
        """`owner` is the server as its user has it."""
        # Nothing here keeps it, so that one that was never run ends with its last reference.
        self._owner = ref(owner)
        self.number = next(running.numbers)
        self.core = core
        self._thread: threading.Thread | Thread | None = None
        self._failure: BaseException | None = None
        self._door: Door | None = None
        self._qt_door: QtDoor | None = None
        # Where the names of those are wanted who do not answer the close: seconds for that in a stop without a timeout,
        # if they are fewer, and those that were dropped then, or at the timeout; each once, whoever else stops it.
        self.grace: float | None = None
        self.dropped: dict[Client, None] = {}
        # Those that somebody has, and of them those that wait.
        self._iterators: WeakSet[Clients] = WeakSet()
        self._waiting: set[Clients] = set()
        # Whether an event loop has to run the callbacks.
        self._is_async = False

    def allow_async(self, name: str) -> None:
        """A callback of that name is an `async def`: TypeError if it is too late for an event loop to run it."""
        if self._is_async or self._door is not None:
            return
        threads.check_workers(self.core.is_driven, f"{name}, an `async def`,")
        if self.core.is_used:
            raise TypeError(
                f"{name}: an `async def` needs an event loop, and this server was started without one; "
                f"set it before the start, or serve with serve_async()"
            )
        from echoserver import aio  # It imports asyncio.

        self._serve_on_loop = aio.serve
        self._is_async = True

    # In a thread

    def serve(self) -> None:
        """Runs the callbacks in this thread until the server has ended."""
        if threads.loop_runs():
            message = "serve() would stop the event loop that runs in this thread: await serve_async() instead"
            raise RuntimeError(message)
        self._check_iterators()
        self._note_start()
        if self._is_async:
            self._failure = self._serve_on_loop(self.core, copy_context(), self._owner(), starts=True)
            self._finish()
        else:
            self.core.serve(threads.has_signals())

    def start(self) -> None:
        """Runs the callbacks in a thread of their own, which has the owner, and so keeps it alive."""
        self._check_iterators()
        context, owner = copy_context(), self._owner()
        thread = threads.make(lambda: context.run(self._run, context.copy(), owner), f"echoserver-{self.core.port}")
        try:
            self._note_start()
            self.core.start()
            # Before its start, after which another thread may stop the server, and then joins it.
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:
                # There is no thread to be had.
                self._abandon()
                raise
        except (KeyboardInterrupt, SystemExit):
            # Of a signal's handler.
            self._abandon()
            raise

    def stop(self, timeout: float | None, *, wait: bool) -> None:
        """Asks the server to stop within `timeout` seconds, and waits for its end where that is possible."""
        waits = wait and not self.core.in_dispatcher()
        self._ask(timeout, waits=waits)
        if waits:
            limit = self.core.stop_timeout if timeout is None else timeout
            if not self._wait_for_stop(timeout, limit):
                raise self._still_runs(limit)
            self._finish()

    def wait_closed(self, timeout: float | None) -> None:
        """Waits for the end of the server."""
        if self.core.in_dispatcher():
            raise RuntimeError("wait_closed() in the thread that runs the callbacks would wait for itself")
        self._check_used()
        self._end_wait(timeout, has_ended=not self.core.is_started or self.core.wait(timeout))

    def start_qt(self, parent: QObject | None, told: Told | None = None) -> None:
        """Has Qt's event loop of this thread run the callbacks; `told` hears of what there is no callback for."""
        threads.check_workers(self.core.is_driven, "start_qt()")
        from echoserver.qt import door

        door.check(is_async=self._is_async)
        self._check_iterators()
        self._note_start()
        self._qt_door = door.start(self.core, self._owner(), parent, told)

    # On an event loop

    async def serve_async(self) -> None:
        """Runs the callbacks on the running loop until the server has ended."""
        await self._open("serve_async()").wait()
        self._finish()

    def enter(self) -> None:
        """Has the running loop run the callbacks, until `leave`."""
        self._open("async with").keep()

    async def leave(self, *, is_thrown_away: bool) -> None:
        """Stops the server and waits for its end, unless the coroutine is thrown away, perhaps with its loop.

        In a forked child, whose parent has it, it does nothing.
        """
        if not self.ask():
            return
        door = self._door
        if is_thrown_away or door is None or door.loop.is_closed():
            # Nothing can be awaited.
            return
        # Not waited for here: who is cancelled meanwhile waits for the end all the same.
        drop = None if self.grace is None else door.loop.call_later(self.core.drain_time + self.grace, self._drop)
        try:
            await door.wait()
        finally:
            if drop is not None:
                drop.cancel()
        self._finish()

    async def wait_closed_async(self, timeout: float | None) -> None:
        """As `wait_closed`, on any loop."""
        from echoserver.loops import ends_within, running_loop

        loop, limit = running_loop("wait_closed_async()"), checked_timeout(timeout)
        if self.core.in_callback():
            raise RuntimeError("wait_closed_async() in a callback would wait for itself")
        self._check_used()
        has_ended = not self.core.is_started or await ends_within(self._closed(loop), limit)
        self._end_wait(timeout, has_ended=has_ended)

    async def stop_async(self, timeout: float | None) -> None:
        """As `stop`, on any loop; in a callback it only asks."""
        from echoserver.loops import ends_within, running_loop

        loop = running_loop("stop_async()")
        waits = not self.core.in_callback()
        self._ask(timeout, waits=waits)
        if not waits:
            return
        if self.core.is_started:
            limit = self.core.stop_timeout if timeout is None else timeout
            if timeout is None:
                await self._drop_after_grace(loop)
            has_ended = await ends_within(self._closed(loop), limit)
            if not has_ended and timeout is not None and self.grace is not None:
                self._drop()
            for _ in range(_DROP_ATTEMPTS):
                has_ended = has_ended or await ends_within(self._closed(loop), _DROP_WAIT)
                if has_ended or self._gives_up():
                    break
            if not has_ended:
                raise self._still_runs(limit)
        self._finish()

    def _closed(self, loop: AbstractEventLoop) -> Awaitable[None]:
        """Ends when the server has."""
        if self._door is not None and self._door.loop is loop:
            return self._door.closed()
        return self.core.closed()

    def iterate(self) -> Clients:
        """An iterator over the clients."""
        threads.check_workers(self.core.is_driven, "`async for`")
        from echoserver.aio import Clients

        return Clients(self.core, self._door, self._iterators, self._waiting)

    # At the end of the interpreter, or of a test

    @property
    def was_started(self) -> bool:
        """Whether it was; stays true."""
        return self.core.is_started

    def runs(self) -> bool:
        """Whether it was started and has not ended; False in a forked child, whose parent has it."""
        try:
            return self.core.is_started and not self.core.wait(0)
        except RuntimeError:
            return False

    def left_over(self) -> AssertionError | None:
        """What to raise if it does not end; one that was asked to has the rest of its time for it."""
        left = self.core.time_left()
        if self.core.wait(0 if left is None else left + _DROP_WAIT):
            return None
        why = ": it was started, and not stopped" if left is None else ", though it was asked to stop"
        return AssertionError(f"{shown(self._owner())} still runs{why}")

    def ask(self) -> bool:
        """Asks the server to stop; False in a forked child, whose parent has it."""
        try:
            self.core.stop(None)
        except RuntimeError:
            return False
        return True

    def end(self) -> None:
        """Stops the server; who has waited for it in vain before does not wait again."""
        limit = self.core.time_left() or 0
        if self._is_stuck():
            # Nobody will run it any more.
            self.core.abandon(limit)
        if not self._wait_for_stop(None, limit):
            what = self.core.running_callback() or "a thread"
            logging.getLogger("echoserver").warning("at exit: %s: %s still runs", shown(self._owner()), what)

    # What it is made of

    def _ask(self, timeout: float | None, *, waits: bool) -> None:
        timeout = checked_timeout(timeout)
        if waits and self.grace is not None and timeout is not None:
            # It is dropped here what is left then, to know who it is.
            timeout += _DROP_WAIT
        self.core.stop(timeout)
        if not self.core.is_started:
            # Nobody else will tell them.
            for clients in tuple(self._iterators):
                clients.end_from_anywhere()

    def _check_iterators(self) -> None:
        """An iterator over clients that were served in a thread would wait for ever."""
        if self._iterators and not self.core.is_used:
            raise RuntimeError(
                "`async for` takes the clients on the event loop that serves them: "
                "run the server with serve_async() or `async with`"
            )

    def _note_start(self) -> None:
        """Before the start, so that Ctrl-C right after it finds things in order; one that is used stays as it is."""
        if not self.core.is_used:
            running.note(self)

    def _abandon(self) -> None:
        """Ends a server that was started, where nobody may run its dispatcher."""
        if self.core.is_started:
            self.core.stop(0)
            # Not to be joined if it has not begun.
            thread, self._thread = self._thread, None
            try:
                self.core.drain()
            except RuntimeError:
                # Somebody runs it, or has run it.
                self._thread = thread

    def _run(self, context: Context, owner: object) -> None:
        try:
            if self._is_async:
                self._failure = self._serve_on_loop(self.core, context, owner, starts=False)
            else:
                self.core.drain()
        except BaseException as error:  # Raised where somebody waits for the server.
            self._failure = error

    def _open(self, call: str) -> Door:
        from echoserver import aio, loops

        loops.running_loop(call)
        threads.check_workers(self.core.is_driven, call)
        self._note_start()
        self.core.start()
        try:
            self._door = aio.Door(self.core, copy_context(), self._owner(), self._iterators)
        except BaseException:
            self.core.abandon(0)
            raise
        return self._door

    async def _drop_after_grace(self, loop: AbstractEventLoop) -> None:
        from echoserver.loops import ends_within

        if self.grace is not None and not await ends_within(self._closed(loop), self.core.drain_time + self.grace):
            self._drop()

    def _drop(self) -> None:
        """Drops the clients that are left."""
        for client in self.core.clients():
            # Of one that a fault holds up nothing was expected.
            if not client._is_held:
                self.dropped[client] = None
            client.abort()

    def _wait_for_stop(self, timeout: float | None, limit: float) -> bool:
        """Whether it ends within `limit`, or when what is left then is dropped; `timeout` is that of the stop."""
        core = self.core
        way_out = threads.way_out_of_loop() if timeout is None else None
        grace = _LOOP_WAIT if way_out else self.grace
        if timeout is None and grace is not None and not core.wait(core.drain_time + grace):
            self._drop()
        has_ended = core.wait(limit)
        if not has_ended and timeout is not None and grace is not None:
            self._drop()
        for _ in range(_DROP_ATTEMPTS):
            has_ended = has_ended or core.wait(_DROP_WAIT)
            if has_ended or self._gives_up():
                break
        if has_ended and way_out and self.dropped:
            threads.warn_of_loop(shown(self._owner()), len(self.dropped), way_out)
        return has_ended

    def _gives_up(self) -> bool:
        """Whether nothing more can be done to end the server."""
        return self.core.running_callback() is not None or self._is_stuck()

    def _check_used(self) -> None:
        if not self.core.is_used:
            raise RuntimeError("the server was not started, so there is nothing to wait for")

    def _end_wait(self, timeout: float | None, *, has_ended: bool) -> None:
        """What the wait for the end comes to, which has a limit unless the server has ended."""
        if not has_ended:
            raise TimeoutError(f"the server still runs after {timeout:g} s")
        self._finish()

    def _still_runs(self, limit: float) -> TimeoutError:
        if self._is_stuck():
            return TimeoutError(f"the event loop of the callbacks did not run for {limit:g} s")
        return TimeoutError(f"{self.core.running_callback() or 'the server'} still runs after {limit:g} s")

    def _is_stuck(self) -> bool:
        """Whether the event loop that has to run the callbacks does not run."""
        return any(door is not None and not door.loop.is_running() for door in (self._door, self._qt_door))

    def _finish(self) -> None:
        """The server has ended: its thread does, and what a callback raised to end it comes out, once."""
        thread = self._thread
        if thread is not None:
            thread.join(_JOIN_TIMEOUT)
            if thread.is_alive():
                raise TimeoutError(f"the server has ended, but its thread {thread.name} still runs")
        for door in (self._door, self._qt_door):
            if door is not None:
                self._failure = door.take_failure() or self._failure
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
