"""The pictures of the page that are in docs/: `make pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from devtools import Page, at_page

from echoserver import EchoServer

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURES: dict[str, dict[str, int | bool]] = {
    "page-light.png": {"width": 1100, "height": 840},
    "page-dark.png": {"width": 1100, "height": 840, "dark": True},
    "page-narrow.png": {"width": 390, "height": 1400},
}


def talk(page: Page) -> None:
    """What can be seen on them."""
    page.key("Enter")
    page.wait("document.activeElement.id === 'message'")
    for at, text in enumerate(("hello", "Grüße, κόσμε", '{"json": ["too", 1]}'), 1):
        page.type(text)
        page.key("Enter")
        page.wait(f"document.querySelectorAll('#log li').length > {2 * at}")
    page.click("[value=hex]")
    page.write("#message", "00 01 fe ff")
    page.key("Enter")
    page.wait("document.querySelectorAll('#log li').length > 8")
    page.click("[value=text]")
    page.click("#message")


def main() -> None:
    """Makes them."""
    with (
        EchoServer(1234, host="127.0.0.1", page=True, fault_urls=True, compression="deflate") as server,
        tempfile.TemporaryDirectory() as folder,
        at_page(server, Path(folder)) as page,
    ):
        talk(page)
        for name, screen in PICTURES.items():
            (DOCS / name).write_bytes(page.look(**screen))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
