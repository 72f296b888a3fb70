"""The native half of `echoserver`; import the names from there."""

from asyncio import AbstractEventLoop, Future
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextvars import Context
from typing import Any, Final, SupportsIndex, final

from typing_extensions import Buffer

from echoserver.aio import Door
from echoserver.headers import Headers

__all__ = ["DEFAULTS", "NO_REPLY", "Callbacks", "Client", "Mail", "NoReply", "Reader", "Server", "__version__"]

__version__: Final[str]
DEFAULTS: Final[dict[str, object]]
"""The defaults of all options, as the core has them."""

@final
class NoReply:
    """The type of `NO_REPLY`."""

    def __new__(cls) -> NoReply: ...

NO_REPLY: Final[NoReply]
"""Returned by `on_text` or `on_binary`, it sends nothing for that message."""

@final
class Client:
    """One client of a server. Thread-safe; stays readable after its end.

    The server makes them: a callback gets the same object each time, until `on_disconnect` has returned. Any other
    attribute that is set is kept for the application: `client.name = "Ann"`.
    """

    @property
    def id(self) -> int:
        """Number of this client, from 1 in the order of their coming, unique in its server."""

    @property
    def peer(self) -> tuple[str, int]:
        """IP address and port of the client; IPv4 is shown as such also on a dual-stack socket."""

    @property
    def path(self) -> str:
        """Path of the requested URL, without the query, as the client wrote it (not percent-decoded)."""

    @property
    def query(self) -> str:
        """Query of the requested URL, without the question mark; "" if there is none."""

    @property
    def headers(self) -> Headers:
        """The request's headers: a mapping with case-insensitive names, repeated fields joined by a comma."""

    @property
    def raw_headers(self) -> list[tuple[str, str]]:
        """The request's header lines, as they came; bytes beyond ASCII as Latin-1."""

    @property
    def origin(self) -> str | None:
        """The `Origin` header (RFC 6455 section 10.2): which page a browser connected for."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed (RFC 6455 section 1.9)."""

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: until a close frame was sent or the connection has ended."""

    @property
    def close_code(self) -> int | None:
        """Close code (RFC 6455 section 7.4), once the connection has ended, so in `on_disconnect`.

        1005 is a close frame without a code, 1006 an end without a close frame.
        """

    @property
    def close_reason(self) -> str | None:
        """Close reason, once the connection has ended; "" if there was none."""

    @property
    def rtt(self) -> float | None:
        """Seconds between the last ping that was answered and its pong."""

    def send(self, data: str | Buffer) -> int:
        """Queues a message, text for a `str` and else binary, and returns its payload bytes. Never blocks.

        What a callback sends to its own client goes out after the replies before it and before its own reply; from
        elsewhere it goes out at once, between messages. SendQueueFull if more than `max_send_queue` bytes would wait,
        ClientClosed if the client is closed, UnicodeEncodeError for a lone surrogate.
        """

    def flush(self, timeout: float | None = None) -> None:
        """Waits until everything that `send` has queued is on the wire, or the client is gone.

        TimeoutError after `timeout` seconds; None waits for ever.
        """

    def drain(self) -> Future[None]:
        """As `flush`, to be awaited, on any event loop; for a time limit use `asyncio.timeout()`."""

    def send_async(self, data: str | Buffer) -> Coroutine[Any, Any, int]:
        """As `send`, to be awaited: waits while more than `max_send_queue` bytes would wait.

        ClientClosed and UnicodeEncodeError as `send`.
        """

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The messages of this client, until it is gone, on the event loop that serves it; iterators share them.

        None of this server's messages is echoed from then on. A message counts as answered, and makes room for another
        in the bounded queue, when the next one is asked for or the iterator is dropped; a client whose messages nobody
        asks for is not read from. RuntimeError with on_text or on_binary, which have the messages, and elsewhere than
        on that event loop.
        """

    def ping(self, payload: str | Buffer | None = None) -> None:
        """Sends a ping of at most 125 bytes (RFC 6455 section 5.5.2); its pong sets `rtt`.

        ValueError for a longer payload, ClientClosed if the client is closed.
        """

    def close(self, code: SupportsIndex = 1000, reason: str = "") -> None:
        """Begins the closing handshake (RFC 6455 section 7.1.2) and returns at once; replies before it are sent.

        ValueError for a code that may not be sent, such as 1005, and for a reason beyond 123 bytes of UTF-8. On a
        closed client it does nothing.
        """

    def abort(self) -> None:
        """Drops the connection without a close frame and returns at once. On a closed client it does nothing."""

    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: object, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...

@final
class Reader:
    """What an event loop calls when something is queued for the callbacks."""

    def __call__(self) -> None:
        """Does what is queued, for at most about a millisecond."""

    def fileno(self) -> int | None:
        """The descriptor that is readable then; None where a thread has to `wait`."""

    def wait(self) -> bool:
        """Waits until something is queued; False if nothing will be any more."""

@final
class Mail:
    """Messages of one client that came together, for those who iterate over them."""

    def next(self) -> str | bytes | None:
        """The next message, None after the last one; the one before it counts as answered."""

    def settle(self) -> None:
        """The last message that was handed out counts as answered."""

@final
class Callbacks:
    """The coroutine of a task in which the callbacks of one client run."""

    def send(self, value: None) -> object:
        """A step of it."""

    def throw(self, kind: object, value: object = None, traceback: object = None) -> object:
        """A step of it that begins with an exception."""

    def close(self) -> None:
        """Ends it where it waits."""

    def __await__(self) -> Callbacks: ...
    def __iter__(self) -> Callbacks: ...
    def __next__(self) -> object: ...

@final
class Server:
    """What `EchoServer` stands on; its methods say what these do.

    In a process that was forked after it was made, every call raises RuntimeError.
    """

    def __new__(
        cls, options: dict[str, Any], callbacks: Mapping[str, Callable[..., object] | None], debug: bool
    ) -> Server:
        """Checks all options, which are EchoServer's by name, and listens."""

    @property
    def port(self) -> int:
        """The port that it listens on."""

    @property
    def host_address(self) -> tuple[str, int]:
        """Address and port as bound; of several the first."""

    @property
    def is_serving(self) -> bool:
        """From `start` to `stop`."""

    @property
    def debug(self) -> bool:
        """Whether the example's lines are printed."""

    @debug.setter
    def debug(self, value: bool) -> None: ...
    def start(self) -> None:
        """Starts the worker threads. RuntimeError if it was started or stopped before."""

    def serve(self) -> None:
        """`start` and `drain`, with nothing between the two that Ctrl-C could meet."""

    def drain(self) -> None:
        """Runs the callbacks until the server has closed: once, on the thread that is to call them.

        In the main thread it also runs signal handlers. Ctrl-C stops the server in order, then raises
        KeyboardInterrupt; SystemExit and KeyboardInterrupt of a callback come out likewise.
        """

    def attach(
        self, event_loop: AbstractEventLoop, context: Context, hooks: Door, *, is_watched: bool, is_owned: bool
    ) -> Reader:
        """Has the callbacks run on `event_loop`, which is this thread's, each in a copy of `context`.

        `hooks` is told what Python has to do. `is_watched`: the loop watches the reader's descriptor. `is_owned`: the
        thread calls `end_drain` after the loop's end.
        """

    def turn(self) -> None:
        """As the reader's call, for the timers of the loop."""

    def flush_door(self) -> None:
        """Hands over what tasks of the loop have answered."""

    def end_drain(self) -> None:
        """Says that nothing of this server runs any more."""

    def abandon(self, timeout: float) -> None:
        """Ends it within `timeout` seconds without its event loop, which is gone; callbacks under way are dropped."""

    def closed(self) -> Future[None]:
        """A future of the running loop, whichever that is, for the end of the server and its callbacks."""

    def iterate(self) -> None:
        """Has messages wait for iterators from now on. RuntimeError if callbacks have them."""

    def in_callback(self) -> bool:
        """Whether this is called by a callback."""

    def stop(self, timeout: float | None = None) -> None:
        """Asks it to stop within `timeout` seconds (None: `close_timeout`) and returns at once."""

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the workers have ended and `drain` has returned, if it was called: False after `timeout`."""

    def in_dispatcher(self) -> bool:
        """Whether this thread is in `drain`, or runs the event loop that the callbacks run on."""

    def running_callback(self) -> str | None:
        """The name of the callback that runs now, or of one that waits."""

    def clients(self) -> tuple[Client, ...]:
        """The clients at this moment, in the order of their coming."""

    def broadcast(self, data: str | Buffer, exclude: Iterable[Client] | None = None) -> int:
        """Queues a message to every client but those in `exclude`; returns how many have taken it."""

    def stats(self) -> dict[str, int]:
        """The counters by name."""
