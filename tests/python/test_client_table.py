"""docs/clients.md is what clients do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

import client_table
from client_outcomes import CLIENTS, Driver, outcome
from client_packages import Missing
from client_rows import FAULTS, SECTIONS, UNSEEN, Row
from echoserver import _core
from echoserver.testing import Drop, Latency

pytestmark = pytest.mark.skipif(not client_table.DOCUMENT.exists(), reason="THERE ARE NO DOCUMENTS")


@pytest.fixture(scope="module")
def page() -> str:
    return client_table.DOCUMENT.read_text(encoding="utf-8")


def test_the_page_has_all_rows_and_versions(page: str) -> None:
    """After a change in any of them: `make clients`."""
    found = client_table.columns(page)
    assert list(found["ws"]) == [row.name for rows in SECTIONS.values() for row in rows]
    assert page == client_table.text(found)


def test_every_fault_has_a_row() -> None:
    for fault in _core.FAULTS:
        assert any(f"fault({fault['class']}(" in row.name for row in FAULTS), fault["class"]


@pytest.fixture
def driver() -> Iterator[Driver]:
    try:
        made = Driver("websockets")
    except Missing as missing:
        pytest.skip(f"NO TEST WITH websockets: {missing}")
    with made:
        yield made


def test_a_row_whose_fault_does_not_act_is_none(driver: Driver) -> None:
    row = Row("too late", "gets 'one'", faults=((Drop(), {"after": 100}),))
    with pytest.raises(AssertionError, match="too late has not acted"):
        outcome(driver, row)


def test_under_a_fault_that_is_nothing_all_goes_on(driver: Driver) -> None:
    # Who pings would do so for ever.
    kinds = {row.is_closing: row for row in FAULTS if row.faults and row.heartbeat is None}
    assert len(kinds) == 2
    for row in kinds.values():
        assert outcome(driver, replace(row, faults=((Latency(0), {}),))) == row.good


def test_each_row_is_seen_by_a_client_or_says_that_it_is_not(page: str) -> None:
    assert client_table.unseen(client_table.columns(page)) - {row.name for row in FAULTS} == UNSEEN


@pytest.mark.skipif(sys.platform != "linux", reason="the errors of sockets are those of Linux")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_does_what_the_page_says(client: str, page: str) -> None:
    try:
        found = client_table.column(client)
    except Missing as missing:
        pytest.skip(f"NO TEST WITH {client}: {missing}")
    assert found == client_table.columns(page)[client]
