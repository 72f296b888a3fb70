"""`echoserver send`: messages to any WebSocket server, and what it answers."""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from echoserver import printing
from echoserver._core import shown
from echoserver.cli import connection
from echoserver.cli.connection import BINARY, CLOSE, TEXT, Connection, NotConnected
from echoserver.cli.screen import Screen
from echoserver.cli.writing import Stdout

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

__all__ = ["main", "parser"]

# How it ended.
_ANSWERED: Final = 0
_NOT_CONNECTED: Final = 1
_WRONG: Final = 2
_CLOSED: Final = 3
_SILENT: Final = 4
_UNPRINTED: Final = 5

_NO_CODE: Final = 1005


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    made = argparse.ArgumentParser(
        prog="echoserver send",
        description="Sends messages to a WebSocket server and prints what it answers, a line each. Without a MESSAGE "
        "each line of stdin is one.",
        epilog="Its status is 0 if all messages were answered, 1 if there was no connection or it broke, 3 if the "
        "server closed before, 4 if an answer did not come in time, 5 if it can't be printed, 2 for a wrong argument.",
        allow_abbrev=False,
    )
    made.add_argument("url", metavar="URL", help="ws:// or wss://; without either it is ws://")
    made.add_argument("messages", metavar="MESSAGE", nargs="*", help="what to send")
    made.add_argument(
        "--binary", action="store_true", help="messages are binary, in hex; binary answers always are in hex"
    )
    made.add_argument(
        "--close",
        type=_close,
        default=(1000, ""),
        metavar="CODE[:REASON]",
        help="how to close at the end (default: 1000)",
    )
    made.add_argument(
        "-H",
        "--header",
        action="append",
        type=_header,
        default=[],
        metavar="NAME:VALUE",
        help="for the request; may be repeated",
    )
    made.add_argument("--subprotocol", action="append", default=[], metavar="NAME", help="to offer; may be repeated")
    made.add_argument("--ca", metavar="FILE", help="trust the certificates in FILE, in PEM, instead of the system's")
    made.add_argument(
        "--timeout", type=_seconds, default=5.0, metavar="SECONDS", help="to connect, and for each answer (default: 5)"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Runs it and returns its exit status. For a wrong argument it raises SystemExit with status 2."""
    command_line = parser()
    given, rest = command_line.parse_known_args(arguments)
    if any(one.startswith("-") for one in rest):
        command_line.error(f"unrecognized arguments: {' '.join(rest)}")
    # Those behind options, which before Python 3.13 are no MESSAGE for argparse.
    given.messages += rest
    printing.by_lines()
    try:
        messages = [_payload(message, is_binary=given.binary) for message in given.messages]
    except ValueError as error:
        command_line.error(f"argument MESSAGE: {error}")
    try:
        is_secure = connection.is_secure(given.url)
    except ValueError as error:
        command_line.error(f"argument URL: {shown(given.url)} {error}")
    if given.ca is not None and not is_secure:
        command_line.error("argument --ca: is for wss:// only")
    try:
        # Before the event loop, which a file that is a pipe would hold up.
        trust = connection.trust(given.ca) if is_secure else None
    except OSError as error:
        command_line.error(f"argument --ca: {shown(given.ca)}: {error}")
    with Stdout().let_go():
        status, sentence = asyncio.run(_talk(given, trust, messages if given.messages else None))
    if sentence:
        Screen().line(f"echoserver: {sentence}")
    return status


async def _talk(
    given: argparse.Namespace, trust: ssl.SSLContext | None, messages: list[bytes] | None
) -> tuple[int, str]:
    """Sends these messages, or the lines of stdin, and prints what comes until all are answered; then closes.

    How it ended: a status, and a sentence if it was not in order.
    """
    opening = Connection.open(given.url, given.header, given.subprotocol, trust)
    try:
        async with asyncio.timeout(given.timeout):
            opened = await opening
    except NotConnected as error:
        return _NOT_CONNECTED, str(error)
    except TimeoutError:
        return _NOT_CONNECTED, f"no answer to the upgrade request within {given.timeout:g} s"
    conversation = _Conversation(opened, given.timeout, is_binary=given.binary)
    if given.subprotocol and opened.subprotocol is None:
        Screen().line("echoserver: the server has agreed to none of these subprotocols")
    receiving = asyncio.create_task(conversation.receive())
    try:
        return await conversation.run(messages, given.close)
    except OSError as error:
        return _NOT_CONNECTED, f"the connection broke: {error.strerror or error}"
    finally:
        receiving.cancel()
        opened.end()


class _Conversation:
    """What was sent, and what has come. All that happens comes through one queue."""

    def __init__(self, connection: Connection, timeout: float, *, is_binary: bool) -> None:
        self._connection, self._timeout, self._is_binary = connection, timeout, is_binary
        # What to send (bytes), None at its end, a ValueError for what can't be; and with its kind what was received.
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._missing = 0

    async def run(self, messages: list[bytes] | None, close: tuple[int, str]) -> tuple[int, str]:
        """The conversation, and how it ended."""
        is_more = messages is None
        if is_more:
            threading.Thread(target=self._read, args=(asyncio.get_running_loop(),), daemon=True).start()
        try:
            for message in messages or ():
                await self._send(message)
            while is_more or self._missing:
                async with asyncio.timeout(None if is_more else self._timeout):
                    event = await self._events.get()
                if event is None:
                    is_more = False
                elif isinstance(event, bytes):
                    await self._send(event)
                elif isinstance(event, ValueError):
                    return _WRONG, str(event)
                elif (ended := await self._take(*event)) is not None:
                    return ended
        except TimeoutError:
            which = "the message" if self._missing == 1 else f"{self._missing} messages"
            return _SILENT, f"no answer to {which} within {self._timeout:g} s"
        return await self._close(*close)

    async def _send(self, message: bytes) -> None:
        self._missing += 1
        async with asyncio.timeout(self._timeout):
            await self._connection.send(BINARY if self._is_binary else TEXT, message)

    async def _take(self, kind: int, payload: bytes) -> tuple[int, str] | None:
        """Prints a message; the end if it is that."""
        if kind == TEXT:
            text = payload.decode(errors="replace")
            printing.line(printing.escaped(text) if printing.is_terminal() else text)
        elif kind == BINARY:
            printing.line(payload.hex())
        elif kind == CLOSE:
            with suppress(OSError):
                await self._connection.send(CLOSE, payload[:2])
            return _CLOSED, f"closed by the server: {_closed(payload)}"
        else:
            return _NOT_CONNECTED, "the connection broke: the server ended it without a close frame"
        self._missing = max(0, self._missing - 1)
        # What can't be printed is sent for nobody; why is told already.
        return (_UNPRINTED, "") if printing.is_broken() else None

    async def _close(self, code: int, reason: str) -> tuple[int, str]:
        payload = code.to_bytes(2) + reason.encode()
        await self._connection.send(CLOSE, payload)
        try:
            async with asyncio.timeout(self._timeout):
                while (event := await self._events.get())[0] != CLOSE:
                    ended = await self._take(*event)
                    if ended is not None:
                        return ended
        except TimeoutError:
            return _SILENT, f"no answer to the close within {self._timeout:g} s"
        if event[1][:2] != payload[:2]:
            return _CLOSED, f"the server answered the close with {_closed(event[1])}"
        return _ANSWERED, ""

    async def receive(self) -> None:
        """Passes on what comes, to its end."""
        try:
            kind = TEXT
            while kind != CLOSE:
                kind, payload = await self._connection.receive()
                self._events.put_nowait((kind, payload))
        except (OSError, EOFError):
            self._events.put_nowait((-1, b""))

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Passes on the lines of stdin, in a thread: by its descriptor, since nobody waits for one that waits there."""

        def put(event: object) -> None:
            # The conversation may be over.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._events.put_nowait, event)

        try:
            for line in _lines(0):
                put(_payload(line, is_binary=self._is_binary))
        except (ValueError, OSError) as error:
            put(ValueError(f"stdin: {error}"))
        put(None)


def _lines(descriptor: int) -> Iterator[bytes]:
    """Each without its end."""
    rest = b""
    while part := os.read(descriptor, 1 << 16):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest


def _payload(message: str | bytes, *, is_binary: bool) -> bytes:
    """What is sent. ValueError for what can't be."""
    try:
        text = message.decode() if isinstance(message, bytes) else message
        data = text.encode()
    except UnicodeError:
        raise ValueError(f"{shown(message)} is no UTF-8; with --binary it can be bytes, in hex") from None
    if not is_binary:
        return data
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{shown(message)} is no hex: two digits for each byte") from None


def _closed(payload: bytes) -> str:
    """Code and reason of a close frame."""
    code = int.from_bytes(payload[:2]) if payload else _NO_CODE
    return f"{code} {printing.escaped(payload[2:].decode(errors='replace'))}".rstrip()


def _close(text: str) -> tuple[int, str]:
    number, _, reason = text.partition(":")
    code = int(number) if number.isascii() and number.isdecimal() else -1
    if not 0 <= code <= 0xFFFF:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{shown(text)} is no close code: 0 to 65535, with :REASON if there is one")
    if len(reason.encode()) > 123:  # noqa: PLR2004  # RFC 6455 section 5.5.
        raise argparse.ArgumentTypeError(f"{shown(reason)} is longer than the 123 bytes that a reason can have")
    return code, reason


def _header(text: str) -> tuple[str, str]:
    name, colon, value = (part.strip() for part in text.partition(":"))
    if not colon or not name or not text.isprintable() or not text.isascii():
        raise argparse.ArgumentTypeError(f"{shown(text)} is no header: NAME:VALUE, in ASCII")
    return name, value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number of seconds above 0")
    return seconds
