"""What `import echoserver` brings with it: little, so that it takes little time."""

from __future__ import annotations

from support import finished, python

# Each takes about as long to import as the whole package, or longer.
HEAVY = {
    "argparse", "asyncio", "collections", "contextlib", "dataclasses", "enum", "functools", "importlib.metadata",
    "inspect", "json", "logging", "re", "socket", "ssl", "subprocess", "threading", "typing", "typing_extensions",
}  # fmt: skip


def test_import_takes_no_module_that_takes_long() -> None:
    status, out, err = finished(
        python(
            "import sys; before = set(sys.modules); import echoserver; first = set(sys.modules) - before; "
            "assert first == {'echoserver'}, first; "
            "from echoserver import EchoServer; print(*set(sys.modules) - before)"
        )
    )
    assert status == 0, err
    new = set(out.split())
    assert {"echoserver", "echoserver._core", "echoserver.server"} <= new
    assert not new & HEAVY
    assert not {name for name in new if name.partition(".")[0] in HEAVY}


def test_what_is_imported_later_is_there_from_the_beginning() -> None:
    code = (
        "import echoserver; assert 'Stats' in dir(echoserver); assert 'echoserver.stats' not in sys.modules; "
        "from echoserver import Stats, stats; assert Stats is stats.Stats is echoserver.Stats; "
        "assert hasattr(echoserver, 'EchoServer') and not hasattr(echoserver, 'Nothing')"
    )
    status, _, err = finished(python(f"import sys; {code}"))
    assert status == 0, err


def test_the_program_imports_at_its_start_what_every_start_needs() -> None:
    late = {"asyncio", "json", "pathlib", "shutil", "socket", "ssl", "subprocess", "tempfile"}
    # Without what these import themselves: on 3.15 logging has pathlib.
    code = "import argparse, logging, sys; before = set(sys.modules); import echoserver.cli.run; "
    code += "print(*set(sys.modules) - before)"
    status, out, err = finished(python(code))
    assert status == 0, err
    assert not late & set(out.split())
