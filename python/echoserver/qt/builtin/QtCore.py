"""The names of QtCore that there are without PySide6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echoserver.qt.builtin.application import QCoreApplication, QEventLoop
from echoserver.qt.builtin.byte_array import QByteArray
from echoserver.qt.builtin.command_line import QCommandLineOption, QCommandLineParser
from echoserver.qt.builtin.names import absent_from, with_members
from echoserver.qt.builtin.notifiers import QSocketNotifier
from echoserver.qt.builtin.objects import QObject, QThread
from echoserver.qt.builtin.objects import isValid as isValid
from echoserver.qt.builtin.signals import ConnectionType as _ConnectionType
from echoserver.qt.builtin.signals import QMetaMethod, QMetaObject, Signal, SignalInstance, Slot
from echoserver.qt.builtin.timers import QTimer
from echoserver.qt.builtin.urls import QUrl

__all__ = [
    "QByteArray",
    "QCommandLineOption",
    "QCommandLineParser",
    "QCoreApplication",
    "QEventLoop",
    "QMetaMethod",
    "QMetaObject",
    "QObject",
    "QSocketNotifier",
    "QThread",
    "QTimer",
    "QUrl",
    "Qt",
    "Signal",
    "SignalInstance",
    "Slot",
]


@with_members
class Qt:
    """The names of Qt that are in no class: the types of connections."""

    ConnectionType = _ConnectionType


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        return absent_from("QtCore", name)
