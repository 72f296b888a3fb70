"""Processes of a service: replicas of the program, each on a port that stays its own, and HAProxy or nginx in front."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import sys
from typing import TYPE_CHECKING, Any, Self

import pytest

from support import TIMEOUT, eventually, finished, first_line, program
from watching import Samples, read

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HAProxy", "Nginx", "Replica", "path_of"]


class Held:
    """A port that nobody else can have while processes that share it (SO_REUSEPORT) come and go. It does not listen."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


class Replica:
    """One of a service's servers, which may have several lives. It ends with the block."""

    def __init__(self, name: str, folder: Path, *options: str) -> None:
        """Starts the first one."""
        self.name = name
        self._folder = folder
        self._options = options
        self._held = Held()
        self.port = self._held.port
        self._lives = 0
        self.start()

    def start(self) -> None:
        """Starts one more life, on the same port. Its answers say which one it is."""
        self._lives += 1
        with (self._folder / self.life).open("w") as log:
            self.process = program(
                *(sys.executable, "-m", "echoserver", f"--bind=127.0.0.1:{self.port}", "--reuse-port", "--no-faults"),
                *(f"--server-header={self.life}", "--log-format=json", *self._options),
                stderr=log,
            )
        first_line(self.process)

    @property
    def life(self) -> str:
        """The name of the last one."""
        return f"{self.name}-{self._lives}"

    def stop(self) -> None:
        """As an operator does; returns when the process has ended."""
        self.process.terminate()
        status, _, _ = finished(self.process)
        assert status == 0, self.lines()

    def kill(self) -> None:
        """Nobody has time to say a word."""
        self.process.kill()
        self.process.wait(TIMEOUT)

    def lines(self) -> list[dict[str, Any]]:
        """What all lives have logged."""
        logs = [self._folder / f"{self.name}-{life + 1}" for life in range(self._lives)]
        return [json.loads(line) for log in logs for line in log.read_text().splitlines()]

    def metrics(self, first: bytes = b"") -> Samples:
        """What it counts; `first` goes before the request."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as plain:
            plain.sendall(first + b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            head, _, body = plain.makefile("rb").read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        return read(body.decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()
        if error[0] is None and self.process.poll() is None:
            self.stop()


class _Balancer:
    """A process that ends with the block."""

    url = ""

    def _run(self, *command: str, **options: Any) -> None:
        self._process = program(*command, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        if error[0] is None:
            finished(self._process)


class HAProxy(_Balancer):
    """Passes TCP on to replicas whose `/healthz` says 200, in turns, and says by the PROXY protocol for whom."""

    def __init__(self, folder: Path, *replicas: Replica) -> None:
        haproxy = path_of("haproxy")
        # They listen already: it takes who has come when it has begun.
        self._control = socket.create_server(("127.0.0.1", 0))
        front = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"ws://127.0.0.1:{front.getsockname()[1]}"
        servers = [f"    server {one.name} 127.0.0.1:{one.port}\n" for one in replicas]
        config = folder / "haproxy.cfg"
        # A check that is late on a busy machine is no failure, but another answer than 200 is, and a refused connect.
        config.write_text(f"""
global
    nbthread 1
    stats socket fd@{self._control.fileno()}
defaults
    mode tcp
    timeout connect 30s
    timeout client 1h
    timeout server 1h
    timeout check 30s
    retries 10
    option redispatch 1
frontend front
    bind fd@{front.fileno()}
    default_backend echo
backend echo
    balance roundrobin
    option httpchk GET /healthz
    http-check expect status 200
    default-server send-proxy-v2 check inter 50ms fall 1 rise 1
{"".join(servers)}""")
        with front:
            self._run(haproxy, "-db", "-f", str(config), pass_fds=[front.fileno(), self._control.fileno()])

    def states(self) -> dict[str, str]:
        """What it thinks of each replica, by name: UP or DOWN."""
        with socket.create_connection(self._control.getsockname(), TIMEOUT) as asking:
            asking.sendall(b"show stat\n")
            rows = csv.DictReader(asking.makefile(encoding="utf-8").read().splitlines())
        return {row["svname"]: row["status"] for row in rows if row["# pxname"] == "echo"}

    def expect(self, replica: Replica, state: str) -> None:
        """Waits until it thinks so."""
        eventually(lambda: self.states()[replica.name] == state, f"{replica.name} is {state}")

    def __exit__(self, *error: object) -> None:
        self._control.close()
        super().__exit__(*error)


class Nginx(_Balancer):
    """Speaks TLS with clients, and passes what they say on to one replica."""

    def __init__(self, folder: Path, replica: Replica, certificate: Path, key: Path) -> None:
        nginx = path_of("nginx")
        self._held = Held()
        self.url = f"wss://localhost:{self._held.port}"
        temporary = "".join(
            f"    {kind}_temp_path {folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = folder / "nginx.conf"
        config.write_text(f"""
daemon off;
master_process off;
pid {folder / "nginx.pid"};
error_log stderr;
events {{}}
http {{
    access_log off;
{temporary}
    server {{
        listen 127.0.0.1:{self._held.port} ssl reuseport;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{
            proxy_pass http://127.0.0.1:{replica.port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $host;
            proxy_pass_header Server;
            proxy_read_timeout 1h;
        }}
    }}
}}
""")
        with (folder / "nginx.log").open("w") as log:
            self._run(nginx, "-e", "stderr", "-p", str(folder), "-c", str(config), stderr=log)

    def __exit__(self, *error: object) -> None:
        self._held.close()
        super().__exit__(*error)


def path_of(name: str) -> str:
    """The path of that program; the test is skipped where there is none."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if found is None:
        pytest.skip(f"THERE IS NO {name}: `apt-get install {name}`")
    return found
