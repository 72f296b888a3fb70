"""That a file has one subject: one of more than 400 lines has two, or is in the list here, with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST = 400

LONG = {
    "python/echoserver/_core.pyi": "all that Python sees of the native module, with its documentation",
    "python/echoserver/server.py": "one class, of which half is what `help(EchoServer)` says",
    "src/python/client.rs": "one class, whose methods PyO3 takes in one block, with what `help()` says of them",
    "src/python/server.rs": "one class, whose methods PyO3 takes in one block, with what `help()` says of them",
}

pytestmark = pytest.mark.skipif(not (ROOT / "src").is_dir(), reason="needs the sources")


def long_files(root: Path) -> dict[str, int]:
    """Their lines."""
    found = {}
    for folder in ("src", "python", "tests"):
        for path, inside, names in os.walk(root / folder):
            # Not what is built or installed there.
            inside[:] = [name for name in inside if name[0] not in "._" and name not in {"target", "node_modules"}]
            for file in (Path(path, name) for name in names if name.endswith((".rs", ".py", ".pyi"))):
                lines = file.read_text(encoding="utf-8").count("\n")
                if lines > MOST:
                    found[file.relative_to(root).as_posix()] = lines
    return found


def test_no_file_is_long_but_for_a_reason() -> None:
    found = long_files(ROOT)
    too_long = {file: lines for file, lines in found.items() if file not in LONG}
    assert not too_long, f"over {MOST} lines: what of it is another subject?"
    assert LONG.keys() <= found.keys(), "they need no place in the list"


def test_a_long_file_is_seen(tmp_path: Path) -> None:
    for file, lines in (("src/a/long.rs", 401), ("python/short.py", 400), ("tests/.venv/b.py", 500), ("src/c.md", 500)):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x\n" * lines, encoding="utf-8")
    assert long_files(tmp_path) == {"src/a/long.rs": 401}
