"""echoserver: a WebSocket echo server to embed, to test against, and to run.

    from echoserver import EchoServer

    EchoServer(1234).serve()                                    # echoes until Ctrl-C

    with EchoServer(0, on_text=lambda client, text: text.upper()) as server:
        print(server.url)                                       # serves in the background

`help(EchoServer)` has the options; `echoserver --help` is the same as a program.
"""

from echoserver._core import NO_REPLY, TLS, Accept, Client, Request, Response, TLSInfo, __version__
from echoserver.exceptions import BindError, ClientClosed, EchoServerError, SendQueueFull
from echoserver.server import EchoServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from echoserver.compression import Deflate
    from echoserver.stats import Stats

__all__ = [
    "NO_REPLY",
    "TLS",
    "Accept",
    "BindError",
    "Client",
    "ClientClosed",
    "Deflate",
    "EchoServer",
    "EchoServerError",
    "Request",
    "Response",
    "SendQueueFull",
    "Stats",
    "TLSInfo",
    "__version__",
]


def __getattr__(name: str) -> object:
    # Imported at its first use: dataclasses take longer to import than all the rest.
    if name == "Deflate":
        from echoserver.compression import Deflate

        return Deflate
    if name == "Stats":
        from echoserver.stats import Stats

        return Stats
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "Deflate", "Stats"]
