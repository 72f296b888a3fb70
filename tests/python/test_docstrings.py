"""That `help()` shows of the native module what its stub says."""

from __future__ import annotations

import inspect
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

import docstrings
from echoserver import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not docstrings.STUB.exists(), reason="THERE IS NO CHECKOUT")


def test_help_says_what_the_stub_says() -> None:
    wrong = {
        name
        for name, docstring in docstrings.of_the_stub().items()
        if inspect.getdoc(attrgetter(name)(_core) if name else _core) != docstring
    }
    assert not wrong, "run tests/python/docstrings.py, then build"


def test_everything_has_a_docstring_in_the_stub() -> None:
    assert {*public()} <= docstrings.of_the_stub().keys()


def public() -> Iterator[str]:
    """The names of the module's functions and classes, and of their members."""
    for name, value in vars(_core).items():
        if name[0] != "_" and callable(value):
            yield name
        if name[0] != "_" and inspect.isclass(value):
            yield from (f"{name}.{member}" for member in vars(value) if member[0] != "_")
