"""The faults of the core's table as Python classes, as a table of docs/faults.md, and as words for the fuzzer.

`make faults` writes these.

test_faults_table.py compares.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from echoserver._core import FAULTS
from echoserver.testing import Accept, Delay, Response

__all__ = ["CLASSES", "DICTIONARY", "DOCUMENT", "PACKAGE", "classes", "dictionary", "document", "package"]

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ROOT / "python" / "echoserver" / "testing" / "faults.py"
PACKAGE = CLASSES.with_name("__init__.py")
DOCUMENT = ROOT / "docs" / "faults.md"
DICTIONARY = ROOT / "tests" / "fuzz" / "faults.dict"

_WIDTH = 120
_HEAD = '''"""The kinds of faults, for `EchoServer.fault()`. Made from the core's table by `make faults`."""

from __future__ import annotations

from dataclasses import dataclass
{typing}
from echoserver.faults import FaultKind

__all__ = [
{names}
]
'''
# Where the table of the document begins; it is the rest of it.
_TABLE = "## All faults\n"
_OPPORTUNITIES = {
    "message out": "a message that goes out",
    "frame out": "a frame, or a fragment of it, that goes out",
    "bytes": "bytes that move",
    "state": "none: it lasts",
    "request": "a good upgrade request",
}


# More than a table can say; their classes are written by hand.
_WRITTEN = (Accept, Delay, Response)


def _made() -> list[dict[str, Any]]:
    """Those whose classes are made."""
    return [row for row in FAULTS if row["class"] not in {kind.__name__ for kind in _WRITTEN}]


def classes() -> str:
    """The module."""
    names = sorted(row["class"] for row in _made())
    parts = [_class(row) for row in _made()]
    typing = "from typing import Literal\n" if any("Literal" in part for part in parts) else ""
    head = _HEAD.format(typing=typing, names="\n".join(f'    "{name}",' for name in names))
    return "\n\n".join([head, *parts])


def _class(row: dict[str, Any]) -> str:
    told = f"Seen as: {row['wire']}. A strict client {row['strict']} (RFC 6455 section {row['section']})."
    when = f"Its opportunity is {_OPPORTUNITIES[row['opportunity']]}; selectors: {', '.join(row['selectors'])}."
    lines = [
        "@dataclass(frozen=True)",
        f"class {row['class']}(FaultKind):",
        *_wrapped(f'"""{row["summary"]}'),
        "",
        *_wrapped(f"{told} {when}"),
        '    """',
    ]
    for parameter in row["parameters"]:
        default = f" = {_literal(parameter['default'])}" if "default" in parameter else ""
        kind = parameter["type"].replace("'", '"')
        lines += ["", f"    {parameter['name']}: {kind}{default}"]
        lines += _wrapped(f'"""{parameter["range"][0].upper()}{parameter["range"][1:]}."""')
    return "\n".join(lines) + "\n"


def package(text: str) -> str:
    """What has the classes beside others, with those of the table."""
    before, heading, rest = text.partition("from echoserver.testing.faults import (\n")
    were, end, after = rest.partition(")\n")
    others = set(re.findall(r'"(\w+)"', after)) - set(re.findall(r"\w+", were))
    names = sorted(row["class"] for row in _made())
    imported = "".join(f"    {name},\n" for name in names)
    # As ruff sorts them: constants, classes, functions.
    everything = sorted({*others, *names}, key=lambda name: (name[0].islower(), name))
    listed = "".join(f'    "{name}",\n' for name in everything)
    after = re.sub(r"__all__ = \[\n.*?\]\n", lambda _: f"__all__ = [\n{listed}]\n", after, flags=re.DOTALL)
    return before + heading + imported + end + after


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def document(text: str) -> str:
    """The document, with its table."""
    before, heading, _ = text.partition(_TABLE)
    rows = [
        "| | as text | opportunity | what is seen | what a strict client does | RFC 6455 |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| `{_call(row)}` | `{_text(row)}` | "
            f"{row['opportunity']} | {row['wire']} | {row['strict']} | {row['section']} |"
            for row in FAULTS
        ),
    ]
    parameters = [
        "| | | can be |",
        "| --- | --- | --- |",
        *(
            # All violations are too many for a cell.
            f"| `{row['class']}` | `{parameter['name']}` | {parameter['range'].partition(':')[0]} |"
            for row in FAULTS
            for parameter in row["parameters"]
        ),
    ]
    return before + heading + "\n" + "\n".join(rows) + "\n\n" + "\n".join(parameters) + "\n"


def _text(row: dict[str, Any]) -> str:
    return "=".join([row["name"], *(parameter["name"] for parameter in row["parameters"][:1])])


def _call(row: dict[str, Any]) -> str:
    for kind in _WRITTEN:
        if kind.__name__ == row["class"]:
            own = inspect.signature(kind).parameters.values()
            return f"{kind.__name__}({', '.join(map(_argument, own))})"
    parameters = [
        f"{one['name']}={_literal(one['default'])}" if "default" in one else one["name"] for one in row["parameters"]
    ]
    return f"{row['class']}({', '.join(parameters)})"


def _argument(parameter: inspect.Parameter) -> str:
    return str(parameter.replace(annotation=inspect.Parameter.empty))


def dictionary() -> str:
    """Words of which texts of faults are made, as libFuzzer takes them."""
    words = [word for row in FAULTS for word in (row["name"], *(one["name"] for one in row["parameters"]))]
    words += [selector for row in FAULTS for selector in row["selectors"]]
    words += ["seed", "info", "in", "out", "both", "rsv1", "ms", "min", "KiB", "kB", "1011", "60"]
    words += [*"=&,:%", "%2C", "%0a"]
    return "".join(f'"{word}"\n' for word in dict.fromkeys(words))


def main() -> None:
    """Writes what has changed."""
    made = (
        (CLASSES, classes()),
        (PACKAGE, package(PACKAGE.read_text(encoding="utf-8"))),
        (DOCUMENT, document(DOCUMENT.read_text(encoding="utf-8"))),
        (DICTIONARY, dictionary()),
    )
    for path, text in made:
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print("changed:", path.relative_to(ROOT))


if __name__ == "__main__":
    main()
