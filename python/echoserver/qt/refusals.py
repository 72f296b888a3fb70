"""Who did not get in, as a `QWebSocketServer` tells of it. What is told is what the main package logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from echoserver.qt._choice import module
from echoserver.qt.listener import TOO_MANY
from echoserver.qt.protocol import QWebSocketProtocol

if TYPE_CHECKING:
    from typing import Final

__all__ = ["as_error", "is_of_certificate", "ssl_error"]

_CloseCode = QWebSocketProtocol.CloseCode

# Of a request, by its status, and what is said if this package has refused it.
_REFUSALS: Final = {
    "403": (_CloseCode.CloseCodePolicyViolated, "Access forbidden: the origin is not allowed."),
    "503": (_CloseCode.CloseCodeAbnormalDisconnection, TOO_MANY),
}
_NO_CERTIFICATE: Final = "the client has no certificate"
_BAD_CERTIFICATE: Final = "the client's certificate is refused"


def as_error(event: str, reason: str) -> tuple[QWebSocketProtocol.CloseCode, str]:
    """What `QWebSocketServer.error()` and `errorString()` say of it."""
    if event != "refused":
        is_tls = event == "tls_failed"
        return _CloseCode.CloseCodeTlsHandshakeFailed if is_tls else _CloseCode.CloseCodeProtocolError, reason
    status, _, text = reason.partition(" ")
    code, own = _REFUSALS.get(status, (_CloseCode.CloseCodeProtocolError, ""))
    # This package refuses as a callback of the core.
    return code, own if text == "of on_handshake" else text


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
        return network.QSslError(kinds.CertificateRejected)
    return network.QSslError(kinds.UnspecifiedError)
