"""Who did not get in, as a `QWebSocketServer` tells of it. What is told is what the main package logs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from echoserver.qt._choice import module
from echoserver.qt.protocol import QWebSocketProtocol
from echoserver.qt.QtNetwork import QAbstractSocket

if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "BY_CALLBACK",
    "CLOSED",
    "TOO_MANY",
    "accept_error",
    "as_error",
    "is_for_good",
    "is_of_certificate",
    "ssl_error",
]

_CloseCode = QWebSocketProtocol.CloseCode

# Why this package refuses a request, as `errorString()` says it.
TOO_MANY: Final = "Too many pending connections."
CLOSED: Final = "The server has closed."
# What the core says of it behind the status: this package refuses as a callback.
BY_CALLBACK: Final = "of on_handshake"

# Of a request, by its status, and what is said if this package has refused it.
_REFUSALS: Final = {
    "403": (_CloseCode.CloseCodePolicyViolated, "Access forbidden: the origin is not allowed."),
    "503": (_CloseCode.CloseCodeAbnormalDisconnection, TOO_MANY),
}
_NO_CERTIFICATE: Final = "the client has no certificate"
_BAD_CERTIFICATE: Final = "the client's certificate is refused: "
# What may be wrong with it, as the core says it, and members of `QSslError.SslError`.
_WRONG: Final = {
    "it has expired": "CertificateExpired",
    "it is not valid yet": "CertificateNotYetValid",
    "it comes from none of the authorities in client_ca": "UnableToGetLocalIssuerCertificate",
    "its signature is wrong": "CertificateSignatureFailed",
    "it is not made for clients": "InvalidPurpose",
}


def as_error(event: str, reason: str) -> tuple[QWebSocketProtocol.CloseCode, str]:
    """What `QWebSocketServer.error()` and `errorString()` say of it."""
    if event not in {"refused", "plain"}:
        is_tls = event == "tls_failed"
        return _CloseCode.CloseCodeTlsHandshakeFailed if is_tls else _CloseCode.CloseCodeProtocolError, reason
    status, _, text = reason.partition(" ")
    code, own = _REFUSALS.get(status, (_CloseCode.CloseCodeProtocolError, ""))
    return code, own if text == BY_CALLBACK else text


def is_for_good(reason: str) -> bool:
    """Whether no connection can be accepted any more: the socket does not listen now (EINVAL)."""
    return reason.endswith(f"(os error {errno.EINVAL})")


def accept_error(reason: str) -> QAbstractSocket.SocketError:
    """Of a connection that can't be accepted."""
    errors = QAbstractSocket.SocketError
    return errors.UnsupportedSocketOperationError if is_for_good(reason) else errors.SocketResourceError


def is_of_certificate(reason: str) -> bool:
    """Whether TLS has failed for the client's certificate."""
    return reason.startswith((_NO_CERTIFICATE, _BAD_CERTIFICATE))


def ssl_error(reason: str) -> Any:
    """The `QSslError` of a failure of TLS; PySide6 has that class, and only there is TLS."""
    network = module("QtNetwork")
    kinds = network.QSslError.SslError
    if reason.startswith(_NO_CERTIFICATE):
        return network.QSslError(kinds.NoPeerCertificate)
    if reason.startswith(_BAD_CERTIFICATE):
        return network.QSslError(kinds[_WRONG.get(reason.removeprefix(_BAD_CERTIFICATE), "CertificateRejected")])
    return network.QSslError(kinds.UnspecifiedError)
