"""Whose QtCore and QtNetwork it is: PySide6's, or the stand-ins."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Literal

__all__ = ["chosen", "is_valid", "module", "unknown"]

# So often a signal is emitted to see whether that loses references; fewer than `True` has in any process.
_EMITS = 32


def _choose() -> Literal["pyside6", "builtin"]:
    asked = os.environ.get("ECHOSERVER_QT", "")
    if asked not in {"", "pyside6", "builtin"}:
        raise ImportError(f"ECHOSERVER_QT={asked!r}: must be 'pyside6' or 'builtin', or not set")
    if asked == "builtin" or (not asked and find_spec("PySide6") is None):
        return "builtin"
    try:
        _check_references(importlib.import_module("PySide6.QtCore"))
    except ModuleNotFoundError as error:
        raise ImportError(f"ECHOSERVER_QT=pyside6: {error}; `pip install PySide6-Essentials` brings it") from error
    return "pyside6"


def _check_references(core: ModuleType) -> None:
    """Refuses a PySide6 that loses a reference to True at each emission, and so ends the process sooner or later."""
    if sys.version_info >= (3, 12):
        # Such objects are immortal there.
        return
    probe = type("Probe", (core.QObject,), {"happened": core.Signal()})()
    before = sys.getrefcount(True)
    for _ in range(_EMITS):
        probe.happened.emit()
    lost = before - sys.getrefcount(True)
    if lost >= _EMITS // 2:
        import ctypes

        for _ in range(lost):
            # Without them the process might abort at its end.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(True))
        version = importlib.import_module("PySide6").__version__
        python = ".".join(map(str, sys.version_info[:3]))
        raise ImportError(
            f"PySide6 {version} on CPython {python} loses a reference at every signal that is emitted, until the "
            f"process aborts: take another version of it or CPython 3.12 or later, or set ECHOSERVER_QT=builtin"
        )


_chosen: Literal["pyside6", "builtin"] | None = None


def chosen() -> Literal["pyside6", "builtin"]:
    """Which of the two it is in this process. ImportError with a sentence if that can't be had."""
    global _chosen  # noqa: PLW0603  # Once for the process: objects of the two can't be mixed.
    if _chosen is None:
        _chosen = _choose()
    return _chosen


def module(name: str) -> ModuleType:
    """The module of that name, such as "QtCore"."""
    package = "PySide6" if chosen() == "pyside6" else "echoserver.qt.builtin"
    return importlib.import_module(f"{package}.{name}")


def unknown(one: object, above: Any, name: str) -> object:
    """What `above`, the `super()` of `one`, says of an attribute that is not there."""
    try:
        say = above.__getattr__
    except AttributeError:
        raise AttributeError(f"{type(one).__name__!r} object has no attribute {name!r}") from None
    return say(name)


def _validity() -> Callable[[object], bool]:
    if chosen() == "pyside6":
        valid: Callable[[object], bool] = importlib.import_module("shiboken6").isValid
        return valid
    return module("QtCore").isValid  # type: ignore[no-any-return]


# Whether a QObject was not deleted yet, by Qt or `deleteLater()`.
is_valid = _validity()


def check(qobject: object) -> None:
    """RuntimeError if it was deleted: what its methods begin with."""
    if not is_valid(qobject):
        raise RuntimeError(f"this {type(qobject).__name__} was deleted")
