"""What watches a server: plain HTTP, and Python's own parser of OpenMetrics."""

from __future__ import annotations

import http.client
import ssl
from collections import defaultdict
from typing import Any, Final

from prometheus_client.openmetrics import parser

from echoserver import EchoServer
from support import TIMEOUT

BOTH: Final = {"health": True, "metrics": True}
# Sample by sample: by its label's value, "" without a label.
Samples = dict[str, dict[str, float]]


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body; the connection stays if the server says so."""
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read()


def connection_to(server: EchoServer, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    """With a context over TLS."""
    if context is not None:
        return http.client.HTTPSConnection("127.0.0.1", server.port, timeout=TIMEOUT, context=context)
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body, for one who asks once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        return ask(connection, path, method)
    finally:
        connection.close()


def read(text: str) -> Samples:
    """What Python's own parser of OpenMetrics makes of it."""
    parse: Any = parser.text_string_to_metric_families
    found: Samples = defaultdict(dict)
    for family in parse(text):
        assert family.documentation, family.name
        for sample in family.samples:
            (label,) = sample.labels.values() or [""]
            assert label not in found[sample.name]
            found[sample.name][label] = sample.value
    return found


def metrics(server: EchoServer) -> Samples:
    connection = connection_to(server)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    text = response.read().decode()
    connection.close()
    assert text.endswith("\n# EOF\n")
    return read(text)
