"""The page at `/`, clicked through in Chromium."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from devtools import Page, at_page
from test_browser import CHROMIUM, NAMES, TIMEOUT, serve

from echoserver import Client, EchoServer

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=f"NO TEST OF THE PAGE: none of {', '.join(NAMES)} is installed"),
    pytest.mark.timeout(3 * TIMEOUT),
]

# Entries of the log that are shown, each with what it has in its parts.
ROWS = """Array.from(document.querySelectorAll("#log li:not([hidden])"), (item) => [
  item.className,
  ...Array.from(item.querySelectorAll(".about span"), (part) => part.textContent).slice(1),
  item.querySelector("pre").textContent,
])"""


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with serve(page=True, fault_urls=True, compression="deflate", subprotocols=["chat"]) as server:
        yield server


@pytest.fixture
def page(server: EchoServer, tmp_path: Path) -> Iterator[Page]:
    with at_page(server, tmp_path) as page:
        yield page
        assert page.console == []


def rows(page: Page, count: int) -> list[list[str]]:
    """The entries of the log, once there are so many."""
    page.wait(f"document.querySelectorAll('#log li').length >= {count}")
    found: list[list[str]] = page.evaluate(ROWS)
    return found


def connected(page: Page) -> None:
    """Enter alone connects, and then the message has the focus."""
    page.key("Enter")
    page.wait("document.querySelector('#state').dataset.is === 'open' && document.activeElement.id === 'message'")


def test_everything_from_the_first_key_to_the_close(server: EchoServer, page: Page) -> None:
    assert page.evaluate("[document.querySelector('#url').value, document.activeElement.id]") == [server.url, "connect"]
    page.write("#subprotocols", "superchat, chat")
    page.key("Enter")
    page.wait("document.querySelector('#state').dataset.is === 'open'")
    assert page.text("#state") == f"Connected to {server.url}"
    assert page.text("#subprotocol") == "chat"
    assert page.text("#compression").startswith("permessage-deflate")
    # By keys alone, since it has the focus.
    page.type("Grüße, 世界 🦀")
    page.key("Enter")
    (opening, sent, received) = rows(page, 3)
    assert re.fullmatch(rf"Open after [\d.]+ ms: {server.url}", opening[-1])
    assert sent == ["sent", "sent", "text", "20 B", "Grüße, 世界 🦀"]
    assert received[:4] == ["received", "received", "text", "20 B"]
    assert re.fullmatch(r"round trip \d+\.\d\d ms", received[4])
    assert received[5] == "Grüße, 世界 🦀"
    # Shift+Enter begins a line.
    page.type('{"a":')
    page.key("Enter", 8)
    page.type("[1]}")
    page.click("#send")
    assert rows(page, 5)[3][-1] == '{"a":\n[1]}'
    page.click("[value=hex]")
    page.write("#message", "00 0xff,68:69")
    page.key("Enter")
    assert [row[2:4] + row[-1:] for row in rows(page, 7)[5:]] == [["binary", "4 B", "00 ff 68 69"]] * 2
    clients = server.clients
    page.write("#code", "4321")
    page.write("#reason", "tschüß")
    page.click("#close")
    assert [row[-1] for row in rows(page, 9)[7:]] == ["Closing with 4321 “tschüß”", "Closed: 4321 “tschüß”"]
    assert page.text("#state") == "Not connected"
    assert [(client.close_code, client.close_reason) for client in clients] == [(4321, "tschüß")]
    assert server.stats().violations == 0
    # And again.
    connected(page)


def test_the_log_is_filtered_shown_in_three_ways_copied_and_cleared(page: Page) -> None:
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    connected(page)
    for at, text in enumerate(('{"name": "b"}', "other"), 1):
        page.type(text)
        page.key("Enter")
        rows(page, 1 + 2 * at)
    page.write("#filter", "NAME")
    page.wait("document.querySelector('#count').textContent === '2 of 5 entries'")
    assert [row[0] for row in page.evaluate(ROWS)] == ["sent", "received"]
    # Chosen by keys.
    for select, key, value, expected in (
        ("#direction", "r", "received", [["received", '{"name": "b"}']]),
        ("#view", "ArrowDown", "json", [["received", '{\n  "name": "b"\n}']]),
        (
            "#view",
            "ArrowDown",
            "hex",
            [["received", '000000  7b 22 6e 61 6d 65 22 3a 20 22 62 22 7d           {"name": "b"}']],
        ),
    ):
        page.evaluate(f"document.querySelector({select!r}).focus()")
        page.key(key)
        assert page.evaluate(f"document.querySelector({select!r}).value") == value
        assert [[row[0], row[-1]] for row in page.evaluate(ROWS)] == expected
    page.click("#copy")
    page.wait("document.querySelector('#copy').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"[\d:.]{12}  received  text  13 B  round trip \S+ ms\n000000  7b 22 .*", copied)
    page.click("#log li:not([hidden]) .copy")
    page.wait("document.querySelector('#log li:not([hidden]) .copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()").startswith("000000  7b 22 6e 61 6d 65 ")
    page.click("#clear")
    page.wait("!document.querySelector('#log li')")
    assert page.text("#count") == ""


def test_a_file_is_sent_and_what_is_long_is_shortened(server: EchoServer, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_bytes(bytes(range(256)) * 4096)
    connected(page)
    page.click("[value=file]")
    page.click("#send")
    page.wait("document.querySelector('#trouble').textContent === 'choose a file first'")
    page.upload("#file", file)
    page.click("#send")
    _, sent, received = rows(page, 3)
    for row in (sent, received):
        assert row[2:4] == ["binary", "1.0 MiB"]
        assert row[-1].startswith("00 01 02 ")
        assert row[-1].endswith("… (Copy has all of it)")
        assert len(row[-1]) < 5000
    assert received[4].startswith("round trip ")
    assert server.stats().bytes_received > 1000


def test_what_can_not_be_sent_is_said(page: Page) -> None:
    connected(page)
    page.click("[value=hex]")
    for text, trouble in (("0g", "g is no hex digit"), ("012", "a byte is two hex digits; the last one lacks one")):
        page.write("#message", text)
        page.click("#send")
        page.wait(f"document.querySelector('#trouble').textContent === {trouble!r}")
    page.write("#code", "1001")
    page.click("#close")
    assert rows(page, 2)[-1] == ["wrong", "Not closed: a page may send 1000, or 3000 to 4999"]
    page.write("#url", "ftp://x")
    page.click("#connect")
    assert rows(page, 3)[-1][0] == "wrong"
    # The connection lives on, and an empty field has the last message again.
    page.click("[value=text]")
    page.write("#message", "again")
    page.key("Enter")
    page.wait("document.querySelector('#message').value === ''")
    page.key("ArrowUp")
    page.key("Enter")
    assert [row[-1] for row in rows(page, 7)[3:]].count("again") == 4


def test_control_characters_are_seen_and_nothing_is_markup(page: Page) -> None:
    connected(page)
    page.type("<img src=x onerror=alert(1)>\x07\x1b[31m\x7f")
    page.key("Enter")
    assert [row[-1] for row in rows(page, 3)[1:]] == ["<img src=x onerror=alert(1)>␇␛[31m␡"] * 2


def test_a_close_of_the_servers_is_told_with_code_and_reason(tmp_path: Path) -> None:
    clients: queue.Queue[Client] = queue.Queue()
    with serve(page=True, on_connect=clients.put) as server, at_page(server, tmp_path) as page:
        connected(page)
        assert page.text("#compression") == page.text("#subprotocol") == "none"
        client = clients.get(timeout=TIMEOUT)
        client.send("unasked")
        client.close(1012, "back soon")
        _, received, closed = rows(page, 3)
        # It answers nothing, so there is no round trip.
        assert received == ["received", "received", "text", "7 B", "unasked"]
        assert closed == ["told", "Closed: 1012 (service restart) “back soon”"]
        # Here there are no faults by URL.
        assert page.evaluate("document.querySelector('#faults').hidden")


FAULTS = {
    "close=1011,after:3,reason:enough": "Closed: 1011 (internal error) “enough”",
    "reset,after:2": "Closed: 1006 (no close frame) The connection broke.",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_day_is_one_click(fault: str, page: Page, server: EchoServer) -> None:
    page.wait("!document.querySelector('#faults').hidden")
    page.click(f"[data-fault='{fault}']")
    page.wait("document.querySelector('#state').dataset.is === 'open' && document.activeElement.id === 'message'")
    assert page.evaluate("document.querySelector('#url').value") == server.url_for(f"/faults?{fault}")
    for text in "abcd":
        page.type(text)
        page.key("Enter")
    page.wait("document.querySelector('#state').dataset.is === 'closed'")
    assert page.evaluate(ROWS)[-1][-1] == FAULTS[fault]
    # Who was writing goes on, and nothing of it is lost.
    page.type(" and more")
    page.key("Enter")
    page.wait("document.querySelector('#trouble').textContent === 'not connected'")
    assert page.evaluate("document.querySelector('#message').value").endswith(" and more")
    page.console.clear()


def test_every_fault_that_it_offers_is_one(server: EchoServer, page: Page) -> None:
    page.wait("!document.querySelector('#faults').hidden")
    offered = page.evaluate("Array.from(document.querySelectorAll('[data-fault]'), (one) => one.dataset.fault)")
    assert len(offered) > 5
    for fault in offered:
        assert page.evaluate(f"fetch('/faults?{fault}').then((answer) => answer.status)") == 200
        page.click(f"[data-fault='{fault}']")
        if fault.startswith("status"):
            page.wait(f"({ROWS}).some((row) => row.at(-1).includes('never open'))")
        else:
            page.wait(
                f"document.querySelector('#state').textContent === 'Connected to {server.url_for('/faults')}?{fault}'"
            )
    page.follow("#faults a")
    assert page.evaluate("location.pathname") == "/faults"
    assert "latency=SECONDS" in page.evaluate("document.body.textContent")
    page.console.clear()


def test_nothing_else_runs_in_it(page: Page) -> None:
    blocked: Any = page.evaluate(
        """new Promise((done) => {
          const seen = [];
          addEventListener("securitypolicyviolation", (event) => {
            seen.push(event.effectiveDirective);
            if (seen.length === 4) done(seen.sort());
          });
          const script = document.createElement("script");
          document.body.append(script);
          script.append("window.hasRun = true");
          document.body.append(Object.assign(document.createElement("img"), { src: "/x.png" }));
          document.body.setAttribute("style", "color: red");
          try { document.body.innerHTML = "<b>"; } catch { }
        })"""
    )
    assert {"img-src", "require-trusted-types-for"} <= {*blocked}
    assert page.evaluate("window.hasRun") is None
    page.console.clear()


def luminance(color: str) -> float:
    """As WCAG 2.2 defines it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_read_in_light_and_dark_and_on_a_phone(dark: bool, page: Page) -> None:
    connected(page)
    page.type("a word that is long: " + "x" * 500)
    page.key("Enter")
    rows(page, 3)
    for width, height in ((1200, 800), (360, 640)):
        assert page.look(dark=dark, width=width, height=height).startswith(b"\x89PNG")
        # Nothing has to be scrolled sideways.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    names = ["back", "card", "text", "faint", "accent", "on-accent", "sent", "received", "told", "wrong"]
    style = "getComputedStyle(document.documentElement)"
    colors = {name: page.evaluate(f"{style}.getPropertyValue('--{name}').trim()") for name in names}
    assert (luminance(colors["card"]) < 0.1) is dark
    pairs = [(name, "card") for name in ("text", "faint", "accent", "sent", "received", "told", "wrong")]
    for ink, paper in [*pairs, ("text", "back"), ("faint", "back"), ("on-accent", "accent")]:
        light, shade = sorted((luminance(colors[ink]), luminance(colors[paper])), reverse=True)
        assert (light + 0.05) / (shade + 0.05) >= 4.5, f"{ink} on {paper}"


def test_all_that_can_be_used_has_a_name_and_is_reached_by_keys(page: Page) -> None:
    connected(page)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    used = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if node.get("role", {}).get("value") in {"button", "textbox", "searchbox", "combobox", "radio", "link"}
    ]
    assert len(used) > 15
    assert [one for one in used if not one[1].strip()] == []
    reached = []
    for _ in range(60):
        page.key("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"url", "subprotocols", "connect", "code", "reason", "close", "message", "send", "filter", "direction"} <= {
        *reached
    }
    assert {"view", "copy", "clear", "log", "slow", "All faults by URL"} <= {*reached}
