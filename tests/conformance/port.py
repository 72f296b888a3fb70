"""Converts the published ``autobahntestsuite`` sdist, which is Python 2 only, to Python 3.

    port.py SDIST.tar.gz

The package, as far as the fuzzing client needs it, goes into the site-packages of the running interpreter. Nothing of
the suite lies in this folder: this file only describes how its sources are changed.

Bytes and text: every module is read as latin-1 and declared as latin-1. A Python 2 ``str`` literal and the Python 3
``str`` literal read that way hold the same octets, one character (0..255) per octet, and all that the cases do with
payloads (slice, join, repeat, index, compare) means the same for both. Payloads become ``bytes`` only where they enter
the WebSocket engine, and latin-1 ``str`` again on the way back; that boundary is in client.py. The compression cases
work on real bytes already and stay with them.

Every patch states how often it must match, and any other count is an error, so that a changed release cannot be
converted by half in silence.
"""

import ast
import hashlib
import re
import shutil
import sys
import sysconfig
import tarfile
from pathlib import Path

from fissix.refactor import RefactoringTool

SDIST_SHA256 = "b083d6e15330fc16f3e5f0975cce2b15f21bfa0c6db09547316b1852c6dbd6df"

# Syntax only: no fixer that would change what a case sends.
FIXERS = ["print", "except", "has_key", "xrange", "raise", "import", "dict", "unicode", "ne", "repr", "numliterals"]

MODULES = ["caseset.py", "fuzzing.py"]

# Not in the list of cases that run, and Python 3 cannot import it.
SKIPPED_CASES = ["case/case9_9_1.py"]

COMPAT = "from autobahntestsuite._compat import "

# (file name regex, pattern, replacement, how often it must match; None means once or more)
PATCHES: list[tuple[str, str, str, int | None]] = [
    # What is not used: a broken case, reports, TLS.
    (r"case/__init__\.py", r"(?m)^from case9_9_1 import \*$", "", 1),
    (r"fuzzing\.py", r"(?s)\nfrom report import CSS_COMMON.*?JS_MASTER_REPORT\n", "\n", 1),
    (r"fuzzing\.py", r"(?m)^from twisted\.internet import reactor, ssl$", "from twisted.internet import reactor", 1),
    (r"fuzzing\.py", r"ssl\.ClientContextFactory\(\)", "None", 1),
    # (object, Case) has no consistent method resolution order.
    (r"case/(case6_x_x|case7_7_X|case7_9_X|case9_7_X)\.py", r"\(object, Case, \)", "(Case, )", 1),
    (r"case/case12_x_x\.py", r"\(object, Case, \)", "(Case, )", 2),
    # Integer division.
    (
        r"case/case10_1_1\.py",
        r"len\(self\.payload\) / self\.p\.autoFragmentSize",
        "len(self.payload) // self.p.autoFragmentSize",
        1,
    ),
    # Equality instead of pickles, which differ for equal objects.
    (r"case/case\.py", r"return pickle\.dumps\(obj1\) == pickle\.dumps\(obj2\)", "return same(obj1, obj2)", 1),
    (r"case/case\.py", r"(?m)^import pickle$", COMPAT + "same", 1),
    # Octet functions that accept latin-1 str.
    (
        r"case/case(6_2_[1-4]|6_3_[12]|6_4_[1-4]|6_x_x|7_5_1)\.py",
        r"(?m)^import binascii$",
        COMPAT + "binascii",
        None,
    ),
    (
        r"case/case6_x_x\.py",
        r"(?m)^from autobahn\.websocket\.utf8validator import Utf8Validator$",
        COMPAT + "Utf8Validator",
        1,
    ),
    # Data files.
    (
        r"case/case12_x_x\.py",
        r"(?m)^import copy, os, pkg_resources, hashlib, binascii$",
        f"import copy, os, hashlib\n{COMPAT}binascii, pkg_resources",
        1,
    ),
    (
        r"fuzzing\.py",
        r"(?m)^import os, json, binascii, time, textwrap, pkg_resources$",
        f"import os, json, time, textwrap\n{COMPAT}binascii, pkg_resources",
        1,
    ),
]

COMPAT_MODULE = '''"""What the converted modules import: octets as latin-1 str, data files."""
import binascii as _binascii
import pathlib as _pathlib

from autobahn.websocket.utf8validator import Utf8Validator as _Utf8Validator


def octets(text):
    """The bytes of a latin-1 str (or bytes); any other character is an error."""
    return text.encode("latin-1") if isinstance(text, str) else bytes(text)


class binascii:
    @staticmethod
    def b2a_hex(text):
        return _binascii.b2a_hex(octets(text)).decode("ascii")

    hexlify = b2a_hex


class pkg_resources:
    @staticmethod
    def resource_filename(package, path):
        return str(_pathlib.Path(__file__).parent / path)


class Utf8Validator(_Utf8Validator):
    def validate(self, text):
        return super().validate(octets(text))


def same(one, other):
    """Equality of event lists; bytes in one of them is a fault of the harness, not a mismatch."""
    for event in [*one, *other]:
        if any(isinstance(item, (bytes, bytearray)) for item in event):
            raise TypeError(f"raw octets in an event list: {event[:1]}")
    return one == other
'''


def read_latin1(raw: bytes) -> str:
    lines = raw.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for i, line in enumerate(lines[:2]):
        if re.match(r"[ \t\f]*#.*?coding[:=]", line):
            lines[i] = "#"
    return "\n".join(["# -*- coding: latin-1 -*-", *lines, ""])


def convert(tool: RefactoringTool, package: Path, name: str, raw: bytes, used: set[str]) -> bytes:
    text = read_latin1(raw)
    for file_name, pattern, replacement, count in PATCHES:
        if not re.fullmatch(file_name, name):
            continue
        text, found = re.subn(pattern, replacement, text)
        if found != count and (count is not None or not found):
            sys.exit(f"port: {name}: {pattern!r} matched {found} times, expected {count or 'at least 1'}")
        used.add(file_name + pattern)
    text = str(tool.refactor_string(text, str(package / name)))
    refuse_changed_meaning(name, text)
    return text.encode("latin-1")


def refuse_changed_meaning(name: str, text: str) -> None:
    """Ends the conversion at a construct that means something else on Python 3."""
    for node in ast.walk(ast.parse(text, name)):
        match node:
            case ast.BinOp(op=ast.Div()):
                wrong = "true division"
            case ast.Attribute(attr="has_key" | "iteritems" | "itervalues" | "iterkeys"):
                wrong = f"dict.{node.attr}"
            case ast.Constant(value=str(value)) if any(ord(character) > 255 for character in value):
                wrong = "a character above 255"
            case _:
                continue
        sys.exit(f"port: {name}:{node.lineno}: {wrong}")


def read_sdist(path: Path) -> dict[str, bytes]:
    if hashlib.sha256(path.read_bytes()).hexdigest() != SDIST_SHA256:
        sys.exit(f"port: {path.name} is not the release this conversion was written for")
    files = {}
    with tarfile.open(path) as tar:
        for member in tar:
            _, _, inside = member.name.partition("/autobahntestsuite/")
            content = tar.extractfile(member) if inside else None
            if content is not None:
                files[inside] = content.read()
    return files


def main(sdist: Path) -> None:
    files = read_sdist(sdist)
    cases = [name for name in files if re.fullmatch(r"case/\w+\.py", name) and name not in SKIPPED_CASES]
    modules = MODULES + sorted(cases)
    data = [name for name in files if name.startswith("testdata/")]
    package = Path(sysconfig.get_path("purelib")) / "autobahntestsuite"
    shutil.rmtree(package, ignore_errors=True)
    for name in [*modules, *data]:
        # All modules first, unconverted: the import fixer decides by the files that lie beside a module.
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(files[name])
    version = re.search(rb"__version__ = ['\"]([^'\"]+)", files["_version.py"])
    assert version, "the sdist names its version"
    (package / "__init__.py").write_text(f'__version__ = version = "{version[1].decode()}"\n', encoding="ascii")
    (package / "_compat.py").write_text(COMPAT_MODULE, encoding="ascii")

    tool = RefactoringTool([f"fissix.fixes.fix_{name}" for name in FIXERS])
    used: set[str] = set()
    for name in modules:
        (package / name).write_bytes(convert(tool, package, name, files[name], used))
    unused = [patch[:2] for patch in PATCHES if patch[0] + patch[1] not in used]
    if unused or not data:
        sys.exit(f"port: patches never applied: {unused}; data files: {len(data)}")
    print(f"converted autobahntestsuite {version[1].decode()}: {len(modules)} modules, {len(data)} data files")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
