"""That the reference has every public name, option, flag and default, and the module map every file."""

from __future__ import annotations

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest

import echoserver
import option_table
from echoserver import Client, EchoServer, Request
from echoserver.cli import arguments
from echoserver.stats import Stats

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference.md"
DESIGN = ROOT / "docs" / "design.md"

pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="THERE ARE NO DOCUMENTS")


def named(text: str) -> set[str]:
    """The words in code."""
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]*)`", text))))


def public(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


@pytest.mark.parametrize("kind", [EchoServer, Client, Request])
def test_every_attribute_is_in_the_reference(kind: type) -> None:
    missing = {*public(kind)} - named(REFERENCE.read_text(encoding="utf-8"))
    assert not missing, "docs/reference.md lacks them"


def test_every_public_name_is_in_the_reference() -> None:
    missing = {*echoserver.__all__} - {"__version__"} - named(REFERENCE.read_text(encoding="utf-8"))
    assert not missing, "docs/reference.md lacks them"


def test_every_counter_is_in_the_reference() -> None:
    missing = {field.name for field in fields(Stats)} - named(REFERENCE.read_text(encoding="utf-8"))
    assert not missing, "docs/reference.md lacks them"


def test_the_calls_of_the_reference_are_there() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for title, kind in (("The server", EchoServer), ("A client", Client)):
        section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
        names = [name for cell in cells[1:] for name in re.findall(r"`(?:await )?(\w+)[`(]", cell)]
        assert len(names) > 10
        parents = [name for name in names if not hasattr(kind, name) and name not in signature(EchoServer).parameters]
        assert not parents, f"{kind.__name__} has no such thing"


def test_the_table_of_options_is_made_of_their_sources() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert option_table.document(text) == text, "run `make options`"
    rows = re.findall(r"^\| `(\w+)` \| (|.*? )\| (.*?) \| (.+) \|$", text.partition("## Callbacks\n")[0], re.MULTILINE)
    assert {name for name, *_ in rows} == {name for name in signature(EchoServer).parameters if name[:3] != "on_"}
    shown = {name: (flags, default) for name, flags, default, _ in rows}
    # One of each kind, as somebody would say it.
    assert shown["port"] == ("`-p`, `--port` ", "1234")
    assert shown["max_message_size"] == ("`--max-message-size` ", "64 MiB")
    assert shown["close_timeout"] == ("`--close-timeout` ", "5")
    assert shown["page"] == ("`--no-page` ", "off; in the program on")
    assert shown["max_connections"] == ("`--max-connections` ", "no limit")
    assert shown["record"] == ("", "none")
    assert shown["tls"][0].startswith("`--tls`, `--certfile`")


def test_every_flag_is_in_the_reference_once() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    program = text.partition("| of the program alone |")[2].partition("\n\n")[0]
    alone = re.findall(r"^\| (.*?) \|", program, re.MULTILINE)
    flags = re.findall(r"--?[a-z-]+", " ".join(alone[1:]))
    flags += [flag for option in option_table.options() for flag in option.flags]
    assert len({*flags}) == len(flags)
    assert {*flags} == set(arguments.parser()._option_string_actions)


def test_the_module_map_has_every_file_that_there_is() -> None:
    section = DESIGN.read_text(encoding="utf-8").partition("## Where what is\n")[2].partition("\n## ")[0]
    package, crate, _ = re.split(r"^`(?:src|tests)/`", section, flags=re.MULTILINE)
    for text, folder in ((package, ROOT / "python" / "echoserver"), (crate, ROOT / "src")):
        listed = set(re.findall(r"`(\w+(?:\.pyi?|\.rs|/))`", text.partition("New here?")[0]))
        kinds = {".py", ".pyi", ".rs"}
        there = {
            path.name + "/" * path.is_dir()
            for path in folder.iterdir()
            if (path.suffix in kinds or path.is_dir()) and path.name != "__pycache__"
        }
        # Those of a folder may be named beside it.
        assert there <= listed, f"not in the map of docs/design.md: {there - listed}"


def test_the_files_that_newcomers_are_sent_to_are_there() -> None:
    for document in (DESIGN, ROOT / "CONTRIBUTING.md"):
        names = re.findall(r"`((?:src|tests|python)/[^`]*)`", document.read_text(encoding="utf-8"))
        assert len(names) > 10
        missing = [name for name in names if not (ROOT / name).exists()]
        assert not missing, f"{document.name} names them"
