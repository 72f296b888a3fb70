"""`echoserver send`: messages to a server, its answers, and a status by how it ended."""

from __future__ import annotations

import queue
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import NO_REPLY, Accept, Client, EchoServer, Request
from support import SCRIPT, TIMEOUT, eventually, finished, first_line, in_thread, program

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Listen

ENDED = "echoserver: "


def sent(*arguments: str, stdin: bytes | None = None) -> tuple[int, list[str], str]:
    """Status, answers and what it says of a run with these."""
    command = [SCRIPT, "send", *arguments]
    done = subprocess.run(command, input=stdin or b"", capture_output=True, timeout=4 * TIMEOUT, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().removeprefix(ENDED)


def test_messages_come_back_a_line_each(server: EchoServer) -> None:
    for url in (server.url, server.url.removeprefix("ws://"), server.url.replace("ws", "http", 1)):
        assert sent(url, "hello", "Grüße 🦀", "") == (0, ["hello", "Grüße 🦀", ""], "")
    assert sent(server.url, "x" * 70_000) == (0, ["x" * 70_000], "")
    eventually(lambda: server.stats().clients_closed == 4)
    assert server.stats().violations == 0


def test_binary_messages_are_hex(server: EchoServer) -> None:
    assert sent(server.url, "--binary", "00ff", "12 34") == (0, ["00ff", "1234"], "")
    assert server.stats().binary_messages_received == 2
    status, _, said = sent(server.url, "--binary", "0g")
    assert status == 2
    assert "argument MESSAGE: '0g' is no hex: two digits for each byte" in said


def test_each_line_of_stdin_is_a_message(server: EchoServer) -> None:
    lines = b"one\ntwo\r\n\nthree"
    assert sent(server.url, stdin=lines) == (0, ["one", "two", "", "three"], "")
    assert sent(server.url, "--binary", stdin=b"00\nff\n") == (0, ["00", "ff"], "")
    assert sent(server.url, stdin=b"") == (0, [], "")
    status, answers, said = sent(server.url, stdin=b"good\n\xff\n")
    assert status == 2
    assert answers in ([], ["good"])
    assert said == "stdin: b'\\xff' is no UTF-8; with --binary it can be bytes, in hex\n"


def test_it_ends_when_nobody_reads_the_answers(server: EchoServer) -> None:
    with program(SCRIPT, "send", server.url, stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("first\n")
        process.stdin.flush()
        assert process.stdout.readline() == "first\n"
        process.stdout.close()
        # Stdin stays open.
        process.stdin.write("second\n")
        process.stdin.flush()
        assert process.wait(TIMEOUT) == 5
        assert process.stderr.read() == "sys.stdout: Broken pipe; nothing more is printed\n"


def test_no_agreement_on_a_subprotocol_is_told(server: EchoServer) -> None:
    status, answers, said = sent(server.url, "--subprotocol", "chat", "hello")
    assert (status, answers) == (0, ["hello"])
    assert said == "the server has agreed to none of these subprotocols\n"


def test_answers_come_while_stdin_is_open(server: EchoServer) -> None:
    process = program(SCRIPT, "send", server.url, stdin=subprocess.PIPE)
    assert process.stdin
    for text in ("one", "two"):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        assert first_line(process) == text
    # One that nobody has asked for, too.
    (client,) = server.clients
    client.send("unasked")
    assert first_line(process) == "unasked"
    assert finished(process) == (0, "", "")


def test_the_request_is_as_it_was_asked_for(run: Listen) -> None:
    requests: queue.Queue[Request] = queue.Queue()

    def on_handshake(request: Request) -> Accept:
        requests.put(request)
        return Accept(subprotocol=request.subprotocols[0])

    server = run(on_handshake=on_handshake)
    given = ["-H", "X-One: 1", "--header=host:elsewhere", "--subprotocol", "b", "--subprotocol=a"]
    assert sent(f"{server.url}path?q=%20", "x", *given) == (0, ["x"], "")
    request = requests.get(timeout=TIMEOUT)
    assert (request.path, request.query) == ("/path", "q=%20")
    assert (request.headers["x-one"], request.headers["host"]) == ("1", "elsewhere")
    assert [*request.subprotocols] == ["b", "a"]


@pytest.mark.parametrize(("given", "expected"), [([], (1000, "")), (["--close=4321:tschüß, du"], (4321, "tschüß, du"))])
def test_it_closes_as_it_is_told(run: Listen, given: list[str], expected: tuple[int, str]) -> None:
    gone: queue.Queue[Client] = queue.Queue()
    server = run(on_disconnect=gone.put)
    assert sent(server.url, "x", *given)[0] == 0
    client = gone.get(timeout=TIMEOUT)
    assert (client.close_code, client.close_reason) == expected


def test_tls_is_checked(run: Listen, tmp_path: Path) -> None:
    server = run(tls="self-signed")
    assert server.ca_pem
    ca = tmp_path / "ca.pem"
    ca.write_text(server.ca_pem)
    assert sent(server.url, "x", f"--ca={ca}") == (0, ["x"], "")
    status, answers, said = sent(server.url, "x")
    assert (status, answers) == (1, [])
    assert said.startswith(f"cannot connect to 127.0.0.1:{server.port}: ")
    assert said.endswith(" certificate; --ca FILE says which certificates to trust, in PEM\n")
    status, _, said = sent(server.url, "x", f"--ca={tmp_path / 'none'}")
    assert status == 2
    assert said.endswith("none': No such file or directory\n")
    ca.write_text("")
    status, _, said = sent(server.url, "x", f"--ca={ca}")
    assert status == 2
    assert said.endswith("ca.pem': has no certificate in PEM (-----BEGIN CERTIFICATE-----), or a broken one\n")


def test_a_close_of_the_servers_is_status_3(run: Listen) -> None:
    def on_text(client: Client, _: str) -> Any:
        client.close(4000, "enough\n")
        return NO_REPLY

    server = run(on_text=on_text)
    said = "closed by the server: 4000 enough\\n\n"
    assert sent(server.url, "x", "y") == (3, [], said)
    # Also while it waits for a line.
    process = program(SCRIPT, "send", server.url, stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write("x\n")
    process.stdin.flush()
    assert process.wait(TIMEOUT) == 3
    assert process.stderr
    assert process.stderr.read() == ENDED + said
    finished(process)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/faults?drop", 4, "no answer to the message within 5 s"),
        ("/faults?no-close-reply", 4, "no answer to the close within 5 s"),
        ("/faults?reset", 1, "the connection broke: "),
        ("/faults?hang", 1, "no answer to the upgrade request within 5 s"),
        ("/faults?status=503", 1, "refused: 503 Service Unavailable"),
        ("/faults?latency=1h", 1, "refused: 400 Bad Request latency: seconds='1h': must be 0 to 60 seconds; "),
        ("/faults?bad-accept", 1, "the server's Sec-WebSocket-Accept is wrong"),
    ],
)
def test_the_status_says_how_it_ended(run: Listen, path: str, status: int, said: str) -> None:
    server = run(fault_urls=True)
    # What is to come, comes in time on the slowest machine; what does not, is not waited for.
    timeout = "5" if "within" in said else str(TIMEOUT / 2)
    ended = sent(server.url_for(path), "x", "--timeout", timeout)
    assert ended[0] == status
    assert ended[2].startswith(said)


def test_who_answers_more_than_was_sent_is_heard(run: Listen) -> None:
    server = run(fault_urls=True)
    status, answers, _ = sent(server.url_for("/faults?duplicate=2"), "x")
    assert (status, set(answers)) == (0, {"x"})
    assert server.stats().text_messages_received == 1


def test_nobody_there_and_no_websocket_there_are_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def answer() -> None:
            connection, _ = listening.accept()
            connection.recv(4096)
            connection.sendall(b"220 mail.example ready\r\n\r\n")
            connection.close()

        in_thread(answer)
        said = "no answer to the upgrade request: what answers there speaks no HTTP, or ended the connection\n"
        assert sent(f"ws://127.0.0.1:{port}", "x") == (1, [], said)
    assert sent(f"ws://127.0.0.1:{port}", "x") == (
        1, [], f"cannot connect to 127.0.0.1:{port}: Connection refused\n"
    )  # fmt: skip


WRONG = [
    *(
        ["ftp://x"],
        ["ws://"],
        ["ws://h:99999"],
        ["ws://a b/"],
        [],
        ["ws://h", "--close=70000"],
        ["ws://h", "--close=x"],
    ),
    *(["ws://h", f"--close=1000:{'x' * 124}"], ["ws://h", "-H", "x"], ["ws://h", "-H", "a: b\nc: d"]),
    *(["ws://h", "--timeout=0"], ["ws://h", "--timeout=soon"], ["ws://h", "--bogus"]),
]


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_a_wrong_argument_is_status_2_and_named(given: list[str]) -> None:
    status, answers, said = sent(*given)
    assert (status, answers) == (2, [])
    assert "echoserver send: error: " in said


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
def test_ctrl_c_ends_it(server: EchoServer) -> None:
    process = program(SCRIPT, "send", server.url, stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write("x\n")
    process.stdin.flush()
    assert first_line(process) == "x"
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == 130
    assert finished(process)[2] == ""
    eventually(lambda: not server.clients)
