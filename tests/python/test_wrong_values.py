"""What calls make of values that are no values: an error that names the argument, whatever was given."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import TLS, Client, EchoServer
from echoserver.cli import main
from echoserver.testing import EchoTestServer, WrongExtension, WrongSubprotocol
from support import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Listen

HALF = "a\udcff"
LONG = 10**400
# So long that Python does not write it.
LONGEST = 10**5000
SURROGATE = "has a lone surrogate, which UTF-8 can't express"


class Path5:
    def __fspath__(self) -> str:
        raise LookupError("no path today")


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"cert.pem"


@pytest.fixture
def server() -> Iterator[EchoTestServer]:
    with EchoTestServer() as server:
        yield server


@pytest.fixture
def client(server: EchoTestServer) -> Iterator[Client]:
    with connect(server.url) as peer:
        # So that a wait may find what it waits for.
        peer.send("x")
        server.wait_received(1)
        yield server.accept()


def says(error: type[Exception], start: str, call: Callable[..., object], *values: Any, **options: Any) -> None:
    """`call` with these raises that, and says so."""
    with pytest.raises(error) as caught:
        call(*values, **options)
    assert str(caught.value).startswith(start), str(caught.value)


def test_a_close_names_what_can_not_be_sent(client: Client) -> None:
    close: Any = client.close
    says(ValueError, f"code=1{'0' * 79}...{'0' * 20}: may not be sent; 1000 to 1003", lambda: close(LONG))
    says(ValueError, "code=<int whose repr() raises ValueError>: may not be sent", lambda: close(LONGEST))
    says(ValueError, "code=-1: may not be sent", lambda: close(-1))
    for value in (True, 1000.0, "1000", None):
        says(TypeError, f"code={value!r}: must be an int, not {type(value).__name__}", close, value)
        if value != "1000":
            wrong = f"reason={value!r}: must be a str, not {type(value).__name__}"
            says(TypeError, wrong, close, 1000, value)
    says(TypeError, "reason=b'x': must be a str, not bytes", lambda: close(reason=b"x"))
    says(ValueError, f"reason='a\\udcff': {SURROGATE}", lambda: close(1000, HALF))
    assert client.is_open


def test_what_is_sent_names_the_call_and_where_the_surrogate_is(server: EchoTestServer, client: Client) -> None:
    calls: dict[str, Callable[[str], object]] = {
        "send()": client.send,
        "ping()": client.ping,
        "broadcast()": server.broadcast,
    }
    for name, call in calls.items():
        where = "'utf-8' codec can't encode character '\\udcff' in position 1"
        says(UnicodeEncodeError, f"{where}: {name} takes no lone surrogates", call, HALF)
    with pytest.raises(UnicodeEncodeError, match=r"send\(\) takes no lone surrogates"):
        asyncio.run(client.send_async(HALF))


def test_a_reply_with_a_surrogate_names_the_callback() -> None:
    with EchoTestServer(on_text=lambda _client, _message: HALF) as server, connect(server.url) as peer:
        peer.send("x")
        server.wait_until(lambda: server.errors)
        (error,) = server.errors
        server.errors.clear()
    assert isinstance(error, UnicodeEncodeError)
    assert re.search(rf'on_text \("{re.escape(__file__)}", line \d+\) returned a lone surrogate$', str(error))


@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        (True, TypeError, "True: must be a number of seconds, not bool"),
        ("5", TypeError, "'5': must be a number of seconds, not str"),
        (-1, ValueError, "-1: must not be negative"),
        (float("nan"), ValueError, "nan: must be finite seconds"),
        (float("inf"), ValueError, "inf: must be finite seconds"),
        (LONG, OverflowError, f"1{'0' * 79}...{'0' * 20}: is too large for seconds"),
    ],
)
def test_a_wait_names_a_timeout_that_is_none(
    server: EchoTestServer, client: Client, value: Any, error: type[Exception], reason: str
) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda timeout: server.accept(timeout=timeout),
        lambda timeout: server.wait_received(1, timeout),
        lambda timeout: server.wait_until(list, timeout),
        client.recv,
        client.wait_pong,
        client.flush,
        client.wait_closed,
        server.wait_closed,
        server.stop,
        lambda timeout: asyncio.run(client.recv_async(timeout)),
        lambda timeout: asyncio.run(server.accept_async(timeout=timeout)),
        lambda timeout: asyncio.run(server.stop_async(timeout)),
        lambda timeout: asyncio.run(client.wait_pong_async(timeout)),
        lambda timeout: asyncio.run(client.wait_closed_async(timeout)),
        lambda timeout: asyncio.run(server.wait_closed_async(timeout)),
    ]
    for call in calls:
        says(error, f"timeout={reason}", call, value)
    assert server.is_serving


def test_a_wait_that_was_too_short_says_how_long_it_was(server: EchoTestServer, client: Client) -> None:
    says(TimeoutError, "client 1 is still connected after 1e-12 s", lambda: client.wait_closed(1e-12))
    says(TimeoutError, "the server still runs after 1e-12 s", lambda: server.wait_closed(1e-12))


def test_reading_names_a_path_or_a_count_that_is_none(server: EchoTestServer) -> None:
    accept: Any = server.accept
    count: Any = server.wait_received
    says(TypeError, "path=5: must be a str, not int", lambda: accept(5))
    says(TypeError, "path=b'/': must be a str, not bytes", lambda: accept(b"/"))
    for wrong_path in (5, b"/", None):
        wrong = f"path={wrong_path!r}: must be a str, not {type(wrong_path).__name__}"
        says(TypeError, wrong, lambda value=wrong_path: server.url_for(value))
    says(ValueError, f"path='a\\udcff': {SURROGATE}", lambda: accept(HALF))
    for value in (True, 1.0, "1"):
        says(TypeError, f"count={value!r}: must be an int", count, value)
    says(ValueError, "count=-1: must not be negative", lambda: count(-1))
    says(TimeoutError, "after 0 s: 0 of <int whose repr() raises ValueError> messages", lambda: count(LONGEST, 0))


@pytest.mark.parametrize("value", [None, 5, b"x"])
def test_what_a_wrong_handshake_says_is_named(value: Any) -> None:
    line = "must be the value of a header line, without control characters"
    says(TypeError, f"WrongExtension: value={value!r}: {line}", lambda: WrongExtension(value))
    for text, shown in (("a\0b", "a\\x00b"), (HALF, "a\\udcff"), (" x", " x"), ("€", "€")):
        says(ValueError, f"WrongExtension: value='{shown}': {line}", lambda text=text: WrongExtension(text))
    says(TypeError, f"WrongSubprotocol: name={value!r}: must be a token", lambda: WrongSubprotocol(value))
    says(ValueError, "WrongSubprotocol: name='a b': must be a token", lambda: WrongSubprotocol("a b"))


@pytest.mark.parametrize("option", ["certfile", "keyfile", "client_ca"])
def test_a_path_that_is_none_is_named(option: str) -> None:
    def made(value: object) -> TLS:
        paths: dict[str, Any] = {"certfile": "cert.pem", "keyfile": "key.pem", option: value}
        return TLS(**paths)

    for value in (5, b"cert.pem", True):
        says(
            TypeError,
            f"{option}={value!r}: must be a path, not {type(value).__name__}",
            lambda value=value: made(value),
        )
    says(TypeError, f"{option}=<", lambda: made(BytesPath()))
    says(ValueError, f"{option}='a\\x00b': has a NUL, which no path can have", lambda: made("a\0b"))
    # What it raises itself is nothing of ours.
    says(LookupError, "no path today", lambda: made(Path5()))


@pytest.mark.parametrize("option", ["certfile", "keyfile", "client_ca"])
def test_a_path_that_is_no_utf_8_stays_as_it_was_given(tmp_path: Path, option: str) -> None:
    name = str(tmp_path / HALF)
    paths: dict[str, Any] = {"certfile": "cert.pem", "keyfile": "key.pem", option: name}
    tls = TLS(**paths)
    assert getattr(tls, option) == name
    assert f"{option}={name!r}" in repr(tls)
    assert eval(repr(tls)) == tls


def test_a_file_whose_name_is_no_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / HALF
    says(FileNotFoundError, "[Errno 2] certfile: ", EchoServer, 0, tls=TLS(path, path))
    path.write_text("no certificate")
    says(ValueError, f"certfile='{tmp_path}/a\\udcff': has no certificate", EchoServer, 0, tls=TLS(path, path))


@pytest.mark.parametrize("value", [1.2, None, b"1.2", True])
def test_a_version_of_tls_that_is_none_is_named(value: Any) -> None:
    made: Any = TLS
    says(TypeError, f'min_version={value!r}: must be "1.2" or "1.3", not', lambda: made("a", "b", min_version=value))
    says(ValueError, "min_version='1.1': must be", lambda: made("a", "b", min_version="1.1"))
    says(ValueError, f"min_version='a\\udcff': {SURROGATE}", lambda: made("a", "b", min_version=HALF))


@pytest.mark.parametrize("option", ["open_timeout", "idle_timeout", "ping_interval", "ping_timeout"])
def test_a_timeout_that_is_too_short_is_shown_as_given(option: str, listen: Listen) -> None:
    for value in (0, 1e-12, 0.0009):
        options: dict[str, Any] = {option: value}
        expected = f"{option}={value!r}: must be at least 0.001, in seconds"
        says(ValueError, expected, EchoServer, 0, host="127.0.0.1", **options)
    least: dict[str, Any] = {option: 0.001}
    listen(**least)


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("--port={}", "-p/--port"),
        ("--max-connections={}", "--max-connections"),
        ("--workers=-{}", "--workers"),
        ("--max-message-size={}", "--max-message-size"),
        ("--memory-limit={}GiB", "--memory-limit"),
        ("--deflate=level={}", "--deflate"),
        ("--deflate=threshold={}kB", "--deflate"),
    ],
)
def test_a_number_of_the_command_line_may_have_any_length(
    argument: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([argument.format("9" * 5000)])
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {flag}: " in error
    assert error.endswith("has too many digits")
    assert "99..." in error
    assert len(error) < 300


def test_a_timeout_of_the_command_line_is_shown_as_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--ping-interval=1e-12"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "echoserver: error: argument --ping-interval: 1e-12: must be at least 0.001, in seconds"
