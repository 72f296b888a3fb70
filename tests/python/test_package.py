"""The names that the package exports, and what they say of themselves."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import pydoc
import re
from importlib import metadata
from inspect import ismodule
from typing import TYPE_CHECKING, Any

import pytest

import echoserver
from echoserver import (
    NO_REPLY,
    Accept,
    Client,
    EchoServer,
    EchoServerError,
    Request,
    Response,
    Stats,
    _core,
    exceptions,
    types,
)
from support import connect

if TYPE_CHECKING:
    from conftest import Listen


def test_all_is_what_there_is() -> None:
    # Submodules are seen once something has imported them.
    names = {name for name in dir(echoserver) if not name.startswith("_") and name != "TYPE_CHECKING"}
    public = {name for name in names if not ismodule(getattr(echoserver, name))}
    assert public == {name for name in echoserver.__all__ if name != "__version__"}


def test_the_version_is_that_of_the_distribution() -> None:
    assert echoserver.__version__ == metadata.version("echoserver")


@pytest.mark.parametrize("name", echoserver.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    # What stands for a type expression has its words in the source.
    if name != "__version__" and name not in types.__all__:
        assert getattr(echoserver, name).__doc__


@pytest.mark.parametrize("cls", [EchoServer, Client, Request, Response, Accept])
def test_every_public_member_is_documented(cls: type) -> None:
    for name, member in vars(cls).items():
        # A callback that is not there is explained with the arguments.
        if not name.startswith("_") and member is not None:
            assert pydoc.getdoc(member), name


def test_help_of_the_server_explains_every_argument() -> None:
    text = pydoc.render_doc(EchoServer, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    for name in [*_core.DEFAULTS, *_core.CALLBACKS, "debug", "echo", "parent"]:
        assert re.search(rf"^ \|  - .*`{name}", text, re.MULTILINE) or f"`{name}(" in text, name


@pytest.mark.parametrize(
    ("name", "builtin"),
    {
        "BindError": OSError,
        "SendQueueFull": BufferError,
        "ClientClosed": ConnectionError,
    }.items(),
)
def test_each_exception_is_ours_and_one_that_python_programmers_catch(name: str, builtin: type[Exception]) -> None:
    error = getattr(exceptions, name)
    assert issubclass(error, EchoServerError)
    assert issubclass(error, builtin)
    assert name in exceptions.__all__


def test_the_repr_of_a_server_says_where_it_is_and_what_it_does(listen: Listen) -> None:
    class Mine(EchoServer):
        pass

    server = listen()
    assert repr(server) == f"<EchoServer {server.url} listening, not started>"
    server.start()
    assert repr(server) == f"<EchoServer {server.url} serving, clients=0>"
    with connect(server.url):
        assert repr(server) == f"<EchoServer {server.url} serving, clients=1>"
    server.stop()
    assert repr(server) == f"<EchoServer {server.url} stopped>"
    mine = Mine(0, host="127.0.0.1")
    mine.stop()
    assert repr(mine).startswith("<Mine ws://")


def test_stats_are_frozen_and_their_repr_names_every_counter(server: EchoServer) -> None:
    stats = server.stats()
    field: Any
    for field in dataclasses.fields(Stats):
        assert isinstance(getattr(stats, field.name), int)
        assert f"{field.name}=" in repr(stats)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.messages_sent = 5  # type: ignore[misc]


def test_no_reply_is_one_object() -> None:
    assert repr(NO_REPLY) == "NO_REPLY"
    assert copy.copy(NO_REPLY) is copy.deepcopy(NO_REPLY) is pickle.loads(pickle.dumps(NO_REPLY)) is NO_REPLY


@pytest.mark.parametrize("cls", [Client, Request])
def test_what_the_server_makes_is_not_made_by_hand(cls: type) -> None:
    with pytest.raises(TypeError):
        cls()
