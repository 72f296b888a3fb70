"""Runs the Python tests on this interpreter, then, from one abi3 wheel, on every other CPython >= 3.11 of the machine.

Each in one process more than there are processors: tests wait more than they compute.

    all_versions.py [ARGUMENT OF PYTEST ...]

Interpreters are looked for on PATH and among pyenv's versions, one for each minor version. What could not be set up is
said at the end, loudly, and is no failure: a machine has what it has.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unsteady import FAILED, ROOT, outcome

OLDEST = (3, 11)
PROBE = """
import json, sys, sysconfig
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps([sys.implementation.name, list(sys.version_info[:3]), free]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython of this machine."""

    path: str
    version: tuple[int, ...]
    is_free_threaded: bool

    @property
    def name(self) -> str:
        """As in `python3.13t`."""
        return ".".join(map(str, self.version[:2])) + "t" * self.is_free_threaded

    def __str__(self) -> str:
        return f"CPython {'.'.join(map(str, self.version))}{' free-threaded' * self.is_free_threaded} ({self.path})"


class SetupError(Exception):
    """The tests could not be run on an interpreter."""


def candidates() -> Iterator[Path]:
    """Paths where interpreters may be."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    root = os.environ.get("PYENV_ROOT")
    if not root and shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
    if root:
        folders += sorted(Path(root).glob("versions/*/bin"), reverse=True)
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if re.fullmatch(r"python3\.\d+t?", path.name))


def probe(path: str) -> Interpreter | None:
    """The interpreter at `path`; None if there is none that runs, or none for us."""
    try:
        result = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, timeout=30, check=True)
        implementation, version, free = json.loads(result.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    wanted = implementation == "cpython" and tuple(version[:2]) >= OLDEST
    return Interpreter(path, tuple(version), free) if wanted else None


def others(own: Interpreter) -> list[Interpreter]:
    """One interpreter for each minor version but our own."""
    found = {own.name: own}
    for path in candidates():
        interpreter = probe(str(path))
        if interpreter:
            found.setdefault(interpreter.name, interpreter)
    del found[own.name]
    return sorted(found.values(), key=lambda one: one.version)


def run(*command: str | Path) -> None:
    """Runs a step of a set-up."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise SetupError(f"{Path(command[0]).name} ... {command[-1]}: {lines[-1] if lines else result.returncode}")


def build_wheel(folder: Path) -> Path:
    """The wheel that serves all versions."""
    maturin = Path(sys.executable).with_name("maturin")
    # As the workflow packs it: a thirtieth smaller than with maturin's own level.
    pack: list[str | Path] = ["--compression-level", "9", "--interpreter", sys.executable, "--out", folder]
    run(maturin, "build", "--release", "--locked", "--quiet", *pack)
    (wheel,) = folder.glob("*.whl")
    if "-abi3-" not in wheel.name:
        raise SetupError(f"{wheel.name} is no abi3 wheel")
    return wheel


def environment(interpreter: Interpreter, wheel: Path) -> Path:
    """The python of a virtual environment with the wheel and what the tests need."""
    if interpreter.is_free_threaded:
        raise SetupError("an abi3 wheel does not fit a free-threaded build")
    folder = ROOT / f".venv-{interpreter.name}"
    python = folder / "bin" / "python"
    if not python.exists():
        run(interpreter.path, "-m", "venv", folder)
    run(python, "-m", "pip", "install", "--quiet", f"echoserver[test] @ {wheel.as_uri()}")
    run(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", wheel)
    return python


def tested(python: str | Path, arguments: list[str]) -> str:
    """What becomes of the tests there."""
    processes = str((os.cpu_count() or 1) + 1)
    return outcome([python, "-m", "pytest"], ["-n", processes, "--dist", "worksteal", *arguments])


def main(arguments: list[str]) -> int:
    """Runs all, tells what happened, and returns the exit status."""
    own = probe(sys.executable)
    if own is None:
        raise SystemExit(f"{sys.executable} is not CPython {OLDEST[0]}.{OLDEST[1]} or later")
    title(own)
    outcomes = {own: tested(sys.executable, arguments)}
    rest = others(own)
    with tempfile.TemporaryDirectory() as folder:
        wheel: Path | None = None
        for interpreter in rest:
            title(interpreter)
            try:
                wheel = wheel or build_wheel(Path(folder))
                python = environment(interpreter, wheel)
            except SetupError as error:
                outcomes[interpreter] = f"NOT RUN, could not be set up: {error}"
                continue
            outcomes[interpreter] = tested(python, arguments)
    print("\nPython tests:")
    for interpreter, what in outcomes.items():
        print(f"  {interpreter}: {what}")
    return int(FAILED in outcomes.values())


def title(interpreter: Interpreter) -> None:
    """Says what comes."""
    print(f"\n--- {interpreter}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
