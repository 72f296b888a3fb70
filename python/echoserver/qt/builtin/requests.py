"""QNetworkRequest: the upgrade request of a client, as `QWebSocket.request()` gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echoserver.qt.builtin.byte_array import QByteArray
from echoserver.qt.builtin.names import absent
from echoserver.qt.builtin.urls import QUrl

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["QNetworkRequest"]


class QNetworkRequest:
    """A URL and headers, whose names mean the same in capital and small letters."""

    def __init__(self, url: QNetworkRequest | QUrl | str = "") -> None:
        self._headers: dict[bytes, tuple[bytes, bytes]] = {}
        if isinstance(url, QNetworkRequest):
            self._headers.update(url._headers)
            url = url.url()
        self._url = QUrl(url)

    def url(self) -> QUrl:
        """A copy of it."""
        return QUrl(self._url)

    def setUrl(self, url: QUrl | str, /) -> None:
        """Sets it."""
        self._url = QUrl(url)

    def rawHeader(self, name: Buffer | str, /) -> QByteArray:
        """What a header says; empty if there is none."""
        return QByteArray(self._headers.get(_key(name), (b"", b""))[1])

    def hasRawHeader(self, name: Buffer | str, /) -> bool:
        """Whether there is one."""
        return _key(name) in self._headers

    def rawHeaderList(self) -> list[QByteArray]:
        """The names, in the order in which they came."""
        return [QByteArray(name) for name, _ in self._headers.values()]

    def setRawHeader(self, name: Buffer, value: Buffer, /) -> None:
        """Sets one; an empty value takes it away."""
        if bytes(value):
            self._headers[_key(name)] = bytes(name), bytes(value)
        else:
            self._headers.pop(_key(name), None)

    # For a type checker there is no such method, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            return absent(type(self).__name__, name)


def _key(name: Buffer | str) -> bytes:
    return (name.encode() if isinstance(name, str) else bytes(name)).lower()
