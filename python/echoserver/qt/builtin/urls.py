"""QUrl: where a server listens, and what a client has asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from echoserver.qt.builtin.names import absent

__all__ = ["QUrl"]


class QUrl:
    """A URL, by its parts."""

    def __init__(self, url: QUrl | str = "") -> None:
        self._set(url.toString() if isinstance(url, QUrl) else url)

    def _set(self, text: str) -> None:
        try:
            parts = urlsplit(text)
            self._port = -1 if parts.port is None else parts.port
            self._host = parts.hostname or ""
        except ValueError:
            # As in Qt: an empty one, which says that it is not valid.
            parts, self._port, self._host, self._is_valid = SplitResult("", "", "", "", ""), -1, "", False
        else:
            self._is_valid = bool(text)
        user, at, _ = parts.netloc.rpartition("@")
        self._user = user + at
        self._scheme, self._path, self._query, self._fragment = parts.scheme, parts.path, parts.query, parts.fragment

    def isValid(self) -> bool:
        """Whether it is a URL."""
        return self._is_valid

    def isEmpty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.toString()

    def scheme(self) -> str:
        """Such as "ws"."""
        return self._scheme

    def host(self) -> str:
        """Without brackets and port."""
        return self._host

    def port(self, defaultPort: int = -1, /) -> int:
        """Its port, if it names one."""
        return defaultPort if self._port == -1 else self._port

    def path(self) -> str:
        """From the slash on."""
        return self._path

    def query(self) -> str:
        """What is behind the question mark."""
        return self._query

    def hasQuery(self) -> bool:
        """Whether there is something."""
        return bool(self._query)

    def fragment(self) -> str:
        """What is behind the number sign."""
        return self._fragment

    def authority(self) -> str:
        """User, host and port."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return self._user + host + ("" if self._port == -1 else f":{self._port}")

    def setScheme(self, scheme: str, /) -> None:
        """Sets it."""
        self._scheme = scheme
        self._is_valid = True

    def setHost(self, host: str, /) -> None:
        """Sets it."""
        self._host = host.strip("[]")
        self._is_valid = True

    def setPort(self, port: int, /) -> None:
        """Sets it; -1 for none."""
        self._port = port

    def setPath(self, path: str, /) -> None:
        """Sets it."""
        self._path = path
        self._is_valid = True

    def setQuery(self, query: str, /) -> None:
        """Sets it."""
        self._query = query

    def setUrl(self, url: str, /) -> None:
        """Makes it another."""
        self._set(url)

    def toString(self) -> str:
        """All of it."""
        authority = self.authority()
        return SplitResult(self._scheme, authority, self._path, self._query, self._fragment).geturl()

    url = toDisplayString = toString

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QUrl) and self.toString() == other.toString()

    def __hash__(self) -> int:
        return hash(self.toString())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.toString()!r})"

    # For a type checker there is no such method, so that it sees a name that is misspelt.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            return absent(type(self).__name__, name)
