"""That imports run one way: no circle of files, in Rust or in Python."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
Graph = dict[str, set[str]]

pytestmark = pytest.mark.skipif(not (ROOT / "src").is_dir(), reason="needs the sources")


def rust_files() -> dict[tuple[str, ...], Path]:
    """The files of the crate by the path of their module."""
    files = {}
    for path in (ROOT / "src").rglob("*.rs"):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        files[parts[:-1] if parts[-1] in {"mod", "lib"} else parts] = path
    return files


def rust_paths(text: str) -> Iterator[list[str]]:
    """The paths in `use` declarations, groups written out, and those that begin with `crate::` or so elsewhere."""
    text = re.sub(r"//[^\n]*", "", text)
    # What a fuzzer finds is for nobody else.
    text = re.sub(r"#\[cfg\(fuzzing\)\]\s*pub use [^;]*;", "", text)
    # Who may use it is not what it uses.
    text = re.sub(r"\bpub\(in [^)]*\)", "pub", text)
    # Inline tests may use what they like: nobody uses them.
    text = re.sub(r"#\[cfg\(test\)\]\s*mod \w+ \{.*", "", text, flags=re.DOTALL)
    use = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)
    for declaration in use.findall(text):
        yield from (path.split("::") for path in written_out(re.sub(r"\s+", "", declaration.replace(" as ", "::as::"))))
    for path in re.findall(r"\b(?:crate|super|self)(?:::\w+)+", use.sub("", text)):
        yield path.split("::")


def written_out(tree: str) -> Iterator[str]:
    """`a::{b, c::d}` as `a::b` and `a::c::d`."""
    before, brace, inside = tree.partition("{")
    if not brace:
        yield tree
        return
    depth, item = 0, ""
    for char in inside[: inside.rindex("}")] + ",":
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            if item:
                yield from written_out(before + item)
            item = ""
        else:
            item += char


def rust_imports() -> Graph:
    files = rust_files()
    graph: Graph = {}
    for module, file in files.items():
        found = graph[name(file)] = set()
        for path in rust_paths(file.read_text(encoding="utf-8")):
            target = list(module)
            match path[0]:
                case "crate":
                    target = []
                case "self":
                    pass
                case "super":
                    target.pop()
                case child if (*module, child) in files:
                    target.append(child)
                case _:
                    continue
            for part in path[1:]:
                if part == "super":
                    target.pop()
                elif (*target, part) in files:
                    target.append(part)
                else:
                    break
            found.add(name(files[tuple(target)]))
        found.discard(name(file))
    return graph


def python_imports() -> Graph:
    package = ROOT / "python"
    files = {}
    for path in (package / "echoserver").rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: Graph = {}
    for file in files.values():
        found = graph[name(file)] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert node.level == 0
                # A module of the package, or else what is in it.
                inside = [f"{node.module}.{each.name}" for each in node.names]
                modules = [one if one in files else node.module for one in inside]
            else:
                continue
            found.update(name(files[module]) for module in modules if module in files)
        found.discard(name(file))
    return graph


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def circles(graph: Graph) -> list[set[str]]:
    """Files that reach each other."""
    reached = {file: reach(graph, file) for file in graph}
    groups = {frozenset(other for other in reached[file] if file in reached[other]) for file in graph}
    return sorted((set(group) for group in groups if group), key=sorted)


def reach(graph: Graph, file: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[file])
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += graph[one]
    return seen


def test_there_is_no_circle_of_files() -> None:
    rust, python = rust_imports(), python_imports()
    # What they see is what there is.
    assert "src/server/mod.rs" in rust["src/python/server.rs"]
    assert "python/echoserver/server.py" in python["python/echoserver/__init__.py"]
    assert circles(rust) + circles(python) == []


def test_circles_are_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(graph) == [{"a", "b", "c"}, {"d", "e"}]
    paths = rust_paths(
        "use crate::a::{self, b::{C, D}, e};\nuse super::f as g; // use crate::no;\nlet x = crate::h::i();"
    )
    assert sorted("::".join(path) for path in paths) == [
        "crate::a::b::C",
        "crate::a::b::D",
        "crate::a::e",
        "crate::a::self",
        "crate::h::i",
        "super::f::as::g",
    ]
