"""Runs the Python tests on CPythons that are newer than this machine: those of Debian's testing, in a chroot.

    newer_versions.py [ARGUMENT OF PYTEST ...]

Debian's system is unpacked once, into .cache/newer, and gets a copy of the tests and the abi3 wheel. That needs root,
debootstrap, and Debian's packages. What can't be had is said, loudly, and is no failure.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from all_versions import ROOT, SetupError, build_wheel, run

VERSIONS = ("3.14", "3.15")
FOLDER = ROOT / ".cache" / "newer"
SYSTEM = FOLDER / "system"
# Where the tests are there.
CHECKOUT = "/checkout"
# What it takes of this machine: where names are looked up, and how pip gets at packages.
SHARED = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
ENTER = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'


def unpack() -> None:
    """Debian's testing with these CPythons, if it is not there."""
    if SYSTEM.exists():
        return
    if not shutil.which("debootstrap"):
        raise SetupError("debootstrap is not here (Debian: apt install debootstrap)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian"]
    mirrors = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    mirror = next((one for one in mirrors if one.rstrip("/").endswith("/debian")), None)
    packages = ",".join(["ca-certificates", *(f"python{version}-venv" for version in VERSIONS)])
    # One that is not whole is none.
    with tempfile.TemporaryDirectory(dir=FOLDER) as half:
        made = Path(half) / "system"
        run("debootstrap", "--variant=minbase", f"--include={packages}", "testing", made, *([mirror] if mirror else ()))
        made.rename(SYSTEM)


def fill(wheel: Path) -> None:
    """Puts there what is tested."""
    work = SYSTEM / CHECKOUT.lstrip("/")
    shutil.rmtree(work, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, work / name, follow_symlinks=False)
    shutil.copy2(wheel, work)
    for name in SHARED:
        if Path(name).exists():
            shutil.copy(name, SYSTEM / name.lstrip("/"))


def inside(*command: str) -> list[str]:
    """That command in the system. What it needs of the kernel goes with it."""
    environment = ["env", "-u", "PIP_FIND_LINKS", "-C", CHECKOUT, "HOME=/root", "LANG=C.UTF-8"]
    return ["unshare", "--mount", "sh", "-c", ENTER, str(SYSTEM), *environment, *command]


def environment(version: str, wheel: Path) -> str:
    """The python of a virtual environment there with the wheel and what the tests need."""
    python = f"/venv-{version}/bin/python"
    if not (SYSTEM / python.lstrip("/")).is_symlink():
        run(*inside(f"python{version}", "-m", "venv", f"/venv-{version}"))
    package = f"{CHECKOUT}/{wheel.name}"
    run(*inside(python, "-m", "pip", "install", "--quiet", f"echoserver[test] @ file://{package}"))
    run(*inside(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", package))
    return python


def main(arguments: list[str]) -> int:
    """Runs all, tells what happened, and returns the exit status."""
    outcome: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        wheel: Path | None = None
        for version in VERSIONS:
            print(f"\n--- CPython {version}", flush=True)
            try:
                if wheel is None:
                    unpack()
                    wheel = build_wheel(Path(folder))
                    fill(wheel)
                python = environment(version, wheel)
            except (SetupError, OSError) as error:
                outcome[version] = f"NOT RUN, could not be set up: {error}"
                continue
            processes = str((os.cpu_count() or 1) + 1)
            tests = inside(python, "-m", "pytest", "-n", processes, "--dist", "worksteal", *arguments)
            outcome[version] = "FAILED" if subprocess.run(tests, check=False).returncode else "passed"
    print("\nPython tests:")
    for version, what in outcome.items():
        print(f"  CPython {version}: {what}")
    return int("FAILED" in outcome.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
