"""The server's end in the hands of a test: `EchoTestServer`, which records what clients do and ends at once.

    with EchoTestServer() as server:
        run(server.url)                     # the client under test
        client = server.accept()
        assert client.recv() == "hello"

Under pytest the fixture `echo_server` is one of them. Nothing here needs pytest.
"""

from echoserver._core import Accept, Fault, ManualClock, Response
from echoserver.testing.faults import (
    BadAccept,
    Bandwidth,
    Close,
    Drop,
    Duplicate,
    Fragment,
    Freeze,
    HalfClose,
    Hang,
    Latency,
    NoCloseReply,
    NoPong,
    Replace,
    Reset,
    Slice,
    Violate,
    WrongExtension,
    WrongSubprotocol,
)
from echoserver.testing.handshakes import Delay
from echoserver.testing.server import EchoTestServer
from echoserver.testing.violations import violations

__all__ = [
    "Accept",
    "BadAccept",
    "Bandwidth",
    "Close",
    "Delay",
    "Drop",
    "Duplicate",
    "EchoTestServer",
    "Fault",
    "Fragment",
    "Freeze",
    "HalfClose",
    "Hang",
    "Latency",
    "ManualClock",
    "NoCloseReply",
    "NoPong",
    "Replace",
    "Reset",
    "Response",
    "Slice",
    "Violate",
    "WrongExtension",
    "WrongSubprotocol",
    "violations",
]
