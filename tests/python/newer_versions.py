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

import unsteady
from all_versions import SetupError, build_wheel, run
from unsteady import FAILED, ROOT

VERSIONS = ("3.14", "3.15")
FOLDER = ROOT / ".cache" / "newer"
SYSTEM = FOLDER / "system"
# Where the tests are there.
CHECKOUT = "/checkout"
WORK = SYSTEM / CHECKOUT.lstrip("/")
# What it takes of this machine: where names are looked up, and how pip gets at packages.
SHARED = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
# Mounts are this command's own, and end with it.
MOUNTS = ("unshare", "--mount")
ENTER = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
# Seconds for a step of the set-up, which may wait for a network that is not there.
LIMIT = ("timeout", "--kill-after", "10", "300")


def inside(system: Path, *command: str) -> list[str]:
    """That command in the system, with what it needs of the kernel."""
    return [*MOUNTS, "sh", "-c", ENTER, str(system), *command]


def unpack() -> None:
    """Debian's testing with these CPythons, if it is not there."""
    try:
        run(*inside(Path("/"), "true"))
    except (SetupError, OSError) as error:
        raise SetupError(f"here nobody may mount and chroot, which takes root: {error}") from error
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
        what = ["--variant=minbase", f"--include={packages}", "testing", made, *([mirror] if mirror else ())]
        run(*LIMIT, *MOUNTS, "debootstrap", *what)
        made.rename(SYSTEM)


def fill(wheel: Path) -> None:
    """Puts there what is tested."""
    shutil.rmtree(WORK, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (WORK / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, WORK / name, follow_symlinks=False)
    shutil.copy2(wheel, WORK)
    for name in SHARED:
        if Path(name).exists():
            shutil.copy(name, SYSTEM / name.lstrip("/"))


def at_work(*command: str) -> list[str]:
    """That command in the checkout there."""
    return inside(SYSTEM, "env", "-u", "PIP_FIND_LINKS", "-C", CHECKOUT, "HOME=/root", "LANG=C.UTF-8", *command)


def environment(version: str, wheel: Path) -> str:
    """The python of a virtual environment there with the wheel and what the tests need."""
    folder = f"/venv-{version}"
    python = f"{folder}/bin/python"
    # pip is the last that comes there.
    if not (SYSTEM / folder.lstrip("/") / "bin" / "pip").exists():
        run(*LIMIT, *at_work(f"python{version}", "-m", "venv", folder))
    package = f"{CHECKOUT}/{wheel.name}"
    pip = (*LIMIT, *at_work(python, "-m", "pip", "install", "--quiet"))
    run(*pip, f"echoserver[test] @ file://{package}")
    run(*pip, "--force-reinstall", "--no-deps", package)
    return python


def outcome(version: str, wheel: Path, arguments: list[str]) -> str:
    """What becomes of the tests on that CPython."""
    print(f"\n--- CPython {version}", flush=True)
    try:
        python = environment(version, wheel)
    except (SetupError, OSError) as error:
        return not_run(error)
    processes = str((os.cpu_count() or 1) + 1)
    pytest = at_work(python, "-m", "pytest")
    return unsteady.outcome(pytest, ["-n", processes, "--dist", "worksteal", *arguments], root=WORK)


def not_run(error: Exception) -> str:
    """That they could not be run."""
    return f"NOT RUN, could not be set up: {error}"


def main(arguments: list[str]) -> int:
    """Runs all, tells what happened, and returns the exit status."""
    # Root's commands, which are not on everybody's path.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    with tempfile.TemporaryDirectory() as folder:
        try:
            unpack()
            wheel = build_wheel(Path(folder))
            fill(wheel)
        except (SetupError, OSError, subprocess.CalledProcessError) as error:
            outcomes = dict.fromkeys(VERSIONS, not_run(error))
        else:
            outcomes = {version: outcome(version, wheel, arguments) for version in VERSIONS}
    print("\nPython tests:")
    for version, what in outcomes.items():
        print(f"  CPython {version}: {what}")
    return int(FAILED in outcomes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
