"""Certificates that a client must refuse although it trusts their authority, and an authority that it does not know."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from certificates import strict
from echoserver.testing import EchoTestServer
from support import connect, eventually

# What OpenSSL says (X509_V_ERR_*), and nothing else is wrong.
EXPIRED, WRONG_NAME, WRONG_ADDRESS, UNKNOWN_AUTHORITY = 10, 62, 64, 20


def fault(server: EchoTestServer, context: ssl.SSLContext, url: str | None = None) -> int:
    with pytest.raises(ssl.SSLCertVerificationError) as refused, connect(url or server.url, ssl=context):
        pass
    return refused.value.verify_code


def without_a_look_at_names(server: EchoTestServer) -> ssl.SSLContext:
    context = strict(server)
    context.check_hostname = False
    return context


@pytest.mark.parametrize("flaw", ["expired", "wrong-host"])
def test_a_client_must_refuse_it(flaw: Any) -> None:
    expected = {"expired": EXPIRED, "wrong-host": WRONG_ADDRESS}[flaw]
    with EchoTestServer(tls=flaw) as server:
        assert server.url.startswith("wss://")
        assert fault(server, strict(server)) == expected
        server.reload_tls()
        assert fault(server, server.ssl_context()) == expected
        assert server.requests == []
        assert server.client_count == 0


def test_of_a_wrong_host_nothing_else_is_wrong() -> None:
    with EchoTestServer(tls="wrong-host") as server:
        assert fault(server, strict(server), f"wss://localhost:{server.port}") == WRONG_NAME
        with connect(server.url, ssl=without_a_look_at_names(server)) as ws:
            ws.send("careless")
            assert ws.recv() == "careless"
        with connect(server.url, ssl=strict(server), server_hostname="wrong-host.invalid") as ws:
            ws.send("that one")
            assert ws.recv() == "that one"


def test_of_one_that_has_expired_nothing_else_is_wrong() -> None:
    with EchoTestServer(tls="expired") as server:
        context = strict(server)
        context.verify_mode = ssl.CERT_REQUIRED
        # As OpenSSL's: the time is not looked at.
        context.verify_flags |= 0x200000
        with connect(server.url, ssl=context) as ws:
            ws.send("careless")
            assert ws.recv() == "careless"


@pytest.mark.parametrize("tls", ["self-signed", "expired", "wrong-host"])
def test_an_authority_that_is_not_trusted_is_refused(tls: Any) -> None:
    with EchoTestServer(tls=tls) as server:
        context = ssl.create_default_context()
        context.check_hostname = False
        assert fault(server, context) == UNKNOWN_AUTHORITY


@pytest.mark.echo_server(tls="expired")
def test_the_fixtures_take_it(echo_server: EchoTestServer, echo_server_tls: EchoTestServer) -> None:
    for server in (echo_server, echo_server_tls):
        assert fault(server, server.ssl_context()) == EXPIRED


def test_the_server_is_told_that_it_was_refused() -> None:
    with EchoTestServer(tls="expired") as server:
        fault(server, strict(server))
        eventually(lambda: server.stats().tls_failures == 1)
