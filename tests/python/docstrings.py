"""The docstrings of the native module have one source, its stub: run this to copy them into the binding.

There they are `///`, which is what `help()` shows. `test_docstrings.py` finds where the two differ.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "python" / "echoserver" / "_core.pyi"
BINDING = ROOT / "src" / "python"

_ITEM = re.compile(
    r"""
    (?P<comment> (?: ^[ ]*///.*\n )* )
    (?P<attributes> (?: ^[ ]*\#\[ [^;{}]*? \]\n )* )
    (?P<declared>
        ^(?P<indent>[ ]*) (?:pub(?:\([^)]*\))?[ ])? (?:const[ ])?
        (?P<kind>fn[ ]|struct[ ]|impl[ ]|mod[ ]|) (?P<name>\w+)
    )
    """,
    re.MULTILINE | re.VERBOSE,
)


def of_the_stub() -> dict[str, str]:
    """Every docstring by the name of what has it: "" is the module, `Client.send` a method.

    Without the methods of Python's protocols, such as `__aiter__`: Python has docstrings of its own for them. What is
    for type checkers only has none when it runs; its members are those of the classes that inherit from it.
    """
    module = ast.parse(STUB.read_text(encoding="utf-8"))
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    documented: dict[str, ast.Module | ast.ClassDef | ast.FunctionDef] = {"": module}
    for node in module.body:
        if isinstance(node, ast.FunctionDef) or (isinstance(node, ast.ClassDef) and node.name[0] != "_"):
            documented[node.name] = node
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            documented |= {f"{node.name}.{member.name}": member for member in _members(node, classes)}
    docstrings = {name: ast.get_docstring(node) for name, node in documented.items()}
    return {name: docstring for name, docstring in docstrings.items() if docstring}


def _members(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.FunctionDef]:
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _members(classes[base.id], classes)
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("__") and not _is_setter(member):
            yield member


def _is_setter(member: ast.FunctionDef) -> bool:
    """It comes after the property that it belongs to, which has the docstring."""
    return any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in member.decorator_list)


class _File:
    """A file of the binding: what of it Python sees, and under which name."""

    def __init__(self, text: str, docstrings: dict[str, str]) -> None:
        self.text = text
        self.docstrings = docstrings
        self.found: set[str] = set()
        self._classes: dict[str, str] = {}  # Their names in Python, by those in Rust.
        self._class: str | None = None  # Whose struct or methods follow.
        self._has_all_fields = False

    def copied(self) -> str:
        """The file with the docstrings of the stub."""
        return _ITEM.sub(self._item, self.text)

    def _item(self, item: re.Match[str]) -> str:
        name = self._name_of(item)
        if name is None or name not in self.docstrings:
            return item[0]
        self.found.add(name)
        lines = (f"{item['indent']}/// {line}".rstrip() + "\n" for line in self.docstrings[name].splitlines())
        return "".join(lines) + item["attributes"] + item["declared"]

    def _name_of(self, item: re.Match[str]) -> str | None:
        """What Python calls it; None if it does not see it."""
        kind, name, attributes = item["kind"].strip(), item["name"], item["attributes"]
        if item["indent"] == "":
            named = re.search(r'#\[pyclass\(.*\bname = "(\w+)"', attributes)
            if named:
                self._classes[name] = named[1]
            self._class = self._classes.get(name)
            self._has_all_fields = "get_all" in attributes
            if kind == "mod" and "#[pymodule" in attributes:
                return ""
            if named or (kind == "fn" and "#[pyfunction" in attributes):
                return self._class or name
        elif item["indent"] == " " * 4 and self._class:
            is_getter = kind == "fn" and "#[setter]" not in attributes
            if is_getter or (kind == "" and (self._has_all_fields or "#[pyo3(get)]" in attributes)):
                return f"{self._class}.{name}"
        return None


def main() -> None:
    docstrings = of_the_stub()
    found: set[str] = set()
    for path in sorted(BINDING.rglob("*.rs")):
        file = _File(path.read_text(encoding="utf-8"), docstrings)
        copied = file.copied()
        if copied != file.text:
            path.write_text(copied, encoding="utf-8")
            print("changed:", path.relative_to(ROOT))
        found |= file.found
    for name in sorted(docstrings.keys() - found):
        print("nowhere in the binding:", name)


if __name__ == "__main__":
    main()
