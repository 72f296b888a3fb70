"""echoserver.qt: the API of Qt's WebSocket server, as PySide6 has it, on this package's core.

    from echoserver.qt.QtCore import QCoreApplication, QObject
    from echoserver.qt.QtNetwork import QHostAddress
    from echoserver.qt.QtWebSockets import QWebSocketServer

A program for PySide6 needs nothing but these imports; `EchoServer` is the class of Qt's example, and
`python -m echoserver.qt` its program. Where PySide6 is installed `QtCore` and `QtNetwork` are its own,
and the classes of `QtWebSockets` are QObjects of the application's event loop; elsewhere stand-ins let the program run
without Qt. The environment variable ECHOSERVER_QT, `pyside6` or `builtin`, decides otherwise.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from echoserver.qt.echo import EchoServer

__all__ = ["EchoServer"]

# For a type checker there is no such function, so that it sees a name that is misspelt.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        import importlib

        if name == "EchoServer":
            return importlib.import_module("echoserver.qt.echo").EchoServer
        if name in {"QtCore", "QtNetwork", "QtWebSockets"}:
            return importlib.import_module(f"echoserver.qt.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
