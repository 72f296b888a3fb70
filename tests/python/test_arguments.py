"""What the constructor refuses, and that a refusal names argument and value."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from echoserver import BindError, Client, EchoServer, _core, attributes

if TYPE_CHECKING:
    from conftest import Listen

SIZES = ["max_message_size", "memory_limit", "max_send_queue", "max_connections", "workers"]
TIMEOUTS = ["open_timeout", "close_timeout", "idle_timeout", "ping_interval", "ping_timeout"]
MAY_BE_NONE = ["max_connections", "workers", "idle_timeout", "ping_interval"]

WRONG: list[tuple[str, Any, type[Exception]]] = [
    ("port", 65536, OverflowError),
    ("port", 70000, OverflowError),
    ("port", -1, OverflowError),
    ("port", 2**100, OverflowError),
    ("port", "1234", TypeError),
    ("port", 80.5, TypeError),
    ("port", None, TypeError),
    ("port", True, TypeError),
    ("host", 5, TypeError),
    ("host", "", ValueError),
    ("host", b"localhost", TypeError),
    # What names of the system have that are no UTF-8.
    ("host", "\udcff", ValueError),
    ("server_header", "\udcff", ValueError),
    ("compression", "\udcff", ValueError),
    ("debug", "localhost", TypeError),
    ("debug", 1, TypeError),
    ("health", 1, TypeError),
    ("metrics", None, TypeError),
    ("server_header", 5, TypeError),
    ("server_header", None, TypeError),
    ("server_header", "a\r\nX: b", ValueError),
    ("server_header", "é", ValueError),
    ("proxy_from", "10.0.0.0/8", TypeError),
    ("proxy_from", 5, TypeError),
    ("proxy_from", None, TypeError),
    ("subprotocols", "chat", TypeError),
    ("subprotocols", 5, TypeError),
    ("subprotocols", None, TypeError),
    ("origins", "https://example.org", TypeError),
    ("origins", 5, TypeError),
    ("max_message_size", 0, ValueError),
    ("memory_limit", 0, ValueError),
    ("max_connections", 0, ValueError),
    ("workers", 5000, ValueError),
    ("open_timeout", 0, ValueError),
    ("idle_timeout", 0, ValueError),
    ("ping_interval", 0, ValueError),
    ("ping_timeout", 0, ValueError),
    *((name, -1, ValueError) for name in SIZES),
    *((name, 2**100, OverflowError) for name in SIZES),
    *((name, 1.5, TypeError) for name in SIZES),
    *((name, "5", TypeError) for name in SIZES),
    *((name, True, TypeError) for name in SIZES),
    *((name, -1.5, ValueError) for name in TIMEOUTS),
    *((name, float("nan"), ValueError) for name in TIMEOUTS),
    *((name, float("inf"), ValueError) for name in TIMEOUTS),
    *((name, 1e300, OverflowError) for name in TIMEOUTS),
    *((name, "5", TypeError) for name in TIMEOUTS),
    *((name, True, TypeError) for name in TIMEOUTS),
    *((name, None, TypeError) for name in SIZES + TIMEOUTS if name not in MAY_BE_NONE),
    *((name, 5, TypeError) for name in _core.CALLBACKS),
    *((name, "print", TypeError) for name in _core.CALLBACKS),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_a_wrong_argument_is_named_with_its_value(name: str, value: object, error: type[Exception]) -> None:
    options: dict[str, Any] = {"port": 0, "host": "127.0.0.1"} | {name: value}
    with pytest.raises(error) as caught:
        EchoServer(**options)
    assert f"{name}={value!r}" in str(caught.value)


class Mute:
    def __repr__(self) -> str:
        raise LookupError

    def __call__(self) -> None:
        raise AssertionError


class Both(EchoServer):
    def on_text(self, client: Client, message: str) -> None: ...


LONG = "x" * 2**20
WRONG_AND_LONG: list[tuple[str, Any, type[Exception]]] = [
    ("port", LONG, TypeError),
    ("debug", LONG, TypeError),
    ("host", LONG + "\0", ValueError),
    ("host", LONG, BindError),
    ("server_header", LONG + "\n", ValueError),
    ("subprotocols", [LONG + " "], ValueError),
    ("subprotocols", LONG, TypeError),
    ("origins", [LONG + " "], ValueError),
    ("compression", LONG, ValueError),
    ("max_message_size", -(10**3000), ValueError),
    ("open_timeout", 10**400, OverflowError),
    ("tls", LONG, ValueError),
    ("tls", [LONG], TypeError),
    ("on_text", LONG, TypeError),
    ("on_text", [LONG], TypeError),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG_AND_LONG)
def test_a_long_value_is_shown_by_its_ends(name: str, value: object, error: type[Exception]) -> None:
    options: dict[str, Any] = {"port": 0, "host": "127.0.0.1"} | {name: value}
    with pytest.raises(error) as caught:
        EchoServer(**options)
    text = str(caught.value)
    assert f"{name}=" in text
    assert "..." in text
    assert len(text) < 300


@pytest.mark.parametrize("name", ["port", "host", "open_timeout", "origins", "tls", "compression", "on_text", "debug"])
def test_a_value_that_has_no_repr_is_shown_all_the_same(name: str) -> None:
    options: dict[str, Any] = {"port": 0, "host": "127.0.0.1"} | {name: Mute()}
    if name == "on_text":
        # It can be called, so it is given twice here.
        with pytest.raises(TypeError, match=r"^on_text=<Mute whose repr\(\) raises LookupError>: Both has a method"):
            Both(**options)
        return
    with pytest.raises(TypeError, match=rf"^{name}=<Mute whose repr\(\) raises LookupError>: must be "):
        EchoServer(**options)


def test_a_number_that_python_does_not_write_is_shown_all_the_same() -> None:
    with pytest.raises(OverflowError, match=r"^workers=<int whose repr\(\) raises ValueError>: is more than"):
        EchoServer(0, workers=10**5000)


@pytest.mark.parametrize(
    ("name", "value", "item", "error"),
    [
        ("subprotocols", ["ok", 5], 5, TypeError),
        ("subprotocols", ["ok", None], None, TypeError),
        ("subprotocols", [""], "", ValueError),
        ("subprotocols", ["a b"], "a b", ValueError),
        ("subprotocols", ["a,b"], "a,b", ValueError),
        ("origins", [5], 5, TypeError),
        ("origins", [""], "", ValueError),
        ("origins", ["a b"], "a b", ValueError),
        ("origins", ["a\r\nb"], "a\r\nb", ValueError),
    ],
)
def test_a_wrong_item_is_named(name: str, value: list[Any], item: object, error: type[Exception]) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(error) as caught:
        EchoServer(0, host="127.0.0.1", **options)
    assert str(caught.value).startswith(f"{name}={item!r}")


@pytest.mark.parametrize(
    "options",
    [
        {"max_message_size": 1},
        {"memory_limit": 1},
        {"max_send_queue": 0},
        {"max_connections": 1},
        {"workers": 1},
        {"workers": 7},
        {"close_timeout": 0},
        {"open_timeout": 0.001},
        {"idle_timeout": 86400},
        {"subprotocols": ("a", "b")},
        {"subprotocols": iter(["a"])},
        {"subprotocols": {"a"}},
        {"origins": []},
        {"origins": [None, "null", "https://example.org"]},
        {"server_header": ""},
        {"server_header": "mine/1.0 (test)"},
        {"on_text": print},
    ],
)
def test_the_limits_of_what_is_right_are_accepted(listen: Listen, options: dict[str, Any]) -> None:
    listen(**options).start().stop()


def test_a_host_with_nul_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"host='a\\0b'"):
        EchoServer(0, host="a\0b")


def test_an_unknown_keyword_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="ports"):
        EchoServer(ports=1)  # type: ignore[call-arg]


def test_options_are_keywords_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        EchoServer(0, False, None, "127.0.0.1")  # type: ignore[call-arg]


def test_the_defaults_of_the_signature_are_those_of_the_core() -> None:
    parameters = inspect.signature(EchoServer).parameters
    others = {"debug", "echo", "parent", *_core.CALLBACKS}
    assert {name: one.default for name, one in parameters.items() if name not in others} == _core.DEFAULTS


def test_every_callback_is_a_keyword_and_known_to_type_checkers() -> None:
    callbacks = sorted(_core.CALLBACKS)
    assert sorted(name for name in inspect.signature(EchoServer).parameters if name.startswith("on_")) == callbacks
    # An attribute for mypy, and a method for pyright.
    nodes = list(ast.walk(ast.parse(inspect.getsource(attributes))))
    fields = [node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    methods = [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("on_")]
    assert sorted(fields) == sorted(methods) == callbacks


def test_parent_is_kept(listen: Listen) -> None:
    parent = object()
    assert listen(parent=parent).parent is parent
    assert listen().parent is None


@pytest.mark.parametrize(
    "use",
    ["serve", "start", "stop", "wait_closed", "stats", "port", "url", "address", "is_serving", "debug", "clients"],
)
def test_a_method_before_the_base_constructor_says_so(use: str) -> None:
    class Early(EchoServer):
        def __init__(self) -> None:
            value = getattr(self, use)
            if callable(value):
                value()

    with pytest.raises(RuntimeError, match=r"Early: .*super\(\)\.__init__"):
        Early()


def test_the_repr_before_the_base_constructor_says_so() -> None:
    class Early(EchoServer):
        def __init__(self) -> None:
            self.text = repr(self)

    assert "super().__init__" in Early().text


def test_a_subclass_may_have_any_constructor() -> None:
    class Named(EchoServer):
        def __init__(self, name: str, *, loud: bool) -> None:
            super().__init__(0, host="127.0.0.1")
            self.name, self.loud = name, loud

    with Named("x", loud=True) as server:
        assert (server.name, server.loud) == ("x", True)
