"""Every recipe of the cookbook: its client passes its test, and each broken one fails as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from documents import COOKBOOK, Block, Recipe, check, recipes
from support import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

RECIPES = [recipe for document in COOKBOOK for recipe in recipes(document)]
BROKEN = [(recipe, *broken) for recipe in RECIPES for broken in recipe.broken]
# The libraries of the clients: each is in several recipes.
LIBRARIES = ("websockets", "aiohttp", "websocket")

# Not of sockets that a short recipe leaves to the end of the test.
STRICT = ("-Werror", "-Wignore::ResourceWarning")

# What the tests of a file are: none for one that passes, or a line for a failure.
Outcome = dict[str, str | None]

pytestmark = pytest.mark.skipif(not RECIPES, reason="THERE IS NO COOKBOOK")


def module(block: Block) -> str:
    """The name of the file in which a client is put to its test."""
    return f"test_{block.document.stem}_{block.line}".replace("-", "_")


def run(folder: Path, sources: dict[str, str], *options: str) -> dict[str, Outcome]:
    """The outcomes by file, of a session of pytest's."""
    folder.mkdir()
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--junitxml=results.xml", "-p", "no:cacheprovider", *options, "."]
    for plugin in ("xdist", "aiohttp", "anyio"):
        command += ["-p", f"no:{plugin}"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3 * TIMEOUT, check=False)
    outcomes: dict[str, Outcome] = {name: {} for name in sources}
    for case in ElementTree.parse(folder / "results.xml").iter("testcase"):
        name = case.attrib["classname"].partition(".")[0]
        assert name in outcomes, done.stdout
        assert case.find("error") is None, done.stdout
        bad = case.find("failure")
        first = None if bad is None else bad.attrib["message"].splitlines()[0]
        outcomes[name][case.attrib["name"]] = first and f"FAILED {case.attrib['name']} - {first}"
    return outcomes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Those of all clients: the good ones in a session where every warning is an error, the broken ones in another."""
    folder = tmp_path_factory.mktemp("cookbook")
    good = {module(one.client): f"{one.client.text}\n\n{one.test.text}" for one in RECIPES}
    broken = {module(block): f"{one.client.text}\n\n{block.text}\n\n{one.test.text}" for one, block, _ in BROKEN}
    with ThreadPoolExecutor() as pool:
        sessions = [pool.submit(run, folder / "good", good, *STRICT), pool.submit(run, folder / "broken", broken)]
    return sessions[0].result() | sessions[1].result()


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_client_passes(recipe: Recipe, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[module(recipe.client)]
    assert outcome, "no test"
    assert [line for line in outcome.values() if line] == []


@pytest.mark.parametrize(("recipe", "client", "failures"), BROKEN, ids=[f"{one}, {block}" for one, block, _ in BROKEN])
def test_a_broken_client_fails(recipe: Recipe, client: Block, failures: Block, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[module(client)].keys() == outcomes[module(recipe.client)].keys()
    check(failures, "".join(f"{line}\n" for line in outcomes[module(client)].values() if line), failures.text)


def test_each_library_has_several_recipes() -> None:
    imported = [re.findall(r"^(?:import|from) (\w+)", one.client.text, re.MULTILINE) for one in RECIPES]
    for library in LIBRARIES:
        assert sum(library in names for names in imported) > 2, library
