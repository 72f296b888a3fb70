"""What TLS adds to the program `echoserver`: its options, the file with the CA, and SIGHUP."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from echoserver._core import TLS, password_file, shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from types import FrameType

    from echoserver.server import EchoServer

__all__ = ["FILES", "add_arguments", "served", "take_options"]

FILES: Final = frozenset({"certfile", "keyfile", "client_ca", "password_file"})
"""Names of options that are files, as errors have them."""

# Bytes.
_MAX_PASSWORD: Final = 1 << 16

_log: Final = logging.getLogger("echoserver")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group("TLS")
    group.add_argument(
        "--tls",
        choices=["self-signed"],
        help="serve wss:// with a certificate made now; prints where the CA to trust is (default: no TLS)",
    )
    group.add_argument("--certfile", metavar="FILE", help="serve wss:// with this certificate (chain), in PEM")
    group.add_argument("--keyfile", metavar="FILE", help="its private key, in PEM (default: the file of --certfile)")
    group.add_argument("--password-file", metavar="FILE", help="the first line of FILE opens an encrypted key")
    group.add_argument("--client-ca", metavar="FILE", help="demand certificates that a CA in FILE has signed")


def take_options(options: dict[str, Any]) -> None:
    """Replaces the options of the command line by the `tls` of EchoServer.

    ValueError for a combination that makes no sense, OSError if the file of the password can't be read.
    """
    files = {name: options.pop(name) for name in FILES if name in options}
    if not files:
        return
    if "tls" in options:
        raise ValueError(f"{min(files)}={shown(files[min(files)])}: not together with --tls")
    if "certfile" not in files:
        raise ValueError(f"{min(files)}={shown(files[min(files)])}: needs --certfile")
    password = None
    if "password_file" in files:
        lines = password_file(files["password_file"]).splitlines()
        password = lines[0] if lines else b""
        if len(password) > _MAX_PASSWORD:
            name = shown(files["password_file"])
            raise ValueError(f"password_file={name}: its first line is longer than {_MAX_PASSWORD} bytes")
    keyfile = files.get("keyfile", files["certfile"])
    options["tls"] = TLS(files["certfile"], keyfile, password, files.get("client_ca"))


@contextmanager
def served(server: EchoServer) -> Iterator[str | None]:
    """Meanwhile, the CA is in a file, whose name is given, and SIGHUP reloads the certificate."""
    path = None
    if server.ca_pem is not None:
        import tempfile  # Few need it, and each start would wait for it.

        descriptor, path = tempfile.mkstemp(prefix="echoserver-ca-", suffix=".pem")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(server.ca_pem)
        # No secret: clients of other users have to read it.
        os.chmod(path, 0o644)  # noqa: PTH101  # See `import tempfile`.
    before = _set_hangup(server)
    try:
        yield path
    finally:
        if before is not None:
            signal.signal(signal.SIGHUP, before)
        if path is not None:
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108


def _set_hangup(server: EchoServer) -> Any:
    """Sets the handler and returns the one before; None where there is none to be set."""

    def reload(_number: int, _frame: FrameType | None) -> None:
        try:
            server.reload_tls()
        except (OSError, ValueError) as error:
            _log.error("the certificate was not reloaded: %s", error)  # The sentence says it all.
        else:
            _log.info("the certificate was reloaded")

    is_possible = hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread()
    # One that is ignored stays so, as `nohup` wants it; without TLS it ends the program, as ever.
    if not is_possible or not server.url.startswith("wss:") or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return None
    return signal.signal(signal.SIGHUP, reload)
