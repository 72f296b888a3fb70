"""The names of QtNetwork that there are without PySide6. TLS is not among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echoserver.qt.builtin.addresses import QAbstractSocket, QHostAddress
from echoserver.qt.builtin.names import absent_from
from echoserver.qt.builtin.requests import QNetworkRequest

__all__ = ["QAbstractSocket", "QHostAddress", "QNetworkRequest"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        return absent_from("QtNetwork", name)
