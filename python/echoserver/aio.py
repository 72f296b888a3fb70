"""The asyncio door: what an event loop needs to run a server's callbacks. Imported when it is first used.

Messages don't pass through here: the loop calls `_core.Reader` when something is queued. Here is how that comes to the
loop and goes from it, how waiting and cancelling work, and iteration, for those who prefer it to callbacks.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from collections import deque
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from echoserver._core import Callbacks, at_end, checked_timeout, keep_for_ever, shown
from echoserver.loops import can_watch, ends_within, running_loop

if TYPE_CHECKING:
    from contextvars import Context

    from echoserver._core import Client, Held, Mail, Reader, Server

__all__ = ["Clients", "Door", "Inbox", "Messages", "serve"]

# Seconds that clients have for their good-bye when the loop was closed under the server.
_LOST_TIMEOUT = 0.5


class Door:
    """A server on the running loop, from now until it has ended."""

    def __init__(
        self, core: Server, context: Context, owner: object, iterators: WeakSet[Clients], *, is_owned: bool = False
    ) -> None:
        """Has the loop run the callbacks of a server that is started, each in a copy of `context`.

        `owner` is the server as its user has it, and kept; `iterators` are those over its clients. `is_owned`: the loop
        is the server's, whose end therefore comes after that of the loop.
        """
        self.loop = asyncio.get_running_loop()
        self._core = core
        self._owner = owner
        self._iterators = iterators
        self._failure: BaseException | None = None
        self._closed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.is_forked = False
        reader = core.attach(self.loop, context, self, is_watched=can_watch(self.loop), is_owned=is_owned)
        self._fileno = reader.fileno()
        if self._fileno is None:
            threading.Thread(target=self._watch, args=[reader], name=f"echoserver-{core.port}", daemon=True).start()
        else:
            # The loop has the only reference: see `lost`.
            self.loop.add_reader(self._fileno, reader)
        _doors.add(self)

    @property
    def is_closed(self) -> bool:
        """Whether the server has ended."""
        return self._closed.is_set()

    def keep(self) -> None:
        """Has a task of the loop stop the server when it is cancelled, as `asyncio.run` does at its end."""
        self._keeper = self.loop.create_task(self._keep(), name=f"echoserver-{self._core.port}")

    async def closed(self) -> None:
        """Returns when the server has ended."""
        await self._closed.wait()

    async def wait(self) -> None:
        """Returns when the server has ended. Cancelled, it stops the server in order first; a second time, at once."""
        cancelled = await self._wait()
        if cancelled and self._failure is None:
            raise cancelled

    def take_failure(self) -> BaseException | None:
        """What has ended the server and has to come out; once."""
        failure, self._failure = self._failure, None
        return failure

    def end_in_child(self) -> None:
        """In a forked child the server is the parent's: whoever waits for its end gets an error.

        The selector stays as it is: the child's is the parent's as well, which would hear nothing any more.
        """
        self.is_forked = True
        with suppress(RuntimeError):
            # It runs in the thread that has forked, or nowhere.
            self.loop.call_soon(self._end_in_child)

    def _end_in_child(self) -> None:
        self.back_in_child(None)
        try:
            self._core.stop(0)
        except RuntimeError as error:
            self._failure = error
        self._closed.set()
        for clients in tuple(self._iterators):
            clients.end()

    async def _keep(self) -> None:
        await self._wait()

    async def _wait(self) -> asyncio.CancelledError | None:
        """As `wait`, but gives the first cancellation back."""
        first: asyncio.CancelledError | None = None
        while not self._closed.is_set():
            try:
                with _unrepeated() if first else nullcontext():
                    await self._closed.wait()
            except asyncio.CancelledError as error:
                if first is None:
                    first = error
                    self._core.stop(None)
                elif not _is_same(error, first):
                    self._core.stop(0)
        return first

    def _watch(self, reader: Reader) -> None:
        while reader.wait():
            try:
                self.loop.call_soon_threadsafe(reader)
            except RuntimeError:
                self.lost()
                return

    # What the core calls, on the loop.

    def came(self, client: Client, held: Held) -> None:
        """A client has come, and somebody may iterate over clients; what it costs is charged while `held` is."""
        for clients in tuple(self._iterators):
            clients.push(client, held)

    def ended(self, failure: BaseException | None) -> None:
        """The server has ended; `failure` is what ended it, if that has to come out."""
        if self._fileno is not None:
            self.loop.remove_reader(self._fileno)
        self._failure = failure
        self._closed.set()
        for clients in tuple(self._iterators):
            clients.end()

    def back_in_child(self, task: asyncio.Task[None] | None) -> None:
        """A forked child goes back to the loop, out of a step of that task.

        asyncio takes no loop for running in a child, which may run one of its own, and from 3.14 on no task; who comes
        back finds its step refused then, and those of all other tasks, which would wait for ever.
        """
        if asyncio._get_running_loop() is None:
            asyncio._set_running_loop(self.loop)
        if task is not None and asyncio.current_task(self.loop) is None:
            asyncio.tasks._enter_task(self.loop, task)

    def lost(self) -> None:
        """The loop was closed, and has dropped what it had of us, before the server was stopped."""
        self._core.abandon(_LOST_TIMEOUT)
        warnings.warn(
            f"{shown(self._owner)}: its event loop was closed while it served; stop it before that",
            ResourceWarning,
            source=self._owner,
            stacklevel=2,
        )


_doors: WeakSet[Door] = WeakSet()


def _end_all_in_child() -> None:
    for door in tuple(_doors):
        door.end_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_all_in_child)


def _is_same(error: asyncio.CancelledError, first: asyncio.CancelledError) -> bool:
    """Whether it is one cancellation, delivered again: anyio does that until the task has ended, with a message."""
    return bool(first.args and first.args[0]) and error.args == first.args


def _unrepeated() -> AbstractContextManager[object]:
    """While it lasts anyio does not repeat a cancellation, which it would do at every turn of the loop."""
    shielded = getattr(sys.modules.get("anyio"), "CancelScope", None)
    return nullcontext() if shielded is None else shielded(shield=True)


def serve(core: Server, context: Context, owner: object, *, starts: bool) -> BaseException | None:
    """Runs the callbacks on a loop of this thread's own, until the server has ended; `starts` it if that is asked for.

    Gives back what a callback raised to end it. In the main thread Ctrl-C stops the server in order, and is raised
    then.
    """
    door: Door | None = None
    # Else somebody else's, who runs it.
    is_ours = not starts
    # A forked child ends itself.
    leaves = False

    async def main() -> None:
        nonlocal door, is_ours
        if starts:
            core.start()
            is_ours = True
        door = Door(core, context, owner, WeakSet(), is_owned=True)
        await door.wait()

    runner = asyncio.Runner()
    try:
        runner.run(main())
    except SystemExit:
        leaves = door is not None and door.is_forked
        raise
    finally:
        try:
            if door is not None and door.is_forked:
                keep_for_ever(runner)
            else:
                _end(runner, core, door)
        finally:
            # Another Ctrl-C may strike before.
            if door is None:
                if is_ours:
                    core.abandon(0)
            elif not leaves:
                # In a forked child it is the error that comes out.
                core.end_drain()
    return None if door is None else door.take_failure()


def _end(runner: asyncio.Runner, core: Server, door: Door | None) -> None:
    try:
        # A second Ctrl-C may have struck the very task that waits.
        if door is not None and not door.is_closed:
            core.stop(0)
            runner.run(door.closed())
    finally:
        runner.close()


class Inbox:
    """Messages of one client that nobody has asked for yet."""

    def __init__(self) -> None:
        self._mail: deque[Mail] = deque()
        self._is_over = False
        self._news = asyncio.Event()

    @property
    def is_waiting(self) -> bool:
        """Whether `next` would wait, unless it is at the end of a batch."""
        return not self._mail and not self._is_over

    def push(self, mail: Mail) -> None:
        """A batch of messages has come."""
        self._mail.append(mail)
        self._news.set()

    def end(self) -> None:
        """The client is gone."""
        self._is_over = True
        self._news.set()

    def settle(self) -> None:
        """Whoever had the last message is done with it."""
        if self._mail:
            self._mail[0].settle()

    async def next(self) -> str | bytes | None:
        """The next message; None if none will come any more."""
        while True:
            if self._mail:
                message = self._mail[0].next()
                if message is not None:
                    return message
                self._mail.popleft()
            elif self._is_over:
                return None
            else:
                self._news.clear()
                await self._news.wait()


class Messages:
    """An iterator over the messages of one client, which ends with the client."""

    def __init__(self, client: Client, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox

    def __del__(self) -> None:
        # After a `break` the client's close frame would wait for the answer to the last message.
        self._inbox.settle()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        if self._inbox.is_waiting and _is_in_callback(self._client):
            raise RuntimeError(
                "`async for` in a callback of the same client would wait for itself: "
                "messages come when the callback has returned, so iterate in a task of its own"
            )
        message = await self._inbox.next()
        if message is None:
            raise StopAsyncIteration
        return message


async def client_closed(client: Client, timeout: float | None) -> int:
    """The close code of a client, when its connection has ended."""
    limit = checked_timeout(timeout)
    if client.close_code is None:
        if _is_in_callback(client):
            raise RuntimeError(
                "wait_closed_async() in a callback of the same client would wait for itself: "
                "await it in a task of its own"
            )
        if not await ends_within(at_end(client), limit):
            raise TimeoutError(client._not_ended(timeout))
    code = client.close_code
    assert code is not None
    return code


def _is_in_callback(client: Client) -> bool:
    """Whether the task that runs is that of the client's callbacks."""
    task = asyncio.current_task()
    coroutine = task and task.get_coro()
    return isinstance(coroutine, Callbacks) and coroutine.is_of(client)


class Clients:
    """An iterator over the clients of a server: those that are there and those that come, until the server ends."""

    def __init__(self, core: Server, door: Door | None, iterators: WeakSet[Clients], waiting: set[Clients]) -> None:
        """Needs the loop that serves. It is among `iterators`, which are told, and among `waiting` while it waits."""
        self._loop = running_loop("`async for`")
        if core.is_started and (door is None or door.loop is not self._loop):
            raise RuntimeError("`async for` needs the event loop that serves: use serve_async() or `async with` there")
        core.iterate()
        self._all_waiting = waiting
        self._clients: deque[tuple[Client, Held | None]] = deque((client, None) for client in core.clients())
        # They are announced once more if the core has not got to them yet.
        self._early = {client.id for client, _ in self._clients}
        self._news = asyncio.Event()
        self._is_over = core.is_used and (door is None or door.is_closed)
        iterators.add(self)

    def push(self, client: Client, held: Held) -> None:
        """A client has come."""
        if client.id in self._early:
            self._early.discard(client.id)
            return
        self._clients.append((client, held))
        self._news.set()

    def end(self) -> None:
        """The server has ended."""
        self._is_over = True
        self._news.set()

    def end_from_anywhere(self) -> None:
        """The same, said in any thread."""
        # Where the loop is closed nobody iterates any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.end)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Client:
        while not self._clients:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            # A task that nobody else refers to would be collected while it waits.
            self._all_waiting.add(self)
            try:
                await self._news.wait()
            finally:
                self._all_waiting.discard(self)
        return self._clients.popleft()[0]
