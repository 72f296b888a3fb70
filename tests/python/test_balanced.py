"""Real replicas behind real balancers, with clients that talk all the time: restarted one after the other, and killed.

What is claimed is an account: a server echoes all that it has read before its close frame, so of what a client has sent
the first messages are answered, and exactly those behind that, k of them, are not. The line that the server logs of the
connection says how many it has read, and so does k.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from balancers import HAProxy, Nginx, Replica
from certificates import Authority
from fleet import WINDOW, Fleet, Talk
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no port can be shared there")

CLIENTS = 12
# Nobody is cut off, however busy this machine is.
DRAIN = ("--drain-delay=0.5", "--drain-spread=0.3", "--close-timeout=60")
PROXIED = "--proxy-from=127.0.0.1"
# What HAProxy says before a check of its own, so that a test may ask, too.
UNKNOWN = b"PROXY UNKNOWN\r\n"


@contextmanager
def service(folder: Path, *options: str) -> Iterator[tuple[HAProxy, list[Replica]]]:
    """Three replicas behind a balancer."""
    with ExitStack() as stack:
        replicas = [stack.enter_context(Replica(name, folder, PROXIED, *options)) for name in "abc"]
        yield stack.enter_context(HAProxy(folder, *replicas)), replicas


def ended(replicas: list[Replica]) -> list[dict[str, Any]]:
    """The lines of the connections that have ended."""
    return [line for replica in replicas for line in replica.lines() if line["event"] == "disconnected"]


def balance(fleet: Fleet, replicas: list[Replica]) -> dict[str, Talk]:
    """The talks whose end a server has logged, by path, after a comparison of both accounts."""
    assert not fleet.wrong
    lines = ended(replicas)
    ends = {line["path"]: line for line in lines}
    talks = {talk.path: talk for talk in fleet.talks if talk.path in ends}
    # Nobody was logged twice, and nobody who was not there.
    assert len(talks) == len(ends) == len(lines)
    for path, talk in talks.items():
        end = ends[path]
        assert end["messages_received"] == end["messages_sent"] == talk.answered, (talk, end)
        assert end["code"] == talk.code, (talk, end)
        assert 0 <= talk.lost <= WINDOW
    return talks


def has_all(fleet: Fleet, replica: Replica, first: bytes = b"") -> None:
    """The counters of a replica whose clients have all left agree with theirs."""
    eventually(lambda: replica.metrics(first)["echoserver_connections_open"][""] == 0)
    seen = replica.metrics(first)
    answered = sum(talk.answered for talk in fleet.talks if talk.server == replica.life)
    assert sum(seen["echoserver_messages_received_total"].values()) == answered
    assert seen["echoserver_messages_sent_total"] == seen["echoserver_messages_received_total"]


def tell(fleet: Fleet) -> None:
    """Shows what was lost, with `pytest -rP`."""
    lost = Counter(talk.lost for talk in fleet.talks if talk.code == 1001)
    print(sum(talk.sent for talk in fleet.talks), "messages; 1001 with the last k unanswered, k:", sorted(lost.items()))
    print("who had to come once more:", fleet.refused)


# It starts six servers, three of them one after the other, on a machine that may be busy.
@pytest.mark.timeout(180)
def test_a_rolling_restart_loses_what_no_server_has_read_and_nothing_else(tmp_path: Path) -> None:
    with service(tmp_path, *DRAIN) as (balancer, replicas):
        with Fleet(balancer.url, CLIENTS) as fleet:
            for replica in replicas:
                balancer.expect(replica, "UP")
                replica.stop()
                balancer.expect(replica, "DOWN")
                fleet.is_served()
                replica.start()
                balancer.expect(replica, "UP")
                fleet.is_served()
        for replica in replicas:
            has_all(fleet, replica, UNKNOWN)
    talks = balance(fleet, replicas)
    assert len(talks) == len(fleet.talks)
    tell(fleet)
    for talk in fleet.talks:
        is_first = talk.server.endswith("-1")
        assert talk.code == (1001 if is_first else 1000), talk
        assert is_first or not talk.lost, talk
    # The balancer said who they are.
    lines = ended(replicas)
    assert {line["path"]: line["peer"] for line in lines} == {talk.path: talk.address for talk in fleet.talks}
    assert all(line["proxied_by"].startswith("127.0.0.1:") for line in lines)
    # Nobody was missed: each began at a server that was stopped, and ended at one that was not.
    ways = {number: [talk.server for talk in fleet.talks if talk.client == number] for number in range(CLIENTS)}
    assert all(way[0].endswith("-1") and way[-1].endswith("-2") for way in ways.values()), ways


def test_a_killed_replica_breaks_its_own_connections_only(tmp_path: Path) -> None:
    with service(tmp_path) as (balancer, replicas):
        with Fleet(balancer.url, CLIENTS) as fleet:
            began = {talk.path for talk in fleet.talks}
            killed, *others = replicas
            killed.kill()
            balancer.expect(killed, "DOWN")
            fleet.is_served()
        for replica in others:
            has_all(fleet, replica, UNKNOWN)
    talks = balance(fleet, others)
    broken = [talk for talk in fleet.talks if talk.path not in talks]
    assert {talk.server for talk in fleet.talks} == {"a-1", "b-1", "c-1"}
    assert {talk.server for talk in broken} == {"a-1"}
    assert {talk.code for talk in broken} == {1006}
    assert {talk.code for talk in talks.values()} == {1000}
    assert not any(talk.lost for talk in talks.values())
    # Who was elsewhere stayed there, and who was not came back once.
    assert len(fleet.talks) == CLIENTS + len(broken)
    assert len(began) == CLIENTS


def test_behind_nginx_with_tls_it_is_the_same(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Replica("a", tmp_path, DRAIN[-1]) as replica, Nginx(tmp_path, replica, *authority.issue("front")) as balancer:
        with Fleet(balancer.url, 6, authority.context()) as fleet:
            replica.stop()
            replica.start()
            fleet.is_served()
        has_all(fleet, replica)
    talks = balance(fleet, [replica])
    tell(fleet)
    assert len(talks) == len(fleet.talks) == 12
    assert {talk.server: talk.code for talk in fleet.talks} == {"a-1": 1001, "a-2": 1000}
