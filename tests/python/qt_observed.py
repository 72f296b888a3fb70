"""Runs a program for Qt and says on stdout, beside what it prints, which of its functions are called, with what.

    python -u qt_observed.py VARIANT PROGRAM [ARGUMENT ...]

Nothing of the program is changed but, for the variant "original", the package that it imports from: the interpreter
tells of the calls (`sys.setprofile`). What is called here is a line of JSON, [name, arguments].
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_LONG = 100


def main(variant: str, path: str, *arguments: str) -> None:
    source = Path(path).read_text(encoding="utf-8")
    assert "from echoserver.qt." in source
    if variant == "original":
        source = source.replace("from echoserver.qt.", "from PySide6.")
    sys.argv = [path, *arguments]
    code = compile(source, path, "exec")
    sys.setprofile(lambda frame, event, _: tell(frame, path) if event == "call" else None)
    exec(code, {"__name__": "__main__"})


def tell(frame: FrameType, path: str) -> None:
    code: CodeType = frame.f_code
    # A function's, and not that of a class or a comprehension; `main` and what is private are no slots.
    is_function = code.co_flags & inspect.CO_OPTIMIZED and "<" not in code.co_name
    if code.co_filename == path and is_function and code.co_name != "main" and code.co_name[0] != "_":
        names = code.co_varnames[1 : code.co_argcount]
        values = dict(frame.f_locals)
        print(json.dumps([code.co_name, [shown(values[name]) for name in names]]))


def shown(value: Any) -> str:
    if isinstance(value, str):
        text, size = repr(value), len(value)
    elif isinstance(value, bytes) or type(value).__name__ == "QByteArray":
        text, size = repr(bytes(value)), len(bytes(value))
    else:
        return type(value).__name__
    return text if size < _LONG else f"{size} long, {hashlib.sha256(text.encode()).hexdigest()[:16]}"


if __name__ == "__main__":
    main(*sys.argv[1:])
