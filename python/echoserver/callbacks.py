"""A server's callbacks: what can be one, and where it comes from. Their names are the core's."""

from __future__ import annotations

import sys

from echoserver._core import CALLBACKS, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

__all__ = ["check", "check_name", "is_async", "nearest", "resolve"]


def check_name(owner: str, name: str) -> None:
    """TypeError if `name` begins as those of callbacks do, and is none."""
    if name.startswith("on_") and name not in CALLBACKS:
        raise TypeError(f"{owner}.{name}: there is no such callback; did you mean {nearest(name, CALLBACKS)}?")


def nearest(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant."""
    import difflib

    return difflib.get_close_matches(name, names, 1, 0)[0]


def resolve(server: object, arguments: Mapping[str, Callable[..., Any] | None]) -> dict[str, Callable[..., Any] | None]:
    """The callbacks of `server` by name: for each the argument, else the method of its class.

    TypeError for one that is both, and as `check`.
    """
    return {name: _resolve_one(server, name, argument) for name, argument in arguments.items()}


def _resolve_one(server: object, name: str, argument: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if getattr(type(server), name) is None:
        callback = argument
    elif argument is None:
        callback = getattr(server, name)
    else:
        raise TypeError(
            f"{name}={shown(argument)}: {type(server).__name__} has a method of that name; give one of the two"
        )
    check(name, callback)
    return callback


def check(name: str, callback: Callable[..., Any] | None) -> None:
    """TypeError for what can't be called, or is an asynchronous generator."""
    if callback is None:
        return
    if not callable(callback):
        raise TypeError(f"{name}={shown(callback)}: must be callable or None")
    import inspect

    if _is(callback, inspect.isasyncgenfunction):
        raise TypeError(
            f"{name}={shown(callback)}: must be a function or an `async def`, not an asynchronous generator"
        )


def is_async(callback: Callable[..., Any] | None) -> bool:
    """Whether it is an `async def`, so that an event loop has to run it."""
    if callback is None:
        return False
    import inspect

    return _is(callback, inspect.iscoroutinefunction) or _is_marked(callback)


def _is_marked(callback: Callable[..., Any]) -> bool:
    """Whether it says so in asyncio's way, as a mock of an `async def` does; who marks it has imported asyncio."""
    coroutines = sys.modules.get("asyncio.coroutines")
    mark = getattr(coroutines, "_is_coroutine", None)
    return mark is not None and getattr(callback, "_is_coroutine", None) is mark


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
