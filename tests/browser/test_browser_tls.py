"""Chromium over TLS: the page opens a `wss://` WebSocket, with the server's CA among those that Chromium trusts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from test_browser import CHROMIUM, MESSAGES, NAMES, TIMEOUT, Site, play, serve, site

__all__ = ["site"]

# Of Debian's libnss3-tools: the only way to tell Chromium, on Linux, whom to trust.
CERTUTIL = shutil.which("certutil")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=f"NO BROWSER TEST: none of {', '.join(NAMES)} is installed"),
    pytest.mark.skipif(CERTUTIL is None, reason="NO BROWSER TEST OF TLS: certutil (libnss3-tools) is not installed"),
    pytest.mark.timeout(2 * TIMEOUT),
]


def trust(ca_pem: str, home: Path) -> None:
    """Makes the CA one of those that a Chromium with this home trusts."""
    assert CERTUTIL is not None
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    file = home / "ca.pem"
    file.write_text(ca_pem)
    for command in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "echoserver", "-i", str(file)]):
        subprocess.run([CERTUTIL, "-d", f"sql:{store}", *command], check=True, capture_output=True, timeout=TIMEOUT)


def test_messages_come_back_over_tls(site: Site, tmp_path: Path) -> None:
    with serve(tls="self-signed", subprotocols=["echo"], origins=[site.origin]) as server:
        assert server.ca_pem is not None
        trust(server.ca_pem, tmp_path)
        report = play("echo", server, site, tmp_path)
        stats = server.stats()
    assert report["messages"] == MESSAGES
    assert (report["protocol"], report["errors"]) == ("echo", 0)
    assert report["closed"] == {"code": 4321, "reason": "tschüß", "wasClean": True}
    assert (stats.clients_opened, stats.violations, stats.tls_failures) == (1, 0, 0)


def test_a_browser_that_does_not_know_the_ca_does_not_connect(site: Site, tmp_path: Path) -> None:
    with serve(tls="self-signed") as server:
        report = play("refused", server, site, tmp_path)
        stats = server.stats()
    assert (report["closed"], report["errors"]) == ({"code": 1006, "reason": "", "wasClean": False}, 1)
    assert stats.clients_opened == 0
    assert stats.tls_failures >= 1
