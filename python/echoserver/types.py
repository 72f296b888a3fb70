"""What callbacks take and return, for annotations. Import the names from `echoserver`; none is needed to run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from echoserver._core import Accept, Client, NoReply, Request, Response

if TYPE_CHECKING:
    from typing_extensions import Buffer
else:
    try:
        from collections.abc import Buffer
    except ImportError:
        # Before CPython 3.12 there is no name for all of them.
        Buffer = bytes | bytearray | memoryview

__all__ = ["Decision", "OnBinary", "OnClient", "OnClosed", "OnError", "OnHandshake", "OnText", "Reply"]

Reply: TypeAlias = str | Buffer | NoReply | None
"""Of `on_text` and `on_binary`: None echoes, NO_REPLY sends nothing, anything else is sent instead."""

Decision: TypeAlias = Accept | Response | None
"""Of `on_handshake`: None and Accept let the client in, Response refuses it."""

OnHandshake: TypeAlias = Callable[[Request], Decision | Coroutine[Any, Any, Decision]]
"""`on_handshake`."""

OnClient: TypeAlias = Callable[[Client], object]
"""`on_connect` and `on_disconnect`: nothing is done with what they return, but a coroutine is awaited."""

OnText: TypeAlias = Callable[[Client, str], Reply | Coroutine[Any, Any, Reply]]
"""`on_text`."""

OnBinary: TypeAlias = Callable[[Client, bytes], Reply | Coroutine[Any, Any, Reply]]
"""`on_binary`."""

OnClosed: TypeAlias = Callable[[], object]
"""`on_closed`."""

OnError: TypeAlias = Callable[[Client | None, BaseException], object]
"""`on_error`; the client is None for `on_handshake` and `on_closed`."""
