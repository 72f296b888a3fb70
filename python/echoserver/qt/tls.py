"""A `QSslConfiguration` as the `TLS` of the main package, which takes files."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echoserver._core import TLS
from echoserver.qt._choice import module

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["by_setters", "tls_of"]

_FILES = ("certificates.pem", "key.pem", "authorities.pem")
# What of a configuration is in the file of an option.
_SETTERS = {
    "certfile": "setLocalCertificate()",
    "keyfile": "setPrivateKey()",
    "client_ca": "setCaCertificates()",
}


@contextmanager
def tls_of(configuration: Any) -> Iterator[TLS]:
    """Certificate, chain and key of it, in files that are there, for this user only, while the block runs.

    With VerifyPeer its CA certificates are those that clients' certificates have to be from. ValueError if there are
    none, or no certificate or key of its own.
    """
    certificates = [] if configuration is None else configuration.localCertificateChain()
    if not certificates and configuration is not None and not configuration.localCertificate().isNull():
        certificates = [configuration.localCertificate()]
    if configuration is None or not certificates or configuration.privateKey().isNull():
        raise ValueError(
            "a server in SecureMode needs setSslConfiguration() with setLocalCertificate() and setPrivateKey() before "
            "it listens"
        )
    with _folder() as folder:
        certificate_file, key_file = (Path(folder, name) for name in _FILES[:2])
        certificate_file.write_bytes(b"".join(bytes(one.toPem().data()) for one in certificates))
        key_file.touch(mode=0o600)
        key_file.write_bytes(bytes(configuration.privateKey().toPem().data()))
        client_ca = None
        if configuration.peerVerifyMode() == module("QtNetwork").QSslSocket.PeerVerifyMode.VerifyPeer:
            authorities = configuration.caCertificates()
            if not authorities:
                raise ValueError("a server with VerifyPeer needs setCaCertificates(): those of its clients")
            client_ca = Path(folder, _FILES[2])
            client_ca.write_bytes(b"".join(bytes(one.toPem().data()) for one in authorities))
        yield TLS(os.fspath(certificate_file), os.fspath(key_file), client_ca=client_ca)


@contextmanager
def _folder() -> Iterator[str]:
    """A folder for files while the block runs. It goes also where no descriptor is left: no key stays."""
    folder = tempfile.mkdtemp(prefix="echoserver-")
    try:
        yield folder
    finally:
        for name in _FILES:
            Path(folder, name).unlink(missing_ok=True)
        Path(folder).rmdir()


def by_setters(reason: str) -> str:
    """What is wrong with a file, said of what has set it: the file is gone when that is read."""
    return re.sub("(" + "|".join(_SETTERS) + ")='[^']*'", lambda match: _SETTERS[match[1]], reason)
