"""QHostAddress, and the enumerations of QAbstractSocket: where clients are, and how they are doing."""

from __future__ import annotations

import enum
import ipaddress
from typing import TYPE_CHECKING

from echoserver.qt.builtin.names import absent, with_members

__all__ = ["QAbstractSocket", "QHostAddress"]


@with_members
class QAbstractSocket:
    """Only its enumerations: the sockets themselves are the core's."""

    class SocketState(enum.Enum):
        """Of a connection."""

        UnconnectedState = 0
        HostLookupState = 1
        ConnectingState = 2
        ConnectedState = 3
        BoundState = 4
        ListeningState = 5
        ClosingState = 6

    class SocketError(enum.Enum):
        """What has gone wrong."""

        ConnectionRefusedError = 0
        RemoteHostClosedError = 1
        HostNotFoundError = 2
        SocketAccessError = 3
        SocketResourceError = 4
        SocketTimeoutError = 5
        DatagramTooLargeError = 6
        NetworkError = 7
        AddressInUseError = 8
        SocketAddressNotAvailableError = 9
        UnsupportedSocketOperationError = 10
        ProxyAuthenticationRequiredError = 12
        SslHandshakeFailedError = 13
        UnfinishedSocketOperationError = 11
        ProxyConnectionRefusedError = 14
        ProxyConnectionClosedError = 15
        ProxyConnectionTimeoutError = 16
        ProxyNotFoundError = 17
        ProxyProtocolError = 18
        OperationError = 19
        SslInternalError = 20
        SslInvalidUserDataError = 21
        TemporaryError = 22
        UnknownSocketError = -1

    class NetworkLayerProtocol(enum.Enum):
        """Which kind of address."""

        IPv4Protocol = 0
        IPv6Protocol = 1
        AnyIPProtocol = 2
        UnknownNetworkLayerProtocol = -1

    class PauseMode(enum.Flag):
        """What a socket waits after."""

        PauseNever = 0
        PauseOnSslErrors = 1


@with_members
class QHostAddress:
    """An IPv4 or IPv6 address, or one of the special ones."""

    class SpecialAddress(enum.Enum):
        """Any is IPv4 and IPv6, and prints as 0.0.0.0."""

        Null = 0
        Broadcast = 1
        LocalHost = 2
        LocalHostIPv6 = 3
        Any = 4
        AnyIPv6 = 5
        AnyIPv4 = 6

    def __init__(self, address: QHostAddress | SpecialAddress | str | int = SpecialAddress.Null) -> None:
        self._is_any = False
        self._address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
        if isinstance(address, QHostAddress):
            self._is_any, self._address = address._is_any, address._address
        else:
            self.setAddress(address)

    def setAddress(self, address: SpecialAddress | str | int, /) -> bool:
        """Makes it another; False for text that is no address."""
        if isinstance(address, QHostAddress.SpecialAddress):
            self._is_any = address is QHostAddress.SpecialAddress.Any
            text = _SPECIAL[address.name]
            self._address = ipaddress.ip_address(text) if text else None
            return True
        self._is_any, self._address = False, None
        if not isinstance(address, (str, int)):
            raise TypeError(f"QHostAddress: an address is text, a number or a SpecialAddress, not {address!r}")
        try:
            self._address = ipaddress.ip_address(address)
        except ValueError:
            return False
        return True

    def toString(self) -> str:
        """As it is written; "" for none."""
        mapped = getattr(self._address, "ipv4_mapped", None)
        if mapped is not None:
            return f"::ffff:{mapped}"
        return "" if self._address is None else str(self._address)

    def isNull(self) -> bool:
        """Whether it is none."""
        return self._address is None

    def isLoopback(self) -> bool:
        """Whether it is this machine itself."""
        address = getattr(self._address, "ipv4_mapped", None) or self._address
        return address is not None and address.is_loopback

    def protocol(self) -> QAbstractSocket.NetworkLayerProtocol:
        """IPv4, IPv6, any, or unknown for none."""
        kinds = QAbstractSocket.NetworkLayerProtocol
        if self._is_any:
            return kinds.AnyIPProtocol
        if self._address is None:
            return kinds.UnknownNetworkLayerProtocol
        return kinds.IPv4Protocol if self._address.version == 4 else kinds.IPv6Protocol  # noqa: PLR2004

    def scopeId(self) -> str:
        """The interface of an IPv6 address."""
        return getattr(self._address, "scope_id", None) or ""

    def toIPv4Address(self) -> tuple[int, bool]:
        """As a number, and whether it can be one."""
        address = getattr(self._address, "ipv4_mapped", None) or self._address
        if self._is_any or not isinstance(address, ipaddress.IPv4Address):
            return 0, self._is_any
        return int(address), True

    def isEqual(self, other: QHostAddress | SpecialAddress, /) -> bool:
        """Whether it is the same, IPv4 in IPv6 taken for IPv4."""
        return self.toIPv4Address() == _of(other).toIPv4Address() if self.toIPv4Address()[1] else self == other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (QHostAddress, QHostAddress.SpecialAddress)):
            return NotImplemented
        made = _of(other)
        return (self._is_any, self._address) == (made._is_any, made._address)

    def __hash__(self) -> int:
        return hash((self._is_any, self._address))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.toString()!r})"

    # For a type checker there is no such method, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            return absent(type(self).__name__, name)


_SPECIAL = {
    "Null": "",
    "Broadcast": "255.255.255.255",
    "LocalHost": "127.0.0.1",
    "LocalHostIPv6": "::1",
    "Any": "0.0.0.0",
    "AnyIPv6": "::",
    "AnyIPv4": "0.0.0.0",
}


def _of(address: QHostAddress | QHostAddress.SpecialAddress) -> QHostAddress:
    return QHostAddress(address)
