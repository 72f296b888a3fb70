"""Where a server's callbacks come from: the arguments of its constructor, or methods of a subclass."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from typing_extensions import Buffer

    from echoserver._core import Accept, Client, NoReply, Request, Response

    # None echoes, NO_REPLY sends nothing, anything else is sent instead.
    Reply = str | Buffer | NoReply | None
    # None and Accept let the client in.
    OnHandshake = Callable[[Request], Accept | Response | None]
    # A callback may return anything where nothing is done with it.
    OnClient = Callable[[Client], object]
    OnText = Callable[[Client, str], Reply]
    OnBinary = Callable[[Client, bytes], Reply]
    OnClosed = Callable[[], object]

__all__ = ["resolve"]


def resolve(server: object, arguments: Mapping[str, Callable[..., Any] | None]) -> dict[str, Callable[..., Any] | None]:
    """The callbacks of `server` by name: for each the argument, else the method of its class.

    TypeError for one that is both, that can't be called, or that is an `async def`.
    """
    return {name: _resolve_one(server, name, argument) for name, argument in arguments.items()}


def _resolve_one(server: object, name: str, argument: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if getattr(type(server), name, None) is None:
        callback = argument
    elif argument is None:
        callback = getattr(server, name)
    else:
        raise TypeError(f"{name}={argument!r}: {type(server).__name__} has a method of that name; give one of the two")
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(f"{name}={callback!r}: must be callable or None")
    if _is_async(callback) or _is_async(type(callback).__call__):
        raise TypeError(f"{name}={callback!r}: must be a plain function, `async def` is not supported yet")
    return callback


def _is_async(function: object) -> bool:
    import inspect

    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
