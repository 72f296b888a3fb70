"""What a browser loads for the pages of the site that `make docs` has built: nothing from elsewhere."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from devtools import opened
from test_browser import CHROMIUM, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE = Path(__file__).resolve().parents[2] / "target" / "docs" / "site"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="NOT TESTED IN A BROWSER: there is no Chromium"),
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="THE SITE WAS NOT TESTED: run `make docs`"),
    pytest.mark.timeout(3 * TIMEOUT),
]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(SITE))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_pages_load_nothing_from_elsewhere(origin: str, tmp_path: Path) -> None:
    pages = ["index.html", "guide.html", "performance.html", "api/server.html"]
    with opened(f"{origin}/{pages[0]}", tmp_path) as page:
        for name in pages:
            page.go(f"{origin}/{name}")
            # Also what could not be had.
            loaded = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
            assert any(url.endswith(".css") for url in loaded), "it sees what is loaded"
            assert [url for url in loaded if not url.startswith((f"{origin}/", "data:", "blob:"))] == []
        failed = "new Promise((done) => Object.assign(new Image(), { onerror: done, src: 'http://127.0.0.1:9/x.png' }))"
        page.evaluate(f"{failed}.then(() => 0)")
        assert page.evaluate("performance.getEntriesByType('resource').some((one) => one.name.endsWith(':9/x.png'))")
