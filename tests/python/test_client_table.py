"""docs/clients.md is what clients do."""

from __future__ import annotations

import sys

import pytest

import client_table
from client_outcomes import CLIENTS
from client_packages import Missing
from client_rows import HANDSHAKES, UNSEEN, VIOLATIONS

pytestmark = pytest.mark.skipif(not client_table.DOCUMENT.exists(), reason="THERE ARE NO DOCUMENTS")


@pytest.fixture(scope="module")
def page() -> str:
    return client_table.DOCUMENT.read_text(encoding="utf-8")


def test_the_page_has_all_rows_and_versions(page: str) -> None:
    """After a change in any of them: `make clients`."""
    found = client_table.columns(page)
    assert list(found["ws"]) == [row.name for row in [*HANDSHAKES, *VIOLATIONS]]
    assert page == client_table.text(found)


def test_each_row_is_seen_by_a_client_or_says_that_it_is_not(page: str) -> None:
    assert client_table.unseen(client_table.columns(page)) == UNSEEN


@pytest.mark.skipif(sys.platform != "linux", reason="the errors of sockets are those of Linux")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_does_what_the_page_says(client: str, page: str) -> None:
    try:
        found = client_table.column(client)
    except Missing as missing:
        pytest.skip(f"NO TEST WITH {client}: {missing}")
    assert found == client_table.columns(page)[client]
