"""Every code block of the documents runs, and prints what stands there; or says why it is not run."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from documents import (
    COOKBOOK,
    DOCUMENTS,
    ROOT,
    Block,
    Session,
    blocks,
    check,
    commands,
    has_tests,
    programs,
    run_program,
    run_session,
    run_tests,
    sessions,
)
from echoserver.cli import arguments

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
PROGRAMS = [one for document in DOCUMENTS for one in programs(document)]
SESSIONS = [one for document in DOCUMENTS for one in sessions(document)]
# What is neither run nor printed by something that is run.
QUOTED = {"toml", "json", "ini"}
# What has binary parts, and does not come for every Python at once.
OPTIONAL = {"fastapi"}
# What `cargo test` runs.
RUST = {
    (ROOT / "src" / name).resolve()
    for name in re.findall(r'#\[doc = include_str!\("(.*?)"\)\]', (ROOT / "src" / "lib.rs").read_text(encoding="utf-8"))
}

pytestmark = pytest.mark.skipif(not DOCUMENTS, reason="THERE ARE NO DOCUMENTS: their examples were not tested")


@pytest.mark.parametrize(("block", "expected"), PROGRAMS, ids=[str(block) for block, _ in PROGRAMS])
def test_a_program_runs_and_prints_what_it_says(block: Block, expected: str | None, tmp_path: Path) -> None:
    for name in OPTIONAL & {*re.findall(r"^ *(?:from|import) (\w+)", block.text, re.MULTILINE)}:
        if find_spec(name) is None:
            pytest.skip(f"{block} NOT RUN: {name} can't be had for this Python")
    run_program(block, expected, tmp_path)


@pytest.mark.parametrize("block", [block for block, _ in PROGRAMS if has_tests(block)], ids=str)
def test_the_tests_of_a_document_pass(block: Block, tmp_path: Path) -> None:
    run_tests(block, tmp_path)


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_the_commands_of_a_section_print_what_it_says(session: Session, tmp_path: Path) -> None:
    run_session(session, tmp_path)


def test_there_are_programs_and_commands_in_the_readme() -> None:
    assert [block for block, _ in PROGRAMS if block.document.name == "README.md" and has_tests(block)]
    assert [block for session in SESSIONS for block in session.blocks if block.document.name == "README.md"]


def test_every_block_is_run_or_says_why_not() -> None:
    run = [block for block, _ in PROGRAMS] + [block for session in SESSIONS for block in session.blocks]
    printed = [after for before, after in pairwise(BLOCKS) if before in run and after.language == "text"]
    for block in BLOCKS:
        if block.document in COOKBOOK:
            continue
        is_quoted = block in printed or block.language in QUOTED
        if block.language == "rust":
            assert block.document in RUST, f"{block}: no doctest includes its page"
            continue
        assert (block in run) + is_quoted + (block.not_run is not None) == 1, f"{block}: {block.language}"
    for document in DOCUMENTS:
        # An indented block would be seen by nobody.
        assert not re.search(
            r"\n\n    \S", re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        )


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.not_run is not None], ids=str)
def test_what_is_not_run_could_be(block: Block) -> None:
    """Its grammar, its options and its targets are right."""
    assert len(block.not_run or "") > 10, "a reason"
    if block.language == "python":
        compile(block.text, str(block), "exec")
    if block.language != "console":
        return
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for command, _ in commands(block.text):
        words = shlex.split(command, comments=True)
        if words[0] == "make":
            assert set(words[1:]) <= {*targets}, command
        elif words[0] == "echoserver" or words[:3] == ["python", "-m", "echoserver"]:
            arguments.parser().parse_args(words[1 if words[0] == "echoserver" else 3 :])
        else:
            files = [word.partition("::")[0] for word in words if "/" in word and not word.startswith(("/", "."))]
            assert all((ROOT / file).exists() for file in files), command


def test_the_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", text):
            assert not target or (document.parent / target).exists(), f"{document.name}: {target}"
        for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text):
            other = document.parent / file if file else document
            headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{document.name}: {file}#{anchor}"


def test_what_is_printed_is_compared() -> None:
    block = Block(ROOT / "x.md", 1, "text", "", "", None)
    check(block, "a 17 b\n", "a ... b\n")
    for printed in ("a b\n", "a 17 b\nc\n", "", "a 17 c\n"):
        with pytest.raises(AssertionError, match=r"x\.md:1 prints"):
            check(block, printed, "a ... b\n")
