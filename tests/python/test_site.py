"""The site that `make docs` has built: nothing of it is loaded from elsewhere, and its links lead somewhere.

tests/browser/test_browser_site.py sees what a browser loads.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "docs" / "site").is_dir(), reason="THERE ARE NO DOCUMENTS")
sys.path.insert(0, str(ROOT / "docs" / "site"))

import build  # noqa: E402  # What it needs stands before it.

SITE = build.OUT / "site"
# What a browser fetches for an element without being asked.
LOADING = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "image": "href",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "use": "href",
    "video": "src",
}
# Links that are only told, such as the page before.
TOLD = {"canonical", "next", "prev", "alternate"}
# For which the theme's script fetches more.
DEMANDING = {"mermaid", "glightbox", "pyodide"}


@dataclass
class Page(HTMLParser):
    """What of a page matters here."""

    text: str
    loads: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.loads += loaded_by_css(" ".join(re.findall(r"<style[^>]*>(.*?)</style>", self.text, re.DOTALL)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.ids |= {has[name] for name in ("id", "name") if name in has}
        self.classes |= {*has.get("class", "").split()}
        self.loads += loaded_by_css(has.get("style", ""))
        self.loads += [each.split()[0] for each in has.get("srcset", "").split(",") if each.strip()]
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        elif tag in LOADING and LOADING[tag] in has and not TOLD & {*has.get("rel", "").split()}:
            self.loads.append(has[LOADING[tag]])


def loaded_by_css(text: str) -> list[str]:
    return [one or other for one, other in re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", text)]


def is_elsewhere(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def elsewhere(folder: Path) -> list[str]:
    """What is loaded from there."""
    found = []
    for path in folder.rglob("*"):
        if path.suffix in {".html", ".svg"}:
            page = Page(path.read_text(encoding="utf-8"))
            loads = page.loads + [f"//{name}" for name in page.classes & DEMANDING]
        elif path.suffix == ".css":
            loads = loaded_by_css(path.read_text(encoding="utf-8"))
        else:
            continue
        found += [f"{path.relative_to(folder)}: {url}" for url in loads if is_elsewhere(url)]
    return found


def lost(folder: Path) -> list[str]:
    """Links, and what is loaded, that lead nowhere."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for url in page.links + page.loads:
            parts = urlsplit(url)
            # The page of what is not found is shown anywhere, so what it has is absolute.
            if is_elsewhere(url) or parts.scheme == "data" or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].ids):
                found.append(f"{path.relative_to(folder)}: {url}")
    return found


@pytest.fixture
def site() -> Path:
    """The one that was built."""
    if not (SITE / "index.html").exists():
        pytest.skip("THE SITE WAS NOT TESTED: run `make docs`")
    built = (SITE / "index.html").stat().st_mtime
    sources = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".toml", ".py"}]
    if any(path.stat().st_mtime > built for path in [*sources, ROOT / "python/echoserver/_core.pyi"]):
        pytest.skip("THE SITE WAS NOT TESTED: it is older than what it is made of; run `make docs`")
    return SITE


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert elsewhere(site) == []


def test_every_link_leads_somewhere(site: Path) -> None:
    assert lost(site) == []


def test_the_site_has_every_document_and_every_call(site: Path) -> None:
    pages = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")} | {
        Path(page).with_suffix(".html").name for page in build.EXTRA.values()
    }
    assert pages <= {path.name for path in site.glob("*.html")}
    ids = Page((site / "api" / "server.html").read_text(encoding="utf-8")).ids
    assert {f"echoserver.EchoServer.{name}" for name in ("start", "serve_async", "accept", "fault", "port")} <= ids
    client = (site / "api" / "client.html").read_text(encoding="utf-8")
    # As the stub says it.
    assert "Queues a message" in client or "never blocks" in client


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "docs" / "site" / "zensical.toml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/-]+\.md", str(tomllib.loads(text)["project"]["nav"])))
    docs = {path.name for path in (ROOT / "docs").glob("*.md")}
    api = {f"api/{path.name}" for path in (ROOT / "docs" / "site" / "api").glob("*.md")}
    assert named == docs | api | {*build.EXTRA.values()}


def test_links_are_made_to_fit() -> None:
    text = (
        "[a](guide.md#x) [`b`](../CONTRIBUTING.md) [c](../src/lib.rs) `[d](no.md)` ![e](page-dark.png) [f](https://g)"
    )
    assert build.rewritten(text, "docs/faults.md", "faults.md") == (
        "[a](guide.md#x) [`b`](contributing.md) c `[d](no.md)` ![e](page-dark.png) [f](https://g)"
    )
    assert (
        build.rewritten("[a](../../docs/qt.md) [b](#c)", "tests/bench/README.md", "api/x.md") == "[a](../qt.md) [b](#c)"
    )
    with pytest.raises(SystemExit, match=r"there is no gone\.md"):
        build.rewritten("[a](gone.md)", "docs/faults.md", "faults.md")


def test_what_is_loaded_from_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "here.html").write_text(
        "<link rel=canonical href='https://c'><script src=../x.js></script><a href='https://told'>a</a>"
        "<img src='data:,'><i style='background: url(x.png)'>",
        encoding="utf-8",
    )
    assert elsewhere(tmp_path) == []
    for text in (
        "<link rel=preconnect href='https://fonts.example'>",
        "<script src=//cdn.example/x.js></script>",
        "<img srcset='x.png 1x, http://y/x.png 2x'>",
        "<p style='background: url(https://x/y.png)'>",
        "<style>@import 'https://x/y.css'</style>",
        "<pre class='a mermaid'>",
    ):
        (tmp_path / "bad.html").write_text(text, encoding="utf-8")
        assert len(elsewhere(tmp_path)) == 1, text
    (tmp_path / "bad.html").unlink()
    (tmp_path / "x.css").write_text("a { src: url( 'https://x/y.woff2') }", encoding="utf-8")
    assert elsewhere(tmp_path) == ["x.css: https://x/y.woff2"]


def test_links_that_lead_nowhere_are_seen(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p id=one><a href=#one></a><a href='b%20c.html#two'></a><a href=.></a>", "utf-8")
    (tmp_path / "b c.html").write_text("<p id=two>", "utf-8")
    (tmp_path / "index.html").write_text("<a href='a.html#three'></a><img src=gone.png><a href=#four></a>", "utf-8")
    assert lost(tmp_path) == [f"index.html: {url}" for url in ("a.html#three", "#four", "gone.png")]
