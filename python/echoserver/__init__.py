"""echoserver: a WebSocket echo server to embed, to test against, and to run.

    from echoserver import EchoServer

    EchoServer(1234).serve()                                    # echoes until Ctrl-C

    with EchoServer(0, on_text=lambda client, text: text.upper()) as server:
        print(server.url)                                       # serves in the background

`help(EchoServer)` has the options; `echoserver --help` is the same as a program.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from echoserver._core import NO_REPLY, TLS, Accept, Client, NoReply, Request, Response, TLSInfo, __version__
    from echoserver.compression import Deflate
    from echoserver.exceptions import BindError, ClientClosed, EchoServerError, SendQueueFull
    from echoserver.server import EchoServer
    from echoserver.stats import Stats
    from echoserver.types import Decision, OnBinary, OnClient, OnClosed, OnError, OnHandshake, OnText, Reply

__all__ = [
    "NO_REPLY",
    "TLS",
    "Accept",
    "BindError",
    "Client",
    "ClientClosed",
    "Decision",
    "Deflate",
    "EchoServer",
    "EchoServerError",
    "NoReply",
    "OnBinary",
    "OnClient",
    "OnClosed",
    "OnError",
    "OnHandshake",
    "OnText",
    "Reply",
    "Request",
    "Response",
    "SendQueueFull",
    "Stats",
    "TLSInfo",
    "__version__",
]

# All are imported at their first use: every run of pytest imports the plugin, and with it this, mostly for nothing.
_LATER = {
    "EchoServer": "server",
    "Deflate": "compression",
    "Stats": "stats",
    **dict.fromkeys(
        ["NO_REPLY", "TLS", "Accept", "Client", "NoReply", "Request", "Response", "TLSInfo", "__version__"], "_core"
    ),
    **dict.fromkeys(["BindError", "ClientClosed", "EchoServerError", "SendQueueFull"], "exceptions"),
    **dict.fromkeys(
        ["Decision", "OnBinary", "OnClient", "OnClosed", "OnError", "OnHandshake", "OnText", "Reply"], "types"
    ),
}

# For a type checker there is no such function, so that it sees a name that is misspelt.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        found = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return [*globals(), *_LATER]
