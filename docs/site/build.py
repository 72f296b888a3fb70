"""Builds the site of the documents into target/docs/site: `make docs`.

The documents are written for whoever reads them on a code host: their links lead to files of the checkout. Here they
are laid out as pages, with those that lie elsewhere beside them, and links are made to fit: to another page, to a file
that is copied too, or, for what is no part of the site, to nothing but their text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

__all__ = ["EXTRA", "OUT", "ROOT", "rewritten"]

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "target" / "docs"
# Pages that lie elsewhere.
EXTRA = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "docs/deploy/README.md": "deploy/index.md",
    "tests/bench/README.md": "benchmarks.md",
}
# Code, in which nothing is a link, or a link, whose text may have code.
_LINK = re.compile(
    r"^```.*?^```$|(!?)\[((?:`[^`]*`|[^\]`])*)\]\((?!https?:|#)([^)#]*)(#[^)]*)?\)|`[^`]*`", re.MULTILINE | re.DOTALL
)


def rewritten(text: str, source: str, page: str) -> str:
    """The text of the document `source`, a path in the checkout, as that of `page`, a path in the site."""
    folder = PurePosixPath(source).parent

    def fit(link: re.Match[str]) -> str:
        mark, words, target, anchor = link.groups()
        if target is None:
            return link[0]
        there = os.path.normpath(folder / target).replace(os.sep, "/")
        if not (ROOT / there).exists():
            raise SystemExit(f"{source}: there is no {target}")
        if there in EXTRA:
            place = EXTRA[there]
        elif there == "README.md":
            place = "index.md"
        elif there.startswith("docs/") and (ROOT / there).is_file():
            place = there.removeprefix("docs/")
        else:
            return words
        way = os.path.relpath(place, PurePosixPath(page).parent).replace(os.sep, "/")
        return f"{mark}[{words}]({way}{anchor or ''})"

    return _LINK.sub(fit, text)


def lay_out(pages: Path) -> None:
    """Writes all that the site is made of."""
    shutil.rmtree(pages, ignore_errors=True)
    docs = ROOT / "docs"
    sources = {f"docs/{path.name}": path.name for path in docs.glob("*.md")} | EXTRA
    sources |= {f"docs/site/api/{path.name}": f"api/{path.name}" for path in (docs / "site" / "api").glob("*.md")}
    for source, page in sources.items():
        text = rewritten((ROOT / source).read_text(encoding="utf-8"), source, page)
        (pages / page).parent.mkdir(parents=True, exist_ok=True)
        (pages / page).write_text(text, encoding="utf-8")
    for path in [*docs.glob("*.png"), *docs.glob("*.svg")]:
        shutil.copy(path, pages)
    for name in ("Dockerfile", "kubernetes.yaml"):
        shutil.copy(docs / "deploy" / name, pages / "deploy")


def main() -> int:
    """Builds it; what the builder says is an error, also where it is called a warning."""
    lay_out(OUT / "pages")
    shutil.rmtree(OUT / "site", ignore_errors=True)
    shutil.copy(ROOT / "docs" / "site" / "zensical.toml", OUT)
    # Where the builder looks for what is documented.
    link = OUT / "python"
    if not link.is_symlink():
        link.symlink_to(ROOT / "python")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=OUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout, end="")
    if done.returncode == 0 and re.search(r"(?i)warn|error", done.stdout):
        return 1
    if done.returncode == 0:
        print(f"the site begins at {OUT.relative_to(ROOT)}/site/index.html")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
