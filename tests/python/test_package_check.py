"""That `make package` sees what a wheel or an sdist lacks."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import licenses
import package


def made(
    folder: Path,
    leave_out: str = "",
    size: int = 0,
    licences: str | None = None,
    crates: str = "pyo3 rustls tokio zlib-rs",
) -> tuple[Path, Path]:
    """A wheel and an sdist with what they have to have, but for one thing."""
    info = "echoserver-0.1.0.dist-info"
    theirs = licenses.FILE.read_text(encoding="utf-8")
    files = {
        **{f"echoserver/{name}": "" for name in ("__init__.py", "_core.abi3.so", "_core.pyi", "py.typed")},
        f"{info}/licenses/LICENSE": "",
        f"{info}/licenses/THIRD-PARTY-LICENSES.txt": theirs if licences is None else licences,
        f"{info}/sboms/echoserver.cyclonedx.json": json.dumps(
            {"components": [{"name": name} for name in crates.split()]}
        ),
        f"{info}/entry_points.txt": "",
        "ballast": "x" * size,
    }
    wheel, sdist = folder / "x.whl", folder / "x.tar.gz"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            if name != leave_out:
                archive.writestr(name, text)
    with tarfile.open(sdist, "w:gz") as archive:
        for name in package._IN_SDIST - {leave_out}:
            archive.addfile(tarfile.TarInfo(f"echoserver-0.1.0/{name}"), io.BytesIO())
    return wheel, sdist


def test_what_is_whole_has_no_flaw(tmp_path: Path) -> None:
    assert package.flaws(*made(tmp_path)) == []


def test_what_is_missing_too_large_or_old_is_said(tmp_path: Path) -> None:
    cases = {
        "the wheel has no echoserver/py": {"leave_out": "echoserver/py.typed"},
        "the wheel has no echoserver-[": {"leave_out": "echoserver-0.1.0.dist-info/licenses/LICENSE"},
        "the sdist has no Makefile": {"leave_out": "Makefile"},
        "the SBOM lacks rustls": {"crates": "pyo3 tokio zlib-rs"},
        "the wheel has other licences": {"licences": "none"},
        "the wheel has 2,": {"size": package.MOST},
    }
    for expected, case in cases.items():
        (flaw,) = package.flaws(*made(tmp_path, **case))  # type: ignore[arg-type]
        assert flaw.startswith(expected)
