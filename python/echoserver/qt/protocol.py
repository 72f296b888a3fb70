"""QWebSocketProtocol: the close codes and versions."""

from __future__ import annotations

from enum import Enum
from typing import Self

__all__ = ["QWebSocketProtocol", "close_code"]


# The last code that there can be (section 7.4.2).
_LAST = 4999


class QWebSocketProtocol:
    """What the protocol numbers (RFC 6455)."""

    class Version(Enum):
        """Versions of the protocol; servers speak the last one."""

        VersionUnknown = -1
        Version0 = 0
        Version4 = 4
        Version5 = 5
        Version6 = 6
        Version7 = 7
        Version8 = 8
        Version13 = 13
        VersionLatest = Version13

    class CloseCode(Enum):
        """How a connection has ended (RFC 6455 section 7.4). A code without a name is a member all the same."""

        CloseCodeNormal = 1000
        CloseCodeGoingAway = 1001
        CloseCodeProtocolError = 1002
        CloseCodeDatatypeNotSupported = 1003
        CloseCodeReserved1004 = 1004
        CloseCodeMissingStatusCode = 1005
        CloseCodeAbnormalDisconnection = 1006
        CloseCodeWrongDatatype = 1007
        CloseCodePolicyViolated = 1008
        CloseCodeTooMuchData = 1009
        CloseCodeMissingExtension = 1010
        CloseCodeBadOperation = 1011
        CloseCodeTlsHandshakeFailed = 1015

        @classmethod
        def _missing_(cls, value: object) -> Self | None:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LAST:
                return None
            member = object.__new__(cls)
            member._name_ = str(value)
            member._value_ = value
            # The same object the next time.
            return cls._value2member_map_.setdefault(value, member)  # type: ignore[return-value]

    # PySide6 has them here, too.
    locals().update({**Version.__members__, **CloseCode.__members__})


def close_code(value: int) -> QWebSocketProtocol.CloseCode:
    """The member of that number."""
    return QWebSocketProtocol.CloseCode(value)
