"""Builds wheel and sdist and tries them as whoever installs them: `make package`.

Both are looked at by twine and abi3audit, and for what has to be in them. The wheel is installed, from nothing but
itself, into a fresh environment of every CPython >= 3.11 of the machine, the sdist into one; each has to echo, as a
library and as a program.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from all_versions import Interpreter, SetupError, build_wheel, others, probe
from unsteady import ROOT

__all__ = ["MOST", "flaws", "main"]

DIST = ROOT / "target" / "package"
TOOLS = ROOT / ".venv-package"
# Bytes of the wheel, beyond which something has grown that nobody wanted. The aim is 2 MB.
MOST = 2_650_000
# What a wheel cannot do without.
_IN_WHEEL = {
    r"echoserver/__init__\.py",
    r"echoserver/_core\.abi3\.so",
    r"echoserver/_core\.pyi",
    r"echoserver/py\.typed",
    r"echoserver-[\d.]+\.dist-info/licenses/LICENSE",
    r"echoserver-[\d.]+\.dist-info/licenses/THIRD-PARTY-LICENSES\.txt",
    r"echoserver-[\d.]+\.dist-info/sboms/.*\.cyclonedx\.json",
    r"echoserver-[\d.]+\.dist-info/entry_points\.txt",
}
# What `make run` and `make test` need.
_IN_SDIST = {
    *("Cargo.toml", "Cargo.lock", "pyproject.toml", "Makefile", "README.md", "LICENSE", "THIRD-PARTY-LICENSES.txt"),
    *("src/lib.rs", "src/server/page.html", "python/echoserver/_core.pyi", "docs/rust.md", "tests/rust/main.rs"),
    *("tests/python/all_versions.py", "tests/python/conftest.py", "examples/echo.rs"),
}
# A library that echoes, and the program.
_TRY = """
import subprocess, sys
from echoserver import EchoServer
with EchoServer(0, host="127.0.0.1") as server:
    for command in ([sys.executable, "-m", "echoserver"], [sys.argv[1]]):
        done = subprocess.run([*command, "send", server.url, "hello"], capture_output=True, timeout=60)
        assert (done.returncode, done.stdout.split()) == (0, [b"hello"]), done
"""


def flaws(wheel: Path, sdist: Path) -> list[str]:
    """What is not as it should be in them."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        found = [f"the wheel has no {one}" for one in _IN_WHEEL if not any(re.fullmatch(one, name) for name in names)]
        for name in names:
            if name.endswith(".cyclonedx.json"):
                listed = {one["name"] for one in json.loads(archive.read(name))["components"]}
                found += [
                    f"the SBOM lacks {crate}" for crate in ("pyo3", "rustls", "tokio", "zlib-rs") if crate not in listed
                ]
            if name.endswith("THIRD-PARTY-LICENSES.txt"):
                theirs = archive.read(name).decode()
                if theirs != (ROOT / "THIRD-PARTY-LICENSES.txt").read_text(encoding="utf-8"):
                    found.append("the wheel has other licences than the checkout: run `make licenses`")
    size = wheel.stat().st_size
    if size >= MOST:
        found.append(f"the wheel has {size:,} bytes, which is not less than {MOST:,}")
    with tarfile.open(sdist) as archive:
        has = {name.partition("/")[2] for name in archive.getnames()}
    return found + [f"the sdist has no {one}" for one in sorted(_IN_SDIST - has)]


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SetupError(f"{' '.join(map(str, command))}\n{done.stdout}")


def _installed(interpreter: Interpreter, package: Path, *options: str) -> None:
    """Installs it, and sees that it echoes."""
    with tempfile.TemporaryDirectory() as folder:
        _run(interpreter.path, "-m", "venv", folder)
        bin_ = Path(folder, "bin")
        _run(bin_ / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, package)
        _run(bin_ / "python", "-I", "-c", _TRY, bin_ / "echoserver")


def main() -> int:
    """Does all of it, and says what came of it."""
    own = probe(sys.executable)
    assert own
    DIST.mkdir(parents=True, exist_ok=True)
    for old in DIST.iterdir():
        old.unlink()
    if not (TOOLS / "bin" / "abi3audit").exists():
        _run(own.path, "-m", "venv", TOOLS)
        _run(TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", "abi3audit>=0.0.20", "twine>=6")
    wheel = build_wheel(DIST)
    _run(Path(sys.executable).with_name("maturin"), "sdist", "--out", DIST)
    (sdist,) = DIST.glob("*.tar.gz")
    _run(TOOLS / "bin" / "twine", "check", "--strict", wheel, sdist)
    _run(TOOLS / "bin" / "abi3audit", "--strict", wheel)
    found = flaws(wheel, sdist)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes; {sdist.name}: {sdist.stat().st_size:,} bytes", flush=True)
    passed = 0
    for interpreter in [own, *others(own)]:
        if interpreter.is_free_threaded:
            print(f"NOT TRIED ON {interpreter}: it takes no abi3 wheel")
            continue
        _installed(interpreter, wheel, "--no-index")
        passed += 1
        print(f"the wheel echoes on {interpreter}", flush=True)
    _installed(own, sdist)
    passed += 1
    print(f"the sdist echoes on {own}")
    for flaw in found:
        print(f"WRONG: {flaw}", file=sys.stderr)
    print(f"{passed + (not found)} passed, {len(found)} failed")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
