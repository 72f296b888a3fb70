"""The code blocks of the documents, and how they are run.

- A `python` block is a program, run in a process of its own. Ports become free ones; once it serves it gets Ctrl-C,
  after which it has to end by itself.
- One that has tests is run by pytest, too: there they have to pass.
- A `console` block has commands after `$ ` and what they print. All of a section are one session: a server that one
  of them starts runs until the section ends, and then gets Ctrl-C.
- A `rust` block is a doctest of the crate, which includes its page.
- A `text` block is what the `python` block before it prints.
- In a cookbook the `python` blocks of a section are one recipe (`Recipe`), which test_cookbook.py runs.
- In what is printed, `...` stands for anything.
- `<!-- not run: why -->` before a block keeps it from being run.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sessions as sessions_of_pytest
from support import TIMEOUT, finished, program, python

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    path
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    if path.exists()
]
# Those whose Python blocks are recipes.
COOKBOOK = [path for path in DOCUMENTS if path.stem.startswith("cookbook")]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$|^(#+ [^\n]*)$|^<!-- not run: ([^\n]*?) -->$", re.MULTILINE | re.DOTALL)
_URL = re.compile(r"(wss?://[^/\s:]+:)(\d+)")

# Ends `serve()` as a user does; only the port is another one, so that examples can run anywhere, at any time.
_PRELUDE = f"""
import _thread, os, threading, time
import echoserver

class _Free(echoserver.EchoServer):
    def __init__(self, port=1234, *args, **options):
        super().__init__(0, *args, **options)
        with open(os.environ["PORTS"], "a") as file:
            print(port, self.port, file=file)

    def serve(self):
        def end():
            deadline = time.monotonic() + {TIMEOUT}
            while not self.is_serving and time.monotonic() < deadline:
                time.sleep(0.001)
            _thread.interrupt_main()
        threading.Thread(target=end, daemon=True).start()
        super().serve()

_Free.__name__ = _Free.__qualname__ = "EchoServer"
echoserver.EchoServer = _Free
"""


@dataclass
class Block:
    """A code block, and why it is not run if it is not."""

    document: Path
    line: int
    language: str
    text: str
    section: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


@dataclass
class Session:
    """The console blocks of a section."""

    blocks: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        return str(self.blocks[0])


@dataclass
class Recipe:
    """A test, a client that passes it, and clients that fail it, each with the failures that pytest lists then.

    The first `python` block is the test, the second the client. Each further one is put after the client, where it
    replaces what it defines anew, and is followed by a `text` block.
    """

    test: Block
    client: Block
    broken: list[tuple[Block, Block]]

    def __str__(self) -> str:
        return self.test.section.lstrip("# ")


def blocks(document: Path) -> Iterator[Block]:
    """All of them."""
    text = document.read_text(encoding="utf-8")
    section, not_run = "", None
    for match in _FENCE.finditer(text):
        language, code, heading, reason = match.groups()
        if heading:
            section = heading
        elif reason:
            not_run = reason
        else:
            yield Block(document, text.count("\n", 0, match.start()) + 1, language, code, section, not_run)
            not_run = None


def programs(document: Path) -> Iterator[tuple[Block, str | None]]:
    """The Python blocks to run, with what they print, if it says so."""
    every = [] if document in COOKBOOK else list(blocks(document))
    for block, after in zip(every, [*every[1:], None], strict=False):
        if block.language == "python" and block.not_run is None:
            is_output = after is not None and after.language == "text" and after.not_run is None
            yield block, after.text if after is not None and is_output else None


def sessions(document: Path) -> list[Session]:
    """The console blocks to run."""
    found: dict[str, Session] = {}
    for block in blocks(document):
        if block.language == "console" and block.not_run is None:
            found.setdefault(block.section, Session()).blocks.append(block)
    return list(found.values())


def recipes(document: Path) -> list[Recipe]:
    """Those of a cookbook. All blocks of their sections belong to them."""
    sections: dict[str, list[Block]] = {}
    for block in blocks(document):
        sections.setdefault(block.section, []).append(block)
    found = []
    for section, (test, client, *others) in sections.items():
        languages = [block.language for block in (test, client, *others)]
        assert languages == ["python"] * 2 + ["python", "text"] * (len(others) // 2), f"{document.name}: {section}"
        assert others, f"{document.name}: {section} has no client that fails"
        found.append(Recipe(test, client, list(zip(others[::2], others[1::2], strict=True))))
    return found


def commands(text: str) -> list[tuple[str, str]]:
    """Each command, which may go on in further lines as in a shell, and what it prints."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip("\n"), ""))
        elif found and (found[-1][0].endswith("\\") or _is_quoting(found[-1][0])):
            found[-1] = "\n".join([found[-1][0], line.rstrip("\n")]), ""
        elif found:
            found[-1] = found[-1][0], found[-1][1] + line
        else:
            raise AssertionError(f"no command before: {line}")
    return found


def run_program(block: Block, expected: str | None, folder: Path) -> None:
    """Runs a Python block: it ends in order, and prints what is expected."""
    ports = folder / "ports"
    ports.touch()
    # As lines of a file, so that errors have the line of the document.
    source = "\n" * block.line + block.text
    code = f"{_PRELUDE}\nexec(compile({source!r}, {str(block)!r}, 'exec'))"
    status, out, err = finished(python(code, cwd=folder, env={"PORTS": str(ports)}))
    assert (status, err) == (0, ""), f"{block}\n{out}\n{err}"
    for asked, port in (line.split() for line in ports.read_text(encoding="ascii").splitlines()):
        if asked != "0":
            out = re.sub(rf"\b{port}\b", asked, out)
    if expected is not None:
        check(block, out, expected)


def run_tests(block: Block, folder: Path) -> None:
    """Runs the tests of a Python block, as pytest finds them: there are some, and they pass."""
    said, outcomes = sessions_of_pytest.session(folder, block.text)
    assert outcomes.get("passed"), f"{block}\n{said}"
    assert outcomes.keys() == {"passed"}, f"{block}\n{said}"


def has_tests(block: Block) -> bool:
    """Whether pytest finds some in it."""
    return re.search(r"^(async )?def test_", block.text, re.MULTILINE) is not None


def run_session(session: Session, folder: Path) -> None:
    """Runs the commands one after the other."""
    servers: list[tuple[Block, subprocess.Popen[str], str]] = []
    # Of this session, by those that are written down.
    ports: dict[str, str] = {}
    for block in session.blocks:
        for command, expected in commands(block.text):
            for written, port in ports.items():
                command = re.sub(rf":{written}\b", f":{port}", command)  # noqa: PLW2901
            words = shlex.split(command, comments=True)
            if words[0] == "echoserver" and _URL.search(expected):
                process = program(*_served(words), cwd=folder, stderr=subprocess.STDOUT, env=_environment())
                servers.append((block, process, _until_url(block, process, expected, ports)))
            else:
                _, out, _ = finished(
                    program("bash", "-c", command, cwd=folder, stderr=subprocess.STDOUT, env=_environment())
                )
                check(block, _as_written(out, ports), expected)
    for block, process, expected in servers:
        process.send_signal(signal.SIGINT)
        assert process.stdout
        out = process.stdout.read()
        assert process.wait(TIMEOUT) == 0, out
        check(block, _as_written(out, ports), expected)


def _is_quoting(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def check(block: Block, printed: str, expected: str) -> None:
    """That this is what it prints."""
    pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
    assert re.fullmatch(pattern, printed, re.DOTALL), f"{block} prints\n{printed}\ninstead of\n{expected}"


def _served(words: list[str]) -> list[str]:
    """The command on a free port."""
    rest = [word for at, word in enumerate(words[1:], 1) if word != "-p" and words[at - 1] != "-p"]
    return [sys.executable, "-m", "echoserver", "-p", "0", *rest]


def _environment() -> dict[str, str]:
    folder = str(Path(sys.executable).parent)
    return {"PATH": os.pathsep.join([folder, os.environ["PATH"]]), "PYTHONWARNINGS": ""}


def _until_url(block: Block, process: subprocess.Popen[str], expected: str, ports: dict[str, str]) -> str:
    """Reads what the server prints up to its URL, notes the port, and returns what is to come after it."""
    assert process.stdout
    lines = expected.splitlines(keepends=True)
    count = next(at for at, line in enumerate(lines, 1) if _URL.search(line))
    printed = "".join(process.stdout.readline() for _ in range(count))
    actual, written = _URL.search(printed), _URL.search(expected)
    assert actual, printed
    assert written
    ports[written[2]] = actual[2]
    check(block, _as_written(printed, ports), "".join(lines[:count]))
    return "".join(lines[count:])


def _as_written(printed: str, ports: dict[str, str]) -> str:
    for written, port in ports.items():
        printed = re.sub(rf"\b{port}\b", written, printed)
    return printed
