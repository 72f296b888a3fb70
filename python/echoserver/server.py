"""EchoServer: the server as Python programs use it. A thin class: `_core.Server` serves, `run` runs the callbacks.

No code here runs per message.
"""

from __future__ import annotations

import sys
import warnings
from weakref import ref

from echoserver._core import CALLBACKS, DEFAULTS, Server, shown
from echoserver.attributes import CallbackAttributes
from echoserver.faults import Faulting
from echoserver.reading import Reading

# Not from typing, which takes longer to import than all that is here. The same is why some imports are in functions.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable
    from os import PathLike
    from socket import socket
    from types import TracebackType
    from typing import Literal, NoReturn, Self, SupportsIndex, TypeVar

    from typing_extensions import Buffer

    from echoserver._core import TLS, Client, Down, ManualClock
    from echoserver.compression import Deflate
    from echoserver.qt.QtCore import QObject
    from echoserver.run import Run
    from echoserver.stats import Stats
    from echoserver.types import OnBinary, OnClient, OnClosed, OnError, OnHandshake, OnText

    _Init = TypeVar("_Init", bound=Callable[..., None])

__all__ = ["EchoServer"]


def _names_the_nearest(init: _Init) -> _Init:
    """`init`, which for an argument that it does not have names the one that was probably meant."""
    code = init.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    def checked(self: object, *args: object, **options: object) -> None:
        for name in options:
            if name not in names:
                from echoserver.callbacks import nearest

                meant = nearest(name, [one for one in names if one.startswith("on_") is name.startswith("on_")])
                raise TypeError(f"EchoServer() has no argument {name!r}; did you mean {meant!r}?")
        init(self, *args, **options)

    # As functools.wraps does, which takes longer to import.
    checked.__wrapped__ = init  # type: ignore[attr-defined]
    checked.__doc__, checked.__name__, checked.__qualname__ = init.__doc__, init.__name__, init.__qualname__
    return checked  # type: ignore[return-value]


class EchoServer(CallbackAttributes, Reading, Faulting):
    """A WebSocket server (RFC 6455) that sends back what it gets, unless a callback decides otherwise.

    The constructor listens: from then on clients can connect, and port 0 is known as `port`. They are served by one
    of `serve()` (blocks; callbacks run in the calling thread), `start()` or `with` (callbacks run in a thread of the
    server's own), `await serve_async()` or `async with` (callbacks run on the running event loop). A server runs once.
    Everything but the constructor may be called from any thread.

    Arguments, with their defaults in the signature:

    - `port`: 0 to 65535; 0 takes a free one.
    - `debug`: whether to print the lines of Qt's example to `sys.stdout`: the port, each message, each disconnect.
    - `parent`: kept as `.parent`, otherwise unused.
    - `host`: name or address to listen on, or several of them; a name with several addresses takes them all. All are
      listened on at the same port. None is all interfaces, IPv4 and IPv6.
    - `uds`: path of a Unix socket to listen on, instead of host and port. `port` is 0 then, `address` the path and 0.
      A socket that is left there from before is replaced if nobody answers at it, and the file is removed at the end,
      unless it is another's by then. ValueError where the system has no Unix sockets.
    - `uds_mode`: permissions of its file, such as 0o660: who may write to it may connect. None is as the umask of the
      process has it, mostly for its own user alone.
    - `sock`: a socket that listens already, or several, instead of host and port: IPv4, IPv6 or Unix. The server has a
      copy of it, and makes it non-blocking; who else has it may go on with it after the server's end, and `down()` is a
      RuntimeError.
    - `backlog`: connects that may wait to be accepted; the system cuts it to its own maximum. With `sock` it is set
      anew, for all who have that socket; None leaves what its maker has chosen.
    - `reuse_port`: whether other sockets of the same user may listen on the same port, if they ask for it as well: the
      system spreads connects over all of them (SO_REUSEPORT). ValueError where the system has no such thing.
    - `proxy_from`: addresses and networks of balancers, such as "192.0.2.1" or "10.0.0.0/8", that say for whom they
      have connected: each of their connections begins with a header of the PROXY protocol, version 1 or 2, before TLS.
      `client.peer` is then whom it names, `client.proxied_by` the balancer. Without a good one it ends. From
      others such a header is refused, being neither HTTP nor TLS. "unix:" is whoever connects to a Unix socket, which
      tells no address.

    Callbacks, one at a time; each may instead be a method of that name on a subclass, or be set, by any thread, also
    while the server runs: `server.on_text = f` holds from the next message on, and None ends it.

    - `on_handshake(request)`: may this client come in? Asked about each good upgrade request, before the 101 and so
      before `on_connect`. None returned lets it in, Accept too, with headers of its own or a subprotocol; Response
      refuses it. 500 for one that raises or returns something else, 503 when it takes until `open_timeout`.
    - `on_connect(client)`: a client has come; its messages wait until this has returned.
    - `on_text(client, message: str)`, `on_binary(client, message: bytes)`: a message. None returned echoes it, `str`
      or bytes-like is sent instead, NO_REPLY sends nothing. Without a callback it is echoed.
    - `on_disconnect(client)`: a client is gone, with `client.close_code`; its last callback.
    - `on_closed()`: the server has stopped; the last callback.
    - `on_error(client, error)`: another callback has raised, or returned what is no answer. `client` is None for
      `on_handshake` and `on_closed`, which have none. What it raises itself is logged.

    Each may be an `async def`: it is awaited, for each client in order, for different clients at the same time, in a
    copy of the context (contextvars) in which the server was started. `serve()` and `start()` run an event loop for
    them in the thread that calls them.

    One that raises, or returns what is no answer, is counted in `stats().callback_errors` and, without `on_error`,
    logged with its traceback at ERROR to the logger "echoserver"; on an event loop of yours its
    `call_exception_handler` is told instead. That message gets no reply and the connection lives on. SystemExit and
    KeyboardInterrupt stop the server and come out of `serve()`, or else of `wait_closed()`, `stop()` or leaving `with`.

    Who is refused is logged to "echoserver" at INFO; who comes at DEBUG; who goes, with all that there was of it, to
    "echoserver.connections" at DEBUG. These two only if DEBUG is on when the server starts.

    What is not answered:

    - `echo`: False swallows what no callback answers, instead of echoing it. May be set while the server runs.

    Who may connect:

    - `subprotocols`: names that are supported; the first one that the client offers is chosen (RFC 6455 section 4.2.2).
      A client that offers none of them comes in without one; `on_handshake` can refuse it.
    - `origins`: exact values of Origin that are admitted (403 for others, section 10.2); None among them admits
      requests without one. None admits all.
    - `max_connections`: clients at a time; further ones get 503. None: no limit.

    Compression:

    - `compression`: "deflate", or a `Deflate` with its parameters, agrees to permessage-deflate (RFC 7692) with clients
      that offer it. A message that came compressed goes back compressed, one that did not does not; what callbacks
      reply and `Client.send` sends is compressed. None declines every offer.

    Limits, in bytes:

    - `max_message_size`: of one message, inflated; a longer one is refused with 1009, from its header or, compressed,
      as soon as it has inflated to more.
    - `memory_limit`: of what all connections together keep, their requests included; one that needs more gets 1013, or
      503 before the upgrade.
    - `max_send_queue`: of what may wait for one client in `Client.send`; beyond it SendQueueFull.

    Timeouts, in seconds:

    - `open_timeout`: for the whole upgrade request, 408 after it; `on_handshake` included, 503 after it.
    - `close_timeout`: for the closing handshake (section 7), and for all of `stop()` but the next two.
    - `drain_delay`: at a stop, for which clients still come in, while `health` says 503: until a balancer has seen it.
    - `drain_spread`: after that, over which clients are told 1001, so that they don't come back all at once; then the
      last of them has `close_timeout`.
    - `idle_timeout`: without a byte from the client; 1001 after it. None: none.
    - `ping_interval`: between keepalive pings. None: no pings.
    - `ping_timeout`: for the answer to one; 1011 after it.

    - `clock`: a `ManualClock` of echoserver.testing. These times go by it then, and so does what faults and handshakes
      delay: it stands still until a test advances it. The drain, and what calls wait for, such as `stop()`, stay real.
      None: the system's clock.

    TLS:

    - `tls`: a `TLS` with the files of certificate and key; or "self-signed": an authority and a certificate of the
      server's own, made now, valid for a year and for localhost, 127.0.0.1, ::1, `host` and this machine's name, which
      clients trust through `ca_pem` or `ssl_context()`. "expired" and "wrong-host", for tests of clients and not
      on the command line, are the same with a certificate that was valid until yesterday, or is for
      wrong-host.invalid. None: no TLS. `open_timeout` is for the TLS handshake and the upgrade request together. What
      fails is logged, once per connection, at INFO to the logger "echoserver".

    And:

    - `record`: bytes that are kept of what clients do, for `accept()`, `received`, `Client.recv()` and so on: requests,
      clients, messages, also those that are only echoed. Beyond it recording stops until `clear()`, and what reads what
      is missing raises RuntimeError. It counts for `memory_limit`, of which it takes half at most. None: nothing is
      recorded.
    - `faults`: what it does to clients that it should not, from the beginning, see `fault()`; as text such as
      "latency=200ms&close=1011,after:5", or several. ValueError names fault, parameter, value and what it can be.
    - `fault_urls`: whether clients may ask for faults of their own connection by URL, such as
      `/faults?latency=200ms&close=1011,after:5`, which a GET of `/faults` explains. 400 for what can't be right, or is
      more than anybody may ask for. The program has it on.
    - `page`: whether a GET of `/` gets a page for browsers, a WebSocket client for this server. Its WebSockets have the
      page's own Origin, which `origins` has to admit. The program has it on.
    - `health`: whether a GET of `/healthz` gets 200 while clients are accepted, else 503.
    - `metrics`: whether a GET of `/metrics` gets the counters in OpenMetrics. How long callbacks run is measured then.
      The program has both on. Such a request counts for `max_connections` no more than it is
      logged; an upgrade request for these paths is answered as for any other.
    - `seed`: what the chance of faults comes from, see `fault()`. None: any.
    - `workers`: threads that serve connections. None: one per core, at most 4. 0: there are none, and the thread that
      runs the callbacks serves the clients between them, which is fastest for short callbacks that answer one message
      at a time; one that blocks holds up everybody. Not for event loops: there it is a ValueError.
    - `server_header`: the `Server` header; "" leaves it out.

    Raises BindError, an OSError with `errno`, if the address can't be listened on, and TypeError, ValueError or
    OverflowError, naming argument and value, for what can't be right; for a file of `tls` an OSError if it can't be
    read, or a ValueError that says what is wrong with it.
    """

    parent: object

    @_names_the_nearest
    def __init__(  # noqa: PLR0913  # One option, one keyword: nothing to look up elsewhere.
        self,
        port: int = 1234,
        debug: bool = False,
        parent: object = None,
        *,
        host: str | Iterable[str] | None = None,
        uds: str | PathLike[str] | None = None,
        uds_mode: int | None = None,
        sock: socket | Iterable[socket] | None = None,
        backlog: int | None = None,
        reuse_port: bool = False,
        proxy_from: Iterable[str] = (),
        on_handshake: OnHandshake | None = None,
        on_connect: OnClient | None = None,
        on_text: OnText | None = None,
        on_binary: OnBinary | None = None,
        on_disconnect: OnClient | None = None,
        on_closed: OnClosed | None = None,
        on_error: OnError | None = None,
        echo: bool = True,
        subprotocols: Iterable[str] = (),
        origins: Iterable[str | None] | None = None,
        compression: Literal["deflate"] | Deflate | None = None,
        max_message_size: int = 64 * 2**20,
        max_connections: int | None = None,
        memory_limit: int = 2**30,
        max_send_queue: int = 16 * 2**20,
        open_timeout: float = 10.0,
        close_timeout: float = 5.0,
        drain_delay: float = 0.0,
        drain_spread: float = 0.0,
        idle_timeout: float | None = None,
        ping_interval: float | None = None,
        ping_timeout: float = 20.0,
        clock: ManualClock | None = None,
        record: int | None = None,
        faults: str | Iterable[str] = (),
        fault_urls: bool = False,
        page: bool = False,
        health: bool = False,
        metrics: bool = False,
        seed: int | None = None,
        workers: int | None = None,
        server_header: str = "echoserver",
        tls: TLS | Literal["self-signed", "expired", "wrong-host"] | None = None,
    ) -> None:
        """Checks the arguments and listens."""
        # By name: the core has the names of its options and of the callbacks.
        given = dict(locals())
        # Needed with the first server, and not for the import: see there.
        from echoserver import threads
        from echoserver.callbacks import is_async, resolve
        from echoserver.run import Run
        from echoserver.stats import Stats

        callbacks = resolve(self, {name: given[name] for name in CALLBACKS})
        options = {name: given[name] for name in DEFAULTS}
        for name in (name for name, callback in callbacks.items() if is_async(callback)):
            threads.check_workers(isinstance(workers, int) and workers == 0, f"{name}, an `async def`,")
        core = Server(options, callbacks, echo, debug, ref(self))
        self.parent = parent
        self._is_everywhere = host is None and sock is None
        self._clock = clock
        self._scheme = "ws" if tls is None else "wss"
        self._stats_class = Stats
        self._own_run = Run(self, core)
        for name, callback in callbacks.items():
            if is_async(callback):
                self._own_run.allow_async(name)
            if given[name] is not None:
                self.__dict__[name] = callback
        if threads.loop_runs() or not sys.modules.keys().isdisjoint(threads.QT):
            from echoserver import unserved

            unserved.watch(self)
        if debug:
            from echoserver import printing

            printing.listening(self.port)

    @property
    def _run(self) -> Run:
        try:
            return self._own_run
        except AttributeError:
            message = f"{type(self).__name__}: EchoServer.__init__ was not called; call super().__init__(...) first"
            raise RuntimeError(message) from None

    @property
    def _core(self) -> Server:
        return self._run.core

    # Running and ending

    def serve(self) -> None:
        """Serves in this thread, which also runs the callbacks, until `stop()` or Ctrl-C.

        Ctrl-C (in the main thread) stops the server in order and then raises KeyboardInterrupt; handlers that the
        application has set for signals are called while it serves. RuntimeError if the server ran or was stopped
        before, or if an event loop runs in this thread.
        """
        self._run.serve()

    def start(self) -> Self:
        """Serves in the background and returns the server, ready.

        Callbacks run in a daemon thread named `echoserver-<port>`, in a copy of the context (contextvars). It is one
        of the operating system's also where gevent or eventlet have made those of `threading` green. The server keeps
        itself alive until it is stopped, at the latest when the interpreter exits. RuntimeError if it ran or was
        stopped before.
        """
        self._run.start()
        return self

    def start_qt(self, parent: QObject | None = None) -> Self:
        """Serves in the background and returns the server, ready; callbacks run in Qt's event loop of this thread.

        So they may use what belongs to that thread, such as the widgets of an application, whose `exec()` has to run
        for them; echoes need no callback and no loop. Callbacks are plain functions, for which others are served also
        while one of them runs a loop, as dialogs do. With a `parent`, a QObject, the server goes with it to another
        thread (`moveToThread`), and is stopped when that is deleted. RuntimeError if it ran or was stopped before, or
        without a QCoreApplication; TypeError for callbacks that are an `async def`, which need `serve_async()` on a
        loop such as that of PySide6.QtAsyncio. Qt is what `echoserver.qt` has: PySide6, or its stand-ins.
        """
        self._run.start_qt(parent)
        return self

    def stop(self, timeout: float | None = None, wait: bool = True) -> None:
        """Stops: accepts no more clients, tells all of them 1001 (RFC 6455 section 7.4.1), waits until they are gone.

        With `drain_delay` clients still come in before that, with `drain_spread` they are told one after the other.
        `timeout` in seconds is for all of it, None means these two and `close_timeout`; then what is left is dropped.
        A shorter one is taken from the two first: they have what it leaves beyond `close_timeout`. Without `wait`,
        and on the thread that runs the callbacks (in a callback, or in a signal handler during `serve()`), it only asks
        and returns at once. A second call does no harm, and can only bring the end forward. TimeoutError, which names
        it, if a callback still runs at the end; sockets and threads of the server are closed all the same.

        In a thread whose event loop runs, clients that live on that loop can't answer while it waits: without a
        `timeout` those that have not answered within 50 ms are dropped there, with a RuntimeWarning. Use `async with`
        or `stop_async()`.
        """
        self._run.stop(timeout, wait=wait)

    def pause(self) -> None:
        """Accepts nobody until `resume()`: who connects waits in the system's backlog. Clients are served as before.

        From any thread, also an event loop's, and in callbacks. RuntimeError if it does not serve, or is down.
        """
        self._core.pause()

    def resume(self) -> None:
        """Accepts clients again after `pause()`, those first that have waited. Errors as `pause()`."""
        self._core.resume()

    def down(self, clients: Literal["reset", "close", "keep"] = "reset") -> Down:
        """A context manager: while its block runs connects are refused, then the same port is listened on again.

        Those who are connected when it begins, also in the system's backlog, get a TCP reset, clients or not yet (on a
        Unix socket their connection just ends);
        with "close" clients get 1012 (Service Restart, section 11.7 of RFC 6455), and with "keep" nothing happens to
        them. The reset is there when the block begins, the answers to a close may not be. Nobody else can take the
        port meanwhile, except another socket of the same user with `SO_REUSEPORT`, and on Windows somebody as the block
        begins: BindError. Another server can take a Unix socket's path, at which nobody answers: BindError as the block
        ends.

        It waits for no client and no callback, so it may be used in any thread, also an event loop's (without `async`)
        or a callback. RuntimeError, where the block begins, if the server does not serve, is paused or down already, or
        if its sockets are others' as well (`sock`).
        If it is stopped meanwhile, it stays so.
        """
        return self._core.down(clients)

    def wait_closed(self, timeout: float | None = None) -> None:
        """Waits until the server has stopped and its callbacks have ended; any number of threads may.

        TimeoutError after `timeout` seconds, as `stop()` and futures do; None waits for ever. RuntimeError if it was
        never started, or on the thread that runs the callbacks, as `threading.Thread.join()`.
        """
        self._run.wait_closed(timeout)

    def __enter__(self) -> Self:
        """As `start()`."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `stop()`. In a forked child it does nothing: there the server is its parent's."""
        if self._run.ask():
            self.stop()

    # On an event loop

    async def serve_async(self) -> None:
        """Serves on the running event loop, which also runs the callbacks, until the server is stopped.

        Callbacks may be `async def`. Cancelled, it stops the server in order (clients get 1001, within
        `close_timeout`), and is cancelled then; cancelled once more, it drops what is left. A cancellation with the
        message of the first, as anyio delivers it again and again, is the same one. `stop()` in the loop's thread only
        asks. RuntimeError if the server ran or was stopped before, or if no asyncio loop runs.
        """
        await self._run.serve_async()

    async def stop_async(self, timeout: float | None = None) -> None:
        """As `stop()`, to be awaited, on any event loop, however it is served; in a callback it only asks.

        Cancelled, it no longer waits, and the server stops all the same. TimeoutError as `stop()`.
        """
        await self._run.stop_async(timeout)

    async def wait_closed_async(self, timeout: float | None = None) -> None:
        """As `wait_closed()`, to be awaited, on any event loop, however it is served.

        Cancelled, it leaves the server alone. RuntimeError if the server was never started, or in a callback, which
        would wait for itself.
        """
        await self._run.wait_closed_async(timeout)

    async def __aenter__(self) -> Self:
        """Serves on the running event loop while the block runs, as `serve_async()` does."""
        self._run.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops the server as `stop()` does, and waits for its end as `serve_async()` does."""
        await self._run.leave(is_thrown_away=kind is GeneratorExit)

    def __aiter__(self) -> AsyncIterator[Client]:
        """The clients that are there and those that come, until the server has ended.

        From now on messages are not echoed: they wait for `async for message in client`, and a client whose messages
        nobody asks for is not read from. Ask for the iterator before the server is started (`clients = aiter(server)`)
        if not a single message may be echoed. RuntimeError with on_text or on_binary, which have the messages then, and
        on a loop that does not serve.
        """
        return self._run.iterate()

    # What it is

    @property
    def port(self) -> int:
        """The port it listens on, also if 0 was asked for; 0 on a Unix socket, which has none."""
        return self._core.port

    @property
    def address(self) -> tuple[str, int]:
        """Host (an IP address; `::` for all interfaces) and port it listens on; of several the first.

        Of a Unix socket the absolute path, and 0: `unix_connect(server.address[0], "ws://localhost/")` of websockets.
        A link-local IPv6 address has its zone, such as `fe80::1%eth0`, here, in `url` and in `Client.peer`.
        """
        return self._core.host_address

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it, such as `ws://127.0.0.1:1234/`; with TLS `wss://`.

        Of a Unix socket `ws+unix:/run/echo.sock:/`, which few clients know: its path, then that of the request.
        """
        return self.url_for("/")

    def url_for(self, path: str) -> str:
        """The URL of a path, such as "/room?name=Ann", which is taken as it is; the first slash may be left out.

        TypeError for what is no `str`.
        """
        if not isinstance(path, str):
            raise TypeError(f"path={shown(path)}: must be a str, not {type(path).__name__}")
        host, port = self.address
        if not port:
            import os
            from urllib.parse import quote

            # A path is bytes, of which not all are UTF-8.
            return f"{self._scheme}+unix:{quote(os.fsencode(host))}:/{path.removeprefix('/')}"
        if self._is_everywhere or host == "0.0.0.0":
            host = "127.0.0.1"
        elif host == "::":
            host = "::1"
        host = f"[{host}]" if ":" in host else host
        return f"{self._scheme}://{host}:{port}/{path.removeprefix('/')}"

    @property
    def is_serving(self) -> bool:
        """Whether clients are served: from `serve()` or `start()` to `stop()`."""
        return self._core.is_serving

    @property
    def clock(self) -> ManualClock | None:
        """The clock of its timers, if a test has given it one."""
        return self._clock

    @property
    def debug(self) -> bool:
        """Whether messages and disconnects are printed; may be set at any time."""
        return self._core.debug

    @debug.setter
    def debug(self, value: bool) -> None:
        self._core.debug = value

    @property
    def echo(self) -> bool:
        """Whether what no callback answers is echoed; may be set at any time, and holds from the next message on."""
        return self._core.echo

    @echo.setter
    def echo(self, value: bool) -> None:
        self._core.echo = value

    @property
    def clients(self) -> tuple[Client, ...]:
        """The clients at this moment, in the order in which they came."""
        return self._core.clients()

    @property
    def client_count(self) -> int:
        """How many clients there are at this moment; cheaper than `clients`, since nothing is made for them."""
        return self._core.client_count

    def broadcast(self, data: str | Buffer, exclude: Iterable[Client] = ()) -> int:
        """Sends `data` to all clients except those in `exclude`: text if it is a `str`, else binary.

        Returns how many it was queued for. Waits for no client: those that are closed, or whose send queue is full, are
        left out.
        """
        return self._core.broadcast(data, exclude)

    # TLS

    @property
    def ca_pem(self) -> str | None:
        """With `tls="self-signed"` the certificate of the authority, in PEM, for clients to trust; else None."""
        return self._core.ca_pem

    def ssl_context(self) -> ssl.SSLContext:
        """A new context for clients of this server, as `ssl.create_default_context()`, that trusts nobody else.

        It trusts the authority of `tls="self-signed"`, or else every certificate in `certfile`; the host name is
        checked. For mutual TLS load the client's own certificate into it. RuntimeError without TLS.
        """
        anchors = self._core.tls_anchors
        if anchors is None:
            raise RuntimeError("the server has no TLS")
        import ssl

        context = ssl.create_default_context(cadata=anchors)
        # A certificate that is not its own issuer may be trusted as well.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def reload_tls(self) -> None:
        """Reads the files of `tls` again, or makes a new self-signed certificate from the same authority.

        Connections from now on use it; those that are stay as they are. From any thread. OSError or ValueError as from
        the constructor, and then nothing is changed; RuntimeError without TLS.
        """
        self._core.reload_tls()

    def stats(self) -> Stats:
        """What it has done so far."""
        counters = self._core.stats()
        return self._stats_class(**counters)

    def __repr__(self) -> str:
        name = type(self).__name__
        try:
            url, core = self.url, self._core
            if core.is_serving:
                state = f"serving, clients={core.client_count}"
            elif not core.is_used:
                state = "listening, not started"
            elif core.is_started and not core.wait(0):
                state = "stopping"
            else:
                state = "stopped"
        except RuntimeError as error:
            return f"<{name}: {error}>"
        return f"<{name} {url} {state}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} can't be copied or pickled: it is a port, threads and clients of this process; "
            f"make another where one is needed"
        )

    def __del__(self) -> None:
        try:
            # Its dictionary would be made for it, with references that the collector takes for others'.
            run: Run = object.__getattribute__(self, "_own_run")
        except AttributeError:
            return
        try:
            if run.core.is_used:
                return
            text = f"{shown(self)} was never run"
            run.core.stop(0)
        except RuntimeError:
            # A forked child: the socket is its parent's.
            return
        warnings.warn(text, ResourceWarning, source=self, stacklevel=2)
