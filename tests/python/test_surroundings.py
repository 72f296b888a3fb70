"""That the tests pass wherever they are started, and notice what happens up to the end of their last server."""

from __future__ import annotations

import os
import queue
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import finished, program

if TYPE_CHECKING:
    from conftest import Listen

# Those that depend on what a process inherits.
SENSITIVE = [
    "test_cli.py::test_help_has_a_dozen_options_and_help_all_every_one_with_its_default",
    "test_cli_run.py::test_with_debug_the_lines_of_the_example_come_as_they_happen",
    "test_cli_tls.py::test_self_signed_prints_where_the_ca_is_and_removes_it_at_the_end",
    "test_cli_tls.py::test_sighup_reloads_the_certificate_and_disturbs_nobody",
    "test_cli_tls.py::test_sighup_without_tls_ends_the_program_as_ever",
    "test_debug.py::test_a_program_with_a_full_stdout_goes_on",
]

# As `nohup` in a background job of a login in another language, behind a proxy; then the tests.
HOSTILE = """
import os, resource, signal, sys
for number in {"HUP", "INT", "TERM", "CHLD", "PIPE", "TSTP", "ALRM", "USR1"}:
    signal.signal(getattr(signal, "SIG" + number), signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
os.umask(0o077)
os.nice(3)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.close(0)
os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sys.argv[1:]])
"""
ENVIRONMENT = {
    "ALL_PROXY": "http://127.0.0.1:9",
    "COLUMNS": "20",
    "FORCE_COLOR": "1",
    "HOME": "/nonexistent",
    "LANG": "tr_TR",
    "LC_ALL": "de_DE.ISO-8859-1",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONPROFILEIMPORTTIME": "1",
    "PYTHONUTF8": "0",
    "PYTHON_COLORS": "1",
    "TERM": "dumb",
    "http_proxy": "http://127.0.0.1:9",
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are not inherited")
def test_the_tests_pass_whatever_they_inherit() -> None:
    here = Path(__file__).parent
    tests = [str(here / test) for test in SENSITIVE]
    status, out, err = finished(program(sys.executable, "-c", HOSTILE, *tests, env=ENVIRONMENT), 60)
    assert status == 0, out + err
    assert " passed in " in out


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_nothing_is_ignored_blocked_or_translated_here() -> None:
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    assert os.environ["LC_ALL"] == "C.UTF-8"
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]


def test_errors_are_collected_until_the_last_server_has_stopped(
    run: Listen, reported: queue.Queue[BaseException | None]
) -> None:
    def on_closed() -> None:
        raise ValueError

    # Raised when the fixture stops the server: if nobody collected it, that would be an error of this test.
    run(on_closed=on_closed)
    assert reported.empty()
