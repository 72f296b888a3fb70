"""The licences of the crates that are linked into the native module: run this to write THIRD-PARTY-LICENSES.txt.

`make licenses`. It needs the sources of the crates, which cargo fetches; `test_packaging.py` finds where it is behind.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "THIRD-PARTY-LICENSES.txt"
OPTIONS = ["--locked", "--features", "abi3"]
_NAMES = ("licen", "copying", "copyright", "notice", "unlicense")
_RULE = "=" * 80


def linked() -> set[str]:
    """`name version` of each crate that is linked in, on whatever system."""
    command = ["cargo", "tree", *OPTIONS, "--edges", "normal,no-proc-macro", "--target", "all", "--prefix", "none"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    crates = {" ".join(line.split()[:2]).replace(" v", " ") for line in lines if line}
    return {crate for crate in crates if not crate.startswith("echoserver ")}


def packages() -> dict[str, dict[str, Any]]:
    """What cargo knows of each crate, by `name version`."""
    command = ["cargo", "metadata", "--format-version", "1", *OPTIONS]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    return {f"{one['name']} {one['version']}": one for one in found["packages"]}


def texts(package: dict[str, Any]) -> list[str]:
    """The licence files of a crate."""
    folder = Path(package["manifest_path"]).parent
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name.lower().startswith(_NAMES)]
    # Of several licences we take MIT, where that is one to choose.
    choice = [path for path in files if "mit" in path.name.lower()]
    if choice and " AND " not in package["license"]:
        files = choice + [path for path in files if path.name.lower().startswith(("copyright", "notice"))]
    return [
        "\n".join(line.rstrip() for line in path.read_text(encoding="utf-8").splitlines()).strip() for path in files
    ]


def written() -> str:
    """The whole file. Each text is there once, below those whose it is."""
    known = packages()
    parts = [
        "What is linked into the native module of echoserver, besides Rust's standard library (MIT OR\n"
        "Apache-2.0): each crate with its licence. Their texts follow. Where one may choose, it is MIT.",
        "\n".join(f"{crate}: {known[crate]['license']}" for crate in sorted(linked())),
    ]
    owners: dict[str, list[str]] = {}
    for crate in sorted(linked()):
        for text in texts(known[crate]):
            owners.setdefault(text, []).append(crate)
    parts += [f"{_RULE}\n{', '.join(crates)}\n{_RULE}\n\n{text}" for text, crates in owners.items()]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
