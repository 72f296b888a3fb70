"""Response and Accept: what can be made of them, and what they refuse."""

from __future__ import annotations

from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import pytest
from multidict import CIMultiDict

from echoserver import Accept, Response
from echoserver.headers import Headers

PAIRS = (("Set-Cookie", "a=1"), ("X", ""), ("set-cookie", "b=é"))
OURS = [
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
    "Content-Length",
    "Transfer-Encoding",
]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (PAIRS, PAIRS),
        ([list(pair) for pair in PAIRS], PAIRS),
        (iter(PAIRS), PAIRS),
        (CIMultiDict(PAIRS), PAIRS),
        (dict(PAIRS), PAIRS),
        (MappingProxyType({"A": "b"}), (("A", "b"),)),
        (Headers([("A", "b"), ("a", "c")]), (("A", "b, c"),)),
        ({}, ()),
        ((), ()),
    ],
)
def test_headers_are_a_mapping_or_pairs_and_keep_their_order(headers: Any, expected: object) -> None:
    kept = list(headers) if hasattr(headers, "__next__") else headers
    assert Response(400, kept).headers == expected
    assert Accept(kept).headers == expected


@pytest.mark.parametrize("make", [Accept, lambda headers: Response(403, headers)])
@pytest.mark.parametrize("headers", ["a: b", b"a: b", 5, ["ab"], [("a",)], [("a", "b", "c")], {"a": 5}, [(b"a", "b")]])
def test_headers_of_another_type_are_refused(make: Any, headers: object) -> None:
    with pytest.raises(TypeError, match=r"headers=.*: must be a mapping of str to str, or pairs of str"):
        make(headers)


@pytest.mark.parametrize("make", [Accept, lambda headers: Response(403, headers)])
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        *((name, "x", f"headers='{name}': the server sets") for name in OURS),
        *((name.lower(), "x", f"headers='{name.lower()}': the server sets") for name in OURS),
        *((name, "x", "token") for name in ["", "a b", "a:b", "a\r\n", "é", "\0", "(a)"]),
        ("X", "\ud800", "lone surrogate"),
        *(("X", value, "space at its ends") for value in [" a", "a ", "\ta"]),
        *(("X", value, "control characters") for value in ["a\r\nb", "a\nb", "a\0b", "a\x7f", "\x1b", "Ω"]),
    ],
)
def test_headers_that_can_not_be_sent_are_refused(make: Any, name: str, value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"headers=.*: ") as caught:
        make([("First", "good"), (name, value)])
    assert reason in str(caught.value)


@pytest.mark.parametrize("status", [0, 100, 101, 200, 299, 600, -1, 70_000, 2**100])
def test_a_status_out_of_range_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"status={status}: must be 300 to 599"):
        Response(status)


@pytest.mark.parametrize("status", ["403", 403.0, None, True])
def test_a_status_of_another_type_is_refused(status: Any) -> None:
    with pytest.raises(TypeError, match=r"status=.*: must be an int"):
        Response(status)


def test_a_body_is_text_or_bytes() -> None:
    assert Response(403).body == b""
    assert Response(403, body="").headers == ()
    text = Response(403, body="é")
    assert (text.body, text.headers) == ("é".encode(), (("Content-Type", "text/plain; charset=utf-8"),))
    page = Response(403, {"content-type": "text/html"}, "<p>")
    assert (page.body, page.headers) == (b"<p>", (("content-type", "text/html"),))
    for data in (b"\xff\0", bytearray(b"\xff\0"), memoryview(b"\xff\0")):
        assert (Response(403, (), data).body, Response(403, (), data).headers) == (b"\xff\0", ())
    wrong: Any = 5
    with pytest.raises(TypeError, match="body must be str or bytes-like, not int"):
        Response(403, (), wrong)
    with pytest.raises(ValueError, match=r"^body='.ud800': has a lone surrogate"):
        Response(403, (), "\ud800")
    with pytest.raises(ValueError, match="body=1 bytes: a response with status 304 has none"):
        Response(304, (), "x")


@pytest.mark.parametrize("name", ["", "a b", "a,b", "é", "a\r\n"])
def test_a_subprotocol_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match=r"subprotocol='.*': must be a token"):
        Accept(subprotocol=name)
    wrong: Any = name.encode()
    with pytest.raises(TypeError, match=r"subprotocol=.*: must be a str"):
        Accept(subprotocol=wrong)


def test_they_are_what_they_were_made_of_and_stay_so() -> None:
    response = Response(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Basic"}, b"no")
    accept = Accept({"A": "b"}, "chat")
    assert repr(response) == "Response(401, (('WWW-Authenticate', 'Basic'),), b'no')"
    assert repr(accept) == "Accept((('A', 'b'),), 'chat')"
    assert repr(Accept()) == "Accept((), None)"
    assert eval(repr(response)).body == b"no"
    for value, name in [(response, "status"), (response, "body"), (accept, "subprotocol")]:
        with pytest.raises(AttributeError):
            setattr(value, name, None)
