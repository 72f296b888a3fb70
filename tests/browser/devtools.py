"""Chromium as a person uses it: a page that is clicked, typed into and looked at, through the DevTools protocol."""

from __future__ import annotations

import base64
import json
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from test_browser import TIMEOUT, Browser, CrashError, again
from websockets.sync.client import ClientConnection, connect

from echoserver import EchoServer

_KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "ArrowUp": (38, ""), "ArrowDown": (40, "")}

# What an expression is, once it is something; looked at after each change of the document, or of what has the focus.
_WAIT = """new Promise((resolve) => {
  const observer = new MutationObserver(() => look());
  const look = () => {
    const value = (%s);
    if (value) { observer.disconnect(); removeEventListener("focusin", look); resolve(value); }
  };
  addEventListener("focusin", look);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  look();
})"""


class Page:
    """A tab of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = count(1)
        self._session: str | None = None
        # How many documents it has loaded, and whether one is on its way.
        self._loaded = 0
        self._loads = False
        # What the page, or the browser about it, has said in its console.
        self.console: list[str] = []

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """The result of a command of the protocol."""
        number = next(self._ids)
        session = {"sessionId": self._session} if self._session else {}
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters} | session))
        while (message := self._take()).get("id") != number:
            pass
        assert "error" not in message, f"{method}: {message['error']}"
        result: dict[str, Any] = message["result"]
        return result

    def _take(self) -> dict[str, Any]:
        """The next that the browser says; what it says of the page is noted."""
        message: dict[str, Any] = json.loads(self._connection.recv(TIMEOUT))
        if message.get("method") == "Inspector.targetCrashed":
            raise CrashError
        if message.get("method") == "Log.entryAdded":
            self.console.append(message["params"]["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Page.frameNavigated":
            self._loads = message["params"]["frame"]["url"] != "about:blank"
        elif message.get("method") == "Page.loadEventFired":
            # A new tab says it, too.
            self._loaded += self._loads
            self._loads = False
        return message

    def attach(self, url: str) -> None:
        """Opens it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.go(url)

    def go(self, url: str) -> None:
        """Another page in its place."""
        self._until_loaded(lambda: self.call("Page.navigate", url=url))
        assert self.evaluate("location.href") == url

    def _until_loaded(self, act: Callable[[], object]) -> None:
        """`act()`, and then until another document and its scripts are loaded: nothing can be asked meanwhile."""
        before = self._loaded
        act()
        while self._loaded == before:
            self._take()

    def follow(self, selector: str) -> None:
        """A click on a link, until what it leads to is there."""
        self._until_loaded(lambda: self.click(selector))

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, which is awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of an expression, once it is true."""
        return self.evaluate(_WAIT % expression)

    def text(self, selector: str) -> str:
        """What is written there."""
        return str(self.evaluate(f"document.querySelector({selector!r}).textContent"))

    def click(self, selector: str) -> None:
        """A click of the mouse, where it can be seen."""
        x, y = self.evaluate(
            f"(() => {{ const one = document.querySelector({selector!r}); one.scrollIntoView({{ block: 'nearest' }}); "
            "const { x, y, width, height } = one.getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Text, into what has the focus."""
        self.call("Input.insertText", text=text)

    def key(self, name: str, modifiers: int = 0) -> None:
        """One key: a name such as Enter, or a letter."""
        code, text = _KEYS.get(name, (ord(name[0].upper()), name))
        common = {"key": name, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def write(self, selector: str, text: str) -> None:
        """Text into a field, in place of what is there."""
        self.click(selector)
        self.evaluate("document.activeElement.select()")
        self.type(text)

    def upload(self, selector: str, file: Path) -> None:
        """Chooses a file."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def look(self, *, dark: bool = False, width: int = 1200, height: int = 800) -> bytes:
        """A picture of it, as PNG, on a screen like that."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        # Drawn anew.
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def opened(url: str, folder: Path, *flags: str) -> Iterator[Page]:
    """The page at `url` in a browser with an empty profile."""
    with ExitStack() as stack:
        yield again(lambda: _open(stack, url, folder, flags))


@contextmanager
def at_page(server: EchoServer, folder: Path) -> Iterator[Page]:
    """The page of a server, once it hears keys: with its first picture, some time after it was loaded."""
    with opened(server.url.replace("ws", "http", 1), folder) as page:
        page.wait("document.activeElement.id === 'connect'")
        yield page


def _open(all_of_it: ExitStack, url: str, folder: Path, flags: Sequence[str]) -> Page:
    """The page at `url`; its browser ends with the stack."""
    with ExitStack() as stack:
        arguments = ("--remote-debugging-port=0", *flags, "about:blank")
        browser = stack.enter_context(Browser(folder, subprocess.PIPE, *arguments))
        try:
            limits: dict[str, Any] = {"open_timeout": TIMEOUT, "ping_interval": None, "max_size": None, "proxy": None}
            page = Page(stack.enter_context(connect(_address(browser), **limits)))
            page.attach(url)
        except Exception:
            browser.look()
            raise
        all_of_it.enter_context(stack.pop_all())
        return page


def _address(browser: Browser) -> str:
    """Where it listens for us."""
    said: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert browser.process.stdout is not None
        with browser.process.stdout as lines:
            for line in lines:
                said.put(line.decode(errors="replace"))
        said.put("")

    # To its end, so that it can go on talking.
    threading.Thread(target=read, daemon=True).start()
    while line := said.get(timeout=TIMEOUT):
        if found := re.search(r"^DevTools listening on (\S+)", line):
            return found[1]
    raise CrashError
