"""What the program says on stderr while many lines come at once, such as at its end, and who reads them is slower."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from echoserver.cli import writing
from echoserver.cli.log_format import JsonLines
from echoserver.cli.screen import Screen
from support import TIMEOUT, eventually, in_thread, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# More than a pipe and all that may wait have room for.
LINES = [f"line {number} {'x' * 90}" for number in range(6000)]
# What may be said of them before anybody reads, and was.
SOME = 500


@contextmanager
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Callable[[], None], list[str]]]:
    """A stderr that nobody reads before the call of this function; then all lines come into that list."""
    monkeypatch.setattr(writing, "_PATIENCE", TIMEOUT)
    reading, written = os.pipe()
    read: list[str] = []
    with os.fdopen(reading) as lines:
        thread = None

        def begin() -> None:
            nonlocal thread
            thread = in_thread(read.extend, lines)

        with os.fdopen(written, "w") as stderr:
            monkeypatch.setattr(sys, "stderr", stderr)
            yield begin, read
        assert thread
        join(thread)


def say(screen: Screen) -> list[str]:
    """Has another thread say all lines; those that were said."""
    said: list[str] = []

    def talk() -> None:
        for line in LINES:
            screen.line(line)
            said.append(line)

    in_thread(talk)
    return said


def test_lines_at_the_end_wait_for_one_who_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    with unread(monkeypatch) as (begin, read), screen.apart():
        said = say(screen)
        eventually(lambda: len(said) > SOME)
        screen.let_go()
        begin()
        eventually(lambda: len(said) == len(LINES))
    assert [line.rstrip("\n") for line in read] == LINES


@pytest.mark.parametrize("lines", [None, JsonLines()])
def test_those_that_nobody_reads_are_counted(monkeypatch: pytest.MonkeyPatch, lines: logging.Formatter | None) -> None:
    screen = Screen(lines)
    with unread(monkeypatch) as (begin, read), screen.apart():
        # As after a second signal.
        screen.let_go()
        screen.let_go()
        said = say(screen)
        eventually(lambda: len(said) == len(LINES))
        begin()
    *written, last = [line.rstrip("\n") for line in read]
    kept = set(written)
    assert written == [line for line in LINES if line in kept]
    count = len(LINES) - len(written)
    assert 0 < count < len(LINES) - SOME
    text = f"{count} lines were not written, since nobody has read those before"
    if lines is None:
        assert last == f"echoserver: {text}"
    else:
        told = json.loads(last)
        assert (told["event"], told["count"], told["level"], told["message"]) == ("unlogged", count, "warning", text)


def test_the_end_waits_for_one_who_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes in all, by a clock that goes on as lines are read, by less than its patience each time."""
    patience, now = 0.01, 0.0
    monkeypatch.setattr(writing, "time", SimpleNamespace(monotonic=lambda: now, sleep=time.sleep))
    monkeypatch.setattr(writing, "_PATIENCE", patience)
    reading, written = os.pipe()
    read: list[str] = []
    screen = Screen()
    lines = [line * 50 for line in LINES[:900]]

    def read_all() -> None:
        nonlocal now
        with os.fdopen(reading) as stream:
            last._is_ending.wait(TIMEOUT)
            for line in stream:
                read.append(line)
                if last._moved == now:
                    now += 0.9 * patience

    def say_all() -> None:
        for line in lines:
            screen.line(line)

    with os.fdopen(written, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with screen.apart():
            assert screen._writer
            last = screen._writer
            reader = in_thread(read_all)
            # The main thread would wait for each.
            join(in_thread(say_all))
    join(reader)
    assert [line.rstrip("\n") for line in read] == lines
    assert now > 5 * patience
