"""The certificates that the system trusts, for a client that is not Python's: found as `ssl` finds them."""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echoserver._core import ca_file

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["roots_in", "system_roots"]

# In base64, and perhaps with some spaces: whatever else is there is none.
_PEM: Final = re.compile(rb"^-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.MULTILINE)


def roots_in(path: str) -> bytes:
    """What is in a file of certificates. OSError that says what is wrong with it, without its name."""
    try:
        return ca_file(path)
    except OSError as error:
        raise OSError(str(error.strerror).removeprefix("ca: ")) from None


def system_roots() -> bytes:
    """All of them, in PEM; SSL_CERT_FILE and SSL_CERT_DIR name others."""
    context = ssl.create_default_context()
    found = [ssl.DER_cert_to_PEM_cert(one).encode() for one in context.get_ca_certs(binary_form=True)]
    # OpenSSL looks into its folders only when a server's certificate is there, for a name made of its issuer.
    paths = ssl.get_default_verify_paths()
    for folder in os.environ.get(paths.openssl_capath_env, paths.openssl_capath).split(os.pathsep):
        with suppress(OSError):
            for file in sorted(Path(folder).iterdir()):
                found += _usable(file)
    return b"\n".join(found)


def _usable(file: Path) -> Iterator[bytes]:
    """The certificates in it, each in PEM, if OpenSSL looks at a file of this name; without those that are broken."""
    if not re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name):
        return
    with suppress(OSError):
        for one in _PEM.findall(file.read_bytes()):
            with suppress(ssl.SSLError):
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=one.decode())
                yield one
