"""The native half of `echoserver`; import the names from there."""

from asyncio import Future
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextvars import Context
from os import PathLike
from typing import Any, Final, Literal, Self, SupportsIndex, final, type_check_only
from weakref import ReferenceType

from typing_extensions import Buffer

from echoserver.faults import FaultKind
from echoserver.headers import Headers
from echoserver.server import EchoServer

__all__ = [
    "CALLBACKS",
    "DEFAULTS",
    "DEFLATE_DEFAULTS",
    "FAULTS",
    "NO_REPLY",
    "TLS",
    "Accept",
    "Callbacks",
    "Client",
    "Down",
    "Fault",
    "Held",
    "Load",
    "Mail",
    "ManualClock",
    "NoReply",
    "Reader",
    "Record",
    "Request",
    "Response",
    "Server",
    "TLSInfo",
    "Thread",
    "__version__",
    "at_end",
    "ca_file",
    "check_fault",
    "checked_timeout",
    "finish",
    "keep_for_ever",
    "password_file",
    "shown",
    "violations",
]

__version__: Final[str]
CALLBACKS: Final[tuple[str, ...]]
"""The names of all callbacks."""
DEFAULTS: Final[dict[str, object]]
"""The defaults of all options, as the core has them."""
DEFLATE_DEFAULTS: Final[dict[str, object]]
"""Those of `Deflate`."""
FAULTS: Final[tuple[dict[str, Any], ...]]
"""The table of all faults."""

@final
class Load:
    """A load for a WebSocket server that echoes, made by threads of its own from now on.

    It connects to `url`, then keeps messages of `size` bytes in flight for `seconds`. `wss://` needs `ca_pem`, the
    certificates to trust. OSError if there are no threads or event queues, ValueError for a time or certificates that
    are none.
    """

    def __new__(
        cls,
        url: str,
        *,
        ca_pem: bytes | None,
        clients: int,
        in_flight: int,
        size: int,
        is_binary: bool,
        seconds: float,
        threads: int,
    ) -> Self: ...
    @property
    def connected(self) -> int:
        """Clients that have connected so far."""

    @property
    def answered(self) -> int:
        """Answers so far."""

    def wait(
        self, seconds: float, quantiles: list[float]
    ) -> tuple[int, int, str | None, int, float, float, list[float]] | None:
        """What has come of it, once it is over; None if that is not within `seconds`.

        Answers within the time, clients that failed, why the first of them did, answers that were not what was sent;
        and how long answers took, in seconds: the mean, the longest, and these quantiles.
        """

def shown(value: object) -> str:
    """What an error shows of a value: its `repr()`, shortened; something also if that raises."""

def password_file(path: str) -> bytes:
    """What a program finds in the file of a key's password."""

def ca_file(path: str) -> bytes:
    """What a client finds in the file of the authorities that it trusts."""

def keep_for_ever(object: object) -> None:
    """Keeps an object for ever."""

def checked_timeout(timeout: float | None) -> float | None:
    """A timeout of the package's own calls, checked."""

def violations() -> dict[str, tuple[bytes, str, int, bool]]:
    """What no server may send, by name: the bytes, the rule, the close code, and whether it needs compression."""

def check_fault(kind: FaultKind) -> None:
    """Checks what a fault was told.

    TypeError or ValueError that name fault, parameter, value and what there is.
    """

@final
class NoReply:
    """The type of `NO_REPLY`."""

    def __new__(cls) -> NoReply: ...

NO_REPLY: Final[NoReply]
"""Returned by `on_text` or `on_binary`, it sends nothing for that message."""

@type_check_only
class _Asked:
    """What a request and the client that it becomes have in common; there is no such class when it runs."""

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
        """The `Origin` header (RFC 6455 section 10.2): which page a browser connects for."""

    @property
    def peer(self) -> tuple[str, int]:
        """IP address and port of the client; IPv4 is shown as such also on a dual-stack socket.

        ("unix:", 0) on a Unix socket, whose clients have no address.
        """

    @property
    def proxied_by(self) -> tuple[str, int] | None:
        """IP address and port of the balancer that has connected for the client (`proxy_from`), or None.

        ("unix:", 0) for one that has connected to a Unix socket.
        """

    @property
    def tls(self) -> TLSInfo | None:
        """What the TLS handshake agreed on; None without TLS."""

@final
class Request(_Asked):
    """A client's upgrade request (RFC 6455 section 4.1), as `on_handshake` is asked about it.

    It has passed the server's own checks: method, version, key, `origins`. The server makes them. Thread-safe; stays
    readable.
    """

    @property
    def method(self) -> str:
        """Method of the request: GET, since no other can upgrade."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols that the client offers, the one that it likes best first (RFC 6455 section 4.1)."""

    @property
    def time(self) -> float:
        """When it had come, in seconds since the epoch, as `time.time()`."""

    @property
    def status(self) -> int | None:
        """Status of the response, 101 for a client; None before there is one, and if there never was."""

@final
class Response:
    """An HTTP response, returned by `on_handshake` to refuse a client. Immutable, and may be used again.

    - `status`: 300 to 599. 401 wants a WWW-Authenticate header, 3xx a Location.
    - `headers`: a mapping, or pairs of name and value, which may repeat a name; sent in their order, characters up to
      U+00FF as one byte each. Server and Date replace the server's. Upgrade, Connection, Content-Length,
      Transfer-Encoding and Sec-WebSocket-Accept, -Extensions and -Protocol are the server's own.
    - `body`: `str`, sent as UTF-8 with `Content-Type: text/plain; charset=utf-8` unless `headers` have another, or
      bytes-like, of which `headers` say what it is.

    The connection ends after it. ValueError for a status out of range, for a name that is no token (RFC 9110 section
    5.6.2) or the server's own, for a value with control characters or with space at its ends, and for a 304 with a
    body; TypeError for other types.
    """

    def __new__(
        cls,
        status: int,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: str | Buffer = b"",
    ) -> Response: ...
    @property
    def status(self) -> int:
        """The status."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names and values of the header lines."""

    @property
    def body(self) -> bytes:
        """The body."""

@final
class Accept:
    """Returned by `on_handshake` to let a client in with headers or a subprotocol. Immutable, and may be used again.

    - `headers`: header lines to add to the 101, such as Set-Cookie; as those of Response.
    - `subprotocol`: one that the client offers (RFC 6455 section 4.2.2), whether or not it is among the `subprotocols`
      of the server. None leaves the choice to those.

    ValueError for headers as those of Response, and for a subprotocol that is no token. One that the client does not
    offer is an error of the callback: 500.
    """

    def __new__(
        cls, headers: Mapping[str, str] | Iterable[tuple[str, str]] = (), subprotocol: str | None = None
    ) -> Accept: ...
    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names and values of the header lines."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol to choose."""

@final
class TLS:
    """Certificate and key of a server, in PEM files: `EchoServer(tls=TLS("cert.pem", "key.pem"))`.

    Immutable, and equal to another with the same arguments. The files are read when the server is made and at each
    `EchoServer.reload_tls()`; only then errors in them are found.

    - `certfile`: the server's certificate, then the intermediate ones (RFC 8446 section 4.4.2).
    - `keyfile`: its private key: PKCS#8, encrypted or not, PKCS#1 or SEC1; RSA of 2048 to 8192 bits, ECDSA on P-256 or
      P-384, Ed25519. It may be the same file.
    - `password`: of an encrypted key. The legacy encryption of PEM is not supported; the error has the command that
      converts such a key.
    - `client_ca`: certificates of authorities. If given, every client has to show a certificate that one of them has
      signed (mutual TLS), which `Client.tls` then tells.
    - `min_version`: the oldest version of TLS that is spoken.

    TypeError for what is no path or password, ValueError for a NUL in a path and for another version.
    """

    def __new__(
        cls,
        certfile: str | PathLike[str],
        keyfile: str | PathLike[str],
        password: str | bytes | None = None,
        client_ca: str | PathLike[str] | None = None,
        min_version: Literal["1.2", "1.3"] = "1.2",
    ) -> TLS: ...
    @property
    def certfile(self) -> str:
        """As given."""

    @property
    def keyfile(self) -> str:
        """As given."""

    @property
    def client_ca(self) -> str | None:
        """As given."""

    @property
    def min_version(self) -> str:
        """As given."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class TLSInfo:
    """What the TLS handshake with a client agreed on: `Client.tls`. Immutable."""

    @property
    def version(self) -> str:
        """`TLSv1.2` or `TLSv1.3`."""

    @property
    def cipher(self) -> str:
        """The cipher suite's name at IANA, such as `TLS_AES_128_GCM_SHA256`."""

    @property
    def server_name(self) -> str | None:
        """The host name that the client asked for (SNI, RFC 6066 section 3); None if it asked for an address."""

    @property
    def alpn(self) -> str | None:
        """`http/1.1` if the client offered application protocols (RFC 7301), else None."""

    @property
    def peer_subject(self) -> str | None:
        """The subject of the client's certificate (RFC 4514), such as `CN=probe 7,O=Example`; None without one.

        The certificate was verified with `client_ca`.
        """

    @property
    def peer_certificate(self) -> bytes | None:
        """The client's certificate in DER, as `ssl.SSLSocket.getpeercert(True)` has it."""

@final
class Client(_Asked):
    """One client of a server. Thread-safe; stays readable after its end.

    The server makes them: a callback gets the same object each time, until `on_disconnect` has returned. Any other
    attribute that is set is kept for the application: `client.name = "Ann"`.
    """

    @property
    def id(self) -> int:
        """Number of this client, from 1 in the order of their coming, unique in its server."""

    @property
    def local_address(self) -> tuple[str, int]:
        """IP address and port that the client has connected to, as this machine sees them; a Unix path, and 0."""

    @property
    def server(self) -> EchoServer:
        """The server. ReferenceError if it has ended and nobody refers to it any more: a client does not keep it."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed (RFC 6455 section 1.9)."""

    @property
    def extensions(self) -> str:
        """What was agreed of extensions, as the response said it; "" for none.

        Such as `permessage-deflate; server_max_window_bits=12` (RFC 7692 section 7.1).
        """

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: until a close frame was sent or the connection has ended."""

    @property
    def close_code(self) -> int | None:
        """Close code (RFC 6455 section 7.4), once the connection has ended, so in `on_disconnect`.

        That of the first close frame, the client's or ours, whether or not it was answered: so 1011 of a client that
        owes a pong. 1005 is a close frame without a code, 1006 an end without a close frame.
        """

    @property
    def close_reason(self) -> str | None:
        """Close reason, once the connection has ended; "" if there was none."""

    @property
    def rtt(self) -> float | None:
        """Seconds between the last ping that was answered and its pong."""

    def send(self, data: str | Buffer) -> int:
        """Queues a message, text for a `str` and else binary, and returns its payload bytes. Waits for no client.

        What a callback sends to its own client goes out after the replies before it and before its own reply; from
        elsewhere it goes out at once, between messages. SendQueueFull if more than `max_send_queue` bytes would wait,
        ClientClosed if the client is closed, UnicodeEncodeError for a lone surrogate.
        """

    def flush(self, timeout: float | None = None) -> None:
        """Waits until everything that was queued when it was called is on the wire, or the client is gone.

        What is sent meanwhile is not waited for. TimeoutError after `timeout` seconds; None waits for ever.
        """

    def flush_async(self) -> Future[None]:
        """As `flush`, to be awaited, on any event loop; for a time limit use `asyncio.timeout()`."""

    def wait_closed(self, timeout: float | None = 5.0) -> int:
        """Waits until the connection has ended, and returns its `close_code`.

        TimeoutError after `timeout` seconds; None waits for ever. Unless it has ended already, RuntimeError on the
        thread that runs the callbacks, and in the thread of a running event loop: there use `wait_closed_async()`.
        """

    def wait_closed_async(self, timeout: float | None = 5.0) -> Coroutine[Any, Any, int]:
        """As `wait_closed`, to be awaited, on any event loop.

        RuntimeError in a callback of this client, which would wait for itself.
        """

    def _not_ended(self, timeout: float | None) -> str: ...
    @property
    def _record(self) -> Record: ...
    def _take_message(self) -> tuple[str | bytes | None, bool]: ...
    def _take_pong(self) -> tuple[bytes | None, bool]: ...
    @property
    def _queued(self) -> int: ...
    def _frames(self) -> list[int]: ...
    def _set_limits(self, message: int, frame: int) -> None: ...
    def _tell_written(self) -> None: ...
    @property
    def received(self) -> list[str | bytes]:
        """The messages that it has sent since the beginning or `EchoServer.clear()`, taken or not; a new list.

        RuntimeError if its server does not `record`.
        """

    def recv(self, timeout: float | None = 5.0) -> str | bytes:
        """The next message that this client has sent, each once, also those from before and after its end.

        It is there as soon as the answer to it has its place: what is sent then goes out after that. ClientClosed, with
        `code` and `reason`, if there is none and the client is gone; TimeoutError, which says what did come, after
        `timeout` seconds, None waits for ever. RuntimeError if its server does not `record` or has no room for more,
        and in the thread of a running event loop, which waiting would stop: there use `recv_async()`.
        """

    def recv_async(self, timeout: float | None = 5.0) -> Coroutine[Any, Any, str | bytes]:
        """As `recv`, to be awaited, on any event loop."""

    def wait_pong(self, timeout: float | None = 5.0) -> bytes:
        """The payload of the next pong of this client, each once, asked for or not (RFC 6455 section 5.5.3).

        Errors as `recv`; on an event loop use `wait_pong_async()`.
        """

    def wait_pong_async(self, timeout: float | None = 5.0) -> Coroutine[Any, Any, bytes]:
        """As `wait_pong`, to be awaited, on any event loop."""

    def send_raw(self, data: Buffer) -> int:
        """Sends bytes as they are, between two frames, and returns how many. Waits for no client.

        They need not be frames, or may be what no server sends (`echoserver.testing.violations`): what they do to the
        conversation is the caller's business. Their order among others, and errors, are those of `send`.
        """

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

    def pause(self) -> None:
        """Reads no more of this client until `resume()`, and returns at once.

        What was read already is still delivered and echoed, but for compressed messages that are not inflated yet;
        then TCP holds the client up. Timers for its silence stand still, and its end is not seen. In a closing
        handshake all is read. On a closed client it does nothing.
        """

    def resume(self) -> None:
        """Reads this client again after `pause()`. Timers for its silence begin anew."""

    def close(self, code: SupportsIndex = 1000, reason: str = "") -> None:
        """Begins the closing handshake (RFC 6455 section 7.1.2) and returns at once; replies before it are sent.

        ValueError for a code that may not be sent, such as 1005, and for a reason beyond 123 bytes of UTF-8. On a
        closed client it does nothing.
        """

    def fault(
        self,
        fault: FaultKind,
        /,
        *,
        after: int | str = 0,
        every: int = 1,
        probability: float = 1.0,
        times: int | None = None,
    ) -> Fault:
        """Sets a fault on this client, as `EchoServer.fault()`."""

    @property
    def _is_held(self) -> bool: ...
    def abort(self) -> None:
        """Drops the connection without a close frame and returns at once.

        What was sent before goes as far as the network takes it without a wait. On a closed client it does nothing.
        """

    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: object, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...

@final
class Down:
    """The time for which a server is down, as the block of a `with`."""

    def __enter__(self) -> None:
        """Goes down. The address stays the server's."""

    def __exit__(self, *error: object) -> None:
        """Listens again. RuntimeError if it was not entered, or was left.

        If it fails, or a signal's handler raises meanwhile, it may be left once more. In a forked child it does
        nothing: the server is its parent's.
        """

@final
class Fault:
    """A fault that is set, by `EchoServer.fault()`. It ends with `stop()`, with its `with`, or with the server."""

    @property
    def kind(self) -> FaultKind | Response | Accept:
        """What it is, as it was given."""

    @property
    def hits(self) -> int:
        """How often it has acted; of what acts on bytes, on how many connections."""

    @property
    def _is_sure(self) -> bool: ...
    def stop(self) -> None:
        """Ends it, and returns when every connection knows that; what it holds up goes on at once."""

    def __enter__(self) -> Fault: ...
    def __exit__(self, *_error: object) -> None:
        """Ends it. In a forked child it does nothing: the fault is its parent's."""

@final
class ManualClock:
    """A clock for the timers of servers that stands still until a test advances it: `EchoServer(clock=ManualClock())`.

    Several servers may share one, and it may outlive them. Any thread. In a process that was forked after it was made
    every call raises RuntimeError.
    """

    def __new__(cls) -> ManualClock: ...
    @property
    def time(self) -> float:
        """Seconds by which it was advanced in all."""

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass in one jump, and returns when the servers have done all that was due by then.

        What clients had sent before, as far as it has arrived, is seen at the old time. Then the clock shows the new
        one, and everything due by then happens once, in the order of its times on all connections of all servers; what
        that arms counts from the new time: `advance(100)` with a `ping_interval` of 20 brings one ping, and 20 s later
        the next is due. Each server waits for its clients again then; callbacks are queued, and not awaited.

        With no server that serves it only shows another time. Of several threads one advances after the other, each by
        its own seconds. Ctrl-C ends the wait, and not what was begun. TypeError or ValueError for what is no number
        from 0 to a year. RuntimeError in a callback of one of the servers, and in the thread of a running event loop,
        which waiting would stop: there use `advance_async()`.
        """

    def advance_async(self, seconds: float) -> Future[None]:
        """As `advance`, to be awaited, on any event loop. It begins with the call; cancelled, it goes on all the same.

        RuntimeError in a callback, and where no event loop runs.
        """

@final
class Reader:
    """What an event loop calls when something is queued for the callbacks."""

    def __call__(self, *args: object, **kwargs: object) -> None:
        """Takes no arguments. Does what is queued, for at most about a millisecond."""

    def fileno(self) -> int | None:
        """The descriptor that is readable then; None where a thread has to `wait`."""

    def wait(self) -> bool:
        """Waits until something is queued; False if nothing will be any more."""

@final
class Held:
    """Keeps the charge for a client that waits for somebody to iterate to it."""

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

    def is_of(self, client: Client) -> bool:
        """Whether it runs the callbacks of this client."""

    def __await__(self) -> Callbacks: ...
    def __iter__(self) -> Callbacks: ...
    def __next__(self) -> object: ...

@final
class Thread:
    """A daemon thread of the operating system's that `threading` does not know of."""

    def __new__(cls, target: Callable[[], object], name: str) -> Thread:
        """It will call `target`."""

    @property
    def name(self) -> str:
        """As the operating system shows it."""

    def start(self) -> None:
        """Starts it, once. RuntimeError if there is no thread to be had."""

    def join(self, timeout: float) -> None:
        """Waits until it has ended, at most `timeout` seconds; signal handlers run meanwhile."""

    def is_alive(self) -> bool:
        """Whether it has not ended."""

@final
class Record:
    """What the clients of a server did. Nothing in it waits but `wait`.

    What may be missing, because there was no room for it, is a RuntimeError.
    """

    @property
    def count(self) -> int:
        """Goes up with everything that happens."""

    @property
    def is_over(self) -> bool:
        """Whether the server has ended, so that nothing is recorded any more."""

    @property
    def has_ended(self) -> bool:
        """Whether its callbacks have ended as well, so that nothing happens any more."""

    def wait(self, since: int, timeout: float | None) -> None:
        """Waits until `count` is not `since` any more, at most `timeout` seconds."""

    def news(self, since: int) -> Future[None]:
        """A future of the running loop for that."""

    def messages(self, most: int | None = None) -> list[str | bytes]:
        """The first `most` messages of all clients since the beginning or `clear`, in the order in which they came."""

    def latest(self, most: int, client: int | None = None) -> tuple[int, list[str | bytes], bool]:
        """How many were recorded, of all clients or of one, the last `most` of them, and whether more came."""

    def message_count(self) -> int:
        """How many these are."""

    def requests(self) -> list[Request]:
        """The requests since the beginning or `clear`."""

    def story(
        self, most: int
    ) -> tuple[list[tuple[float, str, int | None, Any]], int, list[tuple[float, str, int | None, Any]], bool]:
        """What has happened since the beginning or `clear`, in `most` lines: time, what, whose, and what it had.

        The first of them, how many are left out, the last, and whether more came that was not recorded.
        """

@final
class Server:
    """What `EchoServer` stands on; its methods say what these do.

    In a process that was forked after it was made, every call raises RuntimeError.
    """

    def __new__(
        cls,
        options: dict[str, Any],
        callbacks: Mapping[str, Callable[..., object] | None],
        echo: bool,
        debug: bool,
        owner: ReferenceType[EchoServer],
    ) -> Server:
        """Checks all options, which are EchoServer's by name, and listens. `owner` is what `Client.server` gives."""

    @property
    def port(self) -> int:
        """The port that it listens on; 0 on a Unix socket."""

    @property
    def host_address(self) -> tuple[str, int]:
        """Address and port as bound, or path and 0; of several the first."""

    @property
    def is_started(self) -> bool:
        """Whether it was started; stays true."""

    @property
    def is_used(self) -> bool:
        """Whether it was started or stopped; stays true."""

    @property
    def is_driven(self) -> bool:
        """Whether it has no workers: who runs the callbacks serves the clients, too."""

    @property
    def is_serving(self) -> bool:
        """From `start` to `stop`."""

    @property
    def lets_in(self) -> bool:
        """From `start` until nobody comes in any more at any worker, for a stop: new clients may come."""

    @property
    def debug(self) -> bool:
        """Whether the example's lines are printed."""

    @debug.setter
    def debug(self, value: bool) -> None: ...
    @property
    def echo(self) -> bool:
        """Whether what no callback answers is echoed."""

    @echo.setter
    def echo(self, value: bool) -> None: ...
    def set_callback(self, name: str, callback: Callable[..., object] | None) -> None:
        """Has another callback called from the next event on; None for none.

        RuntimeError for on_text and on_binary if iterators have the messages.
        """

    def start(self) -> None:
        """Starts the worker threads. RuntimeError if it was started or stopped before."""

    def serve(self, has_signals: bool) -> None:
        """`start` and `drain`, with nothing between the two that Ctrl-C could meet.

        `has_signals`: also runs signal handlers, which needs the main thread. Ctrl-C stops the server in order, then
        raises KeyboardInterrupt.
        """

    def drain(self) -> None:
        """Runs the callbacks until the server has closed: once, on the thread that is to call them.

        SystemExit and KeyboardInterrupt of a callback stop the server in order, and come out then.
        """

    def attach(
        self, event_loop: object, context: Context | None, hooks: object, *, is_watched: bool, is_owned: bool
    ) -> Reader:
        """Has the callbacks run on `event_loop`, which is this thread's, each in a copy of `context`.

        Without a context they are plain functions, and the loop has no tasks, as Qt's. `hooks`, a `Door`, is told what
        Python has to do. `is_watched`: the loop watches the reader's descriptor. `is_owned`: the thread calls
        `end_drain` after the loop's end.
        """

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
        """Asks it to stop within `timeout` seconds (None: `stop_timeout`) and returns at once."""

    @property
    def stop_timeout(self) -> float:
        """Seconds that a stop has if it is given none: those of the drain, and `close_timeout`."""

    @property
    def drain_time(self) -> float:
        """Seconds of a stop before `close_timeout` begins for the last client: those of the drain."""

    def time_left(self) -> float | None:
        """Seconds until the deadline of a stop, 0 beyond it; None before a stop."""

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the workers have ended and `drain` has returned, if it was called: False after `timeout`."""

    def descriptors(self) -> list[int]:
        """The sockets that it listens on, as long as it was not started; none where the system has no such numbers."""

    def pause(self) -> None:
        """Accepts nobody until `resume`. RuntimeError if it makes no sense now."""

    def resume(self) -> None:
        """Accepts clients again. Errors as `pause`."""

    def note_frames(self) -> None:
        """Has `Client._frames` tell of messages of clients that come from now on."""

    def close_listening(self) -> None:
        """Closes the sockets that it listens on, for good; clients are served as before. Errors as `pause`."""

    def down(self, clients: Literal["reset", "close", "keep"]) -> Down:
        """A time for which it is down; `clients` is "reset", "close" or "keep"."""

    def reload_tls(self) -> None:
        """Reads certificate and key again, for the connections from now on."""

    @property
    def ca_pem(self) -> str | None:
        """The certificate of the authority that was made for this server."""

    @property
    def tls_anchors(self) -> bytes | None:
        """The certificates that a client has to trust, in DER; None without TLS."""

    def in_dispatcher(self) -> bool:
        """Whether this thread is in `drain`, or runs the event loop that the callbacks run on."""

    def running_callback(self) -> str | None:
        """The name of the callback that runs now, or of one that waits."""

    @property
    def client_count(self) -> int:
        """How many clients there are at this moment."""

    def clients(self) -> tuple[Client, ...]:
        """The clients at this moment, in the order of their coming."""

    @property
    def record(self) -> Record:
        """What clients did. RuntimeError if that is not recorded."""

    def take_client(self, path: str | None = None) -> Client | None:
        """The next client that was not taken yet; with `path` the next of those that asked for it."""

    def take_handshakes(self, handshakes: object) -> None:
        """Has upgrade requests take what they get from `handshakes`, a `testing.handshakes.Handshakes`, from now on."""

    def clear(self) -> None:
        """Forgets messages, pongs, requests, clients that nobody has taken, and clients that are gone."""

    def set_fault(self, kind: FaultKind | Response | Accept, selectors: dict[str, Any]) -> Fault:
        """Sets a fault of that kind; returns when every connection knows it."""

    def given_faults(self) -> list[Fault]:
        """The faults that it was made with, in their order."""

    @property
    def seed(self) -> int:
        """What the chance of faults comes from."""

    def accepted(self) -> list[Client]:
        """The clients since the beginning or `clear`, and who was connected then, in the order of their coming."""

    def broadcast(self, data: str | Buffer, exclude: Iterable[Client] | None = None) -> int:
        """Queues a message to every client but those in `exclude`; returns how many have taken it."""

    def stats(self) -> dict[str, int]:
        """The counters by name."""

def at_end(client: Client) -> Future[None]:
    """A future of the running loop for the end of a client."""

def finish() -> None:
    """Ends, as the interpreter does, the thread that completes futures of event loops; from then on there is none."""
