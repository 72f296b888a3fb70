"""How Qt's names are reached: an enumeration's members at its class, and a sentence for what is left out."""

from __future__ import annotations

import enum
import sys
from typing import Final, NoReturn, TypeVar

__all__ = ["absent", "absent_from", "with_members"]

_Class = TypeVar("_Class", bound=type)

_SENTENCE: Final = (
    "has no {name!r}: without PySide6, echoserver.qt has of Qt what a WebSocket server needs; "
    "with it (pip install PySide6-Essentials) it has all of QtCore and QtNetwork"
)


def with_members(made: _Class) -> _Class:
    """`made`, with the members of its enumerations as attributes: `Qt.QueuedConnection` as in PySide6."""
    for inside in list(vars(made).values()):
        if isinstance(inside, type) and issubclass(inside, enum.Enum):
            for name, member in inside.__members__.items():
                if name not in vars(made):
                    setattr(made, name, member)
    return made


def absent(where: str, name: str) -> NoReturn:
    """Raises the AttributeError for `name`, which an object of the class `where` may have in Qt, but not here."""
    raise AttributeError(f"{where} {_SENTENCE.format(name=name)}", name=name)


def absent_from(module: str, name: str) -> NoReturn:
    """For `__getattr__` of a module: the same, which `from module import name` shows as well."""
    import dis

    asking = sys._getframe(2)
    if asking.f_lasti >= 0 and dis.opname[asking.f_code.co_code[asking.f_lasti]] == "IMPORT_FROM":
        # That statement puts a sentence of its own in place of an AttributeError's.
        raise ImportError(f"{module} {_SENTENCE.format(name=name)}", name=module)
    absent(module, name)
