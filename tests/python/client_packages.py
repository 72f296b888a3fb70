"""Clients of others, in the versions that docs/clients.md is about, in folders that git ignores.

What is not there is installed by the first who needs it. `Missing` says why it can't be.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from support import FACTOR

__all__ = ["Missing", "node_modules", "python_packages", "versions"]

_HERE = Path(__file__).parent
_MANIFEST = _HERE / "node" / "package.json"
_REQUIREMENTS = _HERE / "drivers" / "requirements.txt"
_FOLDER = _HERE.parents[1] / ".clients"

# For what comes from far away.
_SECONDS = 120 * FACTOR


class Missing(Exception):  # noqa: N818
    """A client can't be had here."""


def versions() -> dict[str, str]:
    """The pinned versions, by name of the package."""
    lines = _REQUIREMENTS.read_text(encoding="utf-8").split()
    node: dict[str, str] = json.loads(_MANIFEST.read_text(encoding="utf-8"))["dependencies"]
    return {**dict(line.split("==") for line in lines), **node}


def python_packages() -> Path:
    """A folder for PYTHONPATH."""
    name = f"python-{sys.version_info[0]}.{sys.version_info[1]}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return _made(name, _REQUIREMENTS, lambda new: [*command, "--target", str(new), "-r", str(_REQUIREMENTS)])


def node_modules() -> Path:
    """A folder for NODE_PATH."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            raise Missing(f"{name} is not installed")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix"]
    return _made("node", _MANIFEST, lambda new: [*command, str(new)]) / "node_modules"


def _made(name: str, wanted: Path, command: Callable[[Path], list[str]]) -> Path:
    """The folder of that name, filled with what the file asks for."""
    folder = _FOLDER / name
    if _has(folder, wanted):
        return folder
    _FOLDER.mkdir(exist_ok=True)
    # Made beside it and moved, so that nobody sees half of it.
    new = Path(tempfile.mkdtemp(dir=_FOLDER))
    try:
        shutil.copy(wanted, new)
        try:
            done = subprocess.run(command(new), capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise Missing(str(error)) from None
        if done.returncode:
            raise Missing(f"{Path(done.args[0]).name} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        if not _has(folder, wanted):
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _has(folder: Path, wanted: Path) -> bool:
    try:
        return (folder / wanted.name).read_bytes() == wanted.read_bytes()
    except OSError:
        return False
