"""What is made from the table of faults is up to date."""

from __future__ import annotations

import pytest

import fault_table
from echoserver import Accept, Response, testing
from echoserver._core import FAULTS
from echoserver.faults import FaultKind


def test_the_classes_are_those_of_the_table() -> None:
    """After a change of it: `make faults`."""
    assert fault_table.CLASSES.read_text(encoding="utf-8") == fault_table.classes()
    text = fault_table.PACKAGE.read_text(encoding="utf-8")
    assert text == fault_table.package(text)
    for row in FAULTS:
        assert issubclass(getattr(testing, row["class"]), FaultKind | Response | Accept)


@pytest.mark.skipif(not fault_table.DOCUMENT.exists(), reason="THERE ARE NO DOCUMENTS")
def test_so_is_the_document() -> None:
    text = fault_table.DOCUMENT.read_text(encoding="utf-8")
    assert text == fault_table.document(text)


@pytest.mark.skipif(not fault_table.DICTIONARY.exists(), reason="THERE IS NO FUZZER")
def test_so_are_the_words_of_the_fuzzer() -> None:
    assert fault_table.DICTIONARY.read_text(encoding="utf-8") == fault_table.dictionary()


def test_a_default_is_within_its_range() -> None:
    for row in FAULTS:
        kind = getattr(testing, row["class"])
        if row["opportunity"] == "request":
            continue
        required = [one["name"] for one in row["parameters"] if "default" not in one]
        if not required:
            assert repr(kind()) == f"{row['class']}({', '.join(_given(row))})"


def _given(row: dict[str, object]) -> list[str]:
    parameters = row["parameters"]
    assert isinstance(parameters, list)
    return [f"{one['name']}={one['default']!r}" for one in parameters]
