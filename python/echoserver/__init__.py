"""echoserver: a WebSocket echo server to embed, to test against, and to run.

    from echoserver import EchoServer

    EchoServer(1234).serve()                                    # echoes until Ctrl-C

    with EchoServer(0, on_text=lambda client, text: text.upper()) as server:
        print(server.url)                                       # serves in the background

`help(EchoServer)` has the options; `echoserver --help` is the same as a program.
"""

from echoserver._core import NO_REPLY, TLS, Client, TLSInfo, __version__
from echoserver.exceptions import BindError, ClientClosed, EchoServerError, SendQueueFull
from echoserver.server import EchoServer
from echoserver.stats import Stats

__all__ = [
    "NO_REPLY",
    "TLS",
    "BindError",
    "Client",
    "ClientClosed",
    "EchoServer",
    "EchoServerError",
    "SendQueueFull",
    "Stats",
    "TLSInfo",
    "__version__",
]
