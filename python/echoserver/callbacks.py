"""Where a server's callbacks come from: the arguments of its constructor, or methods of a subclass."""

from __future__ import annotations

from echoserver._core import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["is_async", "resolve"]


def resolve(server: object, arguments: Mapping[str, Callable[..., Any] | None]) -> dict[str, Callable[..., Any] | None]:
    """The callbacks of `server` by name: for each the argument, else the method of its class.

    TypeError for one that is both, that can't be called, or that is an asynchronous generator.
    """
    return {name: _resolve_one(server, name, argument) for name, argument in arguments.items()}


def _resolve_one(server: object, name: str, argument: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if getattr(type(server), name, None) is None:
        callback = argument
    elif argument is None:
        callback = getattr(server, name)
    else:
        raise TypeError(
            f"{name}={shown(argument)}: {type(server).__name__} has a method of that name; give one of the two"
        )
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(f"{name}={shown(callback)}: must be callable or None")
    import inspect

    if _is(callback, inspect.isasyncgenfunction):
        raise TypeError(
            f"{name}={shown(callback)}: must be a function or an `async def`, not an asynchronous generator"
        )
    return callback


def is_async(callbacks: Mapping[str, Callable[..., Any] | None]) -> bool:
    """Whether one of them is an `async def`, so that an event loop has to run them."""
    if not any(callbacks.values()):
        return False
    import inspect

    return any(callback is not None and _is(callback, inspect.iscoroutinefunction) for callback in callbacks.values())


def _is(callback: Callable[..., Any], what: Callable[[object], bool]) -> bool:
    """Whether it is such a function, or is called by one: a method, a partial, an object with `__call__`.

    Or by a plain function around one, which says so as `functools.wraps` does.
    """
    import functools
    import inspect

    while isinstance(callback, functools.partial):
        callback = callback.func
    if inspect.isfunction(callback) or inspect.ismethod(callback):
        callback = inspect.unwrap(callback)
    return what(callback) or what(type(callback).__call__)
