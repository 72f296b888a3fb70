"""The methods of EchoServer for asyncio programs. Imports asyncio only when one of them is called."""

from __future__ import annotations

import contextvars
from weakref import WeakSet

# Not from typing, which takes long to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from echoserver._core import Client
    from echoserver.aio import Clients, Door
    from echoserver.server import EchoServer

__all__ = ["AsyncServer"]


class AsyncServer:
    """What EchoServer has for asyncio."""

    _door: Door | None
    # Those that somebody has, and of them those that wait.
    _iterators: WeakSet[Clients]
    _waiting: set[Clients]

    def __init__(self) -> None:
        self._door = None
        self._iterators = WeakSet()
        self._waiting = set()

    async def serve_async(self) -> None:
        """Serves on the running event loop, which also runs the callbacks, until the server is stopped.

        Callbacks may be `async def`. Cancelled, it stops the server in order (clients get 1001, within
        `close_timeout`), and is cancelled then; cancelled once more, it drops what is left. `stop()` in the loop's
        thread only asks. RuntimeError if the server ran or was stopped before, or if no asyncio loop runs.
        """
        await self._open("serve_async()").wait()
        self._own()._finish()

    async def __aenter__(self) -> Self:
        """Serves on the running event loop while the block runs, as `serve_async()` does."""
        self._open("async with").keep()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops the server as `stop()` does, and waits for its end as `serve_async()` does."""
        server = self._own()
        server._core.stop(None)
        door = self._door
        if kind is GeneratorExit or door is None or door.loop.is_closed():
            # The coroutine is thrown away, perhaps with its loop: nothing can be awaited.
            return
        await door.wait()
        server._finish()

    async def wait_closed_async(self) -> None:
        """Returns when the server has stopped and its callbacks have ended; on any event loop, however it is served.

        Cancelled, it leaves the server alone; for a time limit use `asyncio.timeout()`. RuntimeError if the server was
        never started, or in a callback, which would wait for itself.
        """
        from echoserver.aio import running_loop

        server = self._own()
        loop = running_loop("wait_closed_async()")
        if server._core.in_callback():
            raise RuntimeError("wait_closed_async() in a callback would wait for itself")
        if not server._is_used:
            raise RuntimeError("the server was not started, so there is nothing to wait for")
        if self._door is not None and self._door.loop is loop:
            await self._door.closed()
        elif server._is_started:
            await server._core.closed()
        server._finish()

    def __aiter__(self) -> AsyncIterator[Client]:
        """The clients that are there and those that come, until the server has ended.

        From now on messages are not echoed: they wait for `async for message in client`, and a client whose messages
        nobody asks for is not read from. Ask for the iterator before the server is started (`clients = aiter(server)`)
        if not a single message may be echoed. RuntimeError with on_text or on_binary, which have the messages then, and
        on a loop that does not serve.
        """
        from echoserver.aio import Clients

        return Clients(self._own())

    def _own(self) -> EchoServer:
        return self  # type: ignore[return-value]  # It is a base of nothing else.

    def _open(self, call: str) -> Door:
        from echoserver.aio import Door, running_loop

        server = self._own()
        core = server._core
        running_loop(call)
        server._note_start()
        core.start()
        try:
            self._door = Door(server, contextvars.copy_context())
        except BaseException:
            core.abandon(0)
            raise
        return self._door
