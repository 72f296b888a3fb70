"""The callbacks of a server as its attributes: each may be a method of a subclass, or be set."""

from __future__ import annotations

from echoserver._core import CALLBACKS

# Not from typing, which takes longer to import than all that is here. The same is why imports are in functions.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Coroutine
    from typing import Any

    from echoserver._core import Client, Request
    from echoserver.run import Run
    from echoserver.types import Decision, OnBinary, OnClient, OnClosed, OnError, OnHandshake, OnText, Reply

__all__ = ["CallbackAttributes"]

# mypy takes it for true.
MYPY = False


class CallbackAttributes:
    """What of `EchoServer` is its callbacks."""

    if TYPE_CHECKING:
        # Each may be set, and overridden by a method. mypy allows both of an attribute, and pyright of a method; which
        # of the two conditions is never true is known only to the other one.
        if os.name == "":
            on_handshake: OnHandshake | None
            on_connect: OnClient | None
            on_text: OnText | None
            on_binary: OnBinary | None
            on_disconnect: OnClient | None
            on_closed: OnClosed | None
            on_error: OnError | None
        if not MYPY:

            def on_handshake(self, request: Request, /) -> Decision | Coroutine[Any, Any, Decision]: ...  # noqa: D102
            def on_connect(self, client: Client, /) -> object: ...  # noqa: D102
            def on_text(self, client: Client, message: str, /) -> Reply | Coroutine[Any, Any, Reply]: ...  # noqa: D102
            def on_binary(self, client: Client, message: bytes, /) -> Reply | Coroutine[Any, Any, Reply]: ...  # noqa: D102
            def on_disconnect(self, client: Client, /) -> object: ...  # noqa: D102
            def on_closed(self) -> object: ...  # noqa: D102
            def on_error(self, client: Client | None, error: BaseException, /) -> object: ...  # noqa: D102
    else:
        # In the body of a class these are its attributes.
        locals().update(dict.fromkeys(CALLBACKS))

    @property
    def _run(self) -> Run:
        raise NotImplementedError

    def __init_subclass__(cls, **options: object) -> None:
        """TypeError for a method that is named as a callback, and is none."""
        super().__init_subclass__(**options)
        named = [name for name in vars(cls) if name.startswith("on_")]
        if named:
            from echoserver.callbacks import check_name

            for name in named:
                check_name(cls.__name__, name)

    # A type checker that knew of it would take any name.
    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            if name.startswith("on_"):
                self._set_callback(name, value)
            object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            object.__delattr__(self, name)
            if name.startswith("on_"):
                # What the class has stays.
                self._set_callback(name, getattr(self, name, None))

    def _set_callback(self, name: str, callback: Any) -> None:
        from echoserver.callbacks import check, check_name, is_async

        check_name(type(self).__name__, name)
        check(name, callback)
        if is_async(callback):
            self._run.allow_async(name)
        self._run.core.set_callback(name, callback)
