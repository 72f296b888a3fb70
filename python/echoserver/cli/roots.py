"""The certificates that the system trusts, for a client that is not Python's: found as `ssl` finds them."""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from pathlib import Path

__all__ = ["system_roots"]


def system_roots() -> bytes:
    """All of them, in PEM; SSL_CERT_FILE and SSL_CERT_DIR name others."""
    context = ssl.create_default_context()
    found = [ssl.DER_cert_to_PEM_cert(one).encode() for one in context.get_ca_certs(binary_form=True)]
    # OpenSSL looks into its folders only when a server's certificate is there, for a name made of its issuer.
    paths = ssl.get_default_verify_paths()
    for folder in os.environ.get(paths.openssl_capath_env, paths.openssl_capath).split(os.pathsep):
        with suppress(OSError):
            found += filter(None, map(_usable, sorted(Path(folder).iterdir())))
    return b"\n".join(found)


def _usable(file: Path) -> bytes:
    """What is in it, if OpenSSL looks at a file of this name and can make something of it; others go without, too."""
    if re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name):
        with suppress(OSError):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
            return file.read_bytes()
    return b""
