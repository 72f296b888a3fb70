"""What the tests and the processes they start inherit from whoever starts them, made the same everywhere.

`nohup`, a shell's background job, a login in another language or a proxy of the company's change none of them then.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["reset"]

# Those that Python itself ignores.
_LEFT_ALONE = {"SIGPIPE", "SIGXFSZ", "SIGXFZ"}
# What makes Python write more, elsewhere, in other words or in color, and `-O`, under which no assertion fails.
_UNSET = {
    "COLUMNS",
    "FORCE_COLOR",
    "PYTHONDEBUG",
    "PYTHONINSPECT",
    "PYTHONIOENCODING",
    "PYTHONMALLOCSTATS",
    "PYTHONOPTIMIZE",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONUNBUFFERED",
    "PYTHONVERBOSE",
    "PYTHON_COLORS",
}
# Descriptors that some tests need, with all their clients.
_DESCRIPTORS = 1024


def reset() -> None:
    """Does it, in the main thread."""
    signals = signal.valid_signals()
    for number in signals:
        # Those without a name are for nobody in particular.
        if signal.getsignal(number) is signal.SIG_IGN and getattr(number, "name", "") not in _LEFT_ALONE:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name in _UNSET or name.lower().endswith("_proxy"):
            del os.environ[name]
    # The language of messages, and of what is written and read, whatever this machine has.
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["PYTHONUTF8"] = "1"
    if sys.platform != "win32":
        import resource

        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.umask(0o022)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= soft < _DESCRIPTORS:
            most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
