"""What each client must get back: random conversations against an oracle. `conversations.py` runs fresh ones."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import conversations
from conversation_plan import ENDS, RESULTS, RUNNERS, SENDS, WAITS, Content, Message, Outcome, Person, Plan, parse

SEEDS = range(1, 201)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_client_gets_its_replies_in_order_and_once(seed: int) -> None:
    assert conversations.hold(seed) == []


def test_all_kinds_of_servers_and_clients_are_among_them() -> None:
    plans = [Plan(seed) for seed in SEEDS]
    assert {plan.runner for plan in plans} == set(RUNNERS if find_spec("uvloop") else RUNNERS[:-1])
    for what in ("has_tls", "has_deflate", "memory_limit", "stops_after", "is_interrupted"):
        assert 0 < sum(bool(getattr(plan, what)) for plan in plans) < len(SEEDS) / 2, what
    messages = [message for plan in plans for person in plan.people for message in person.messages]
    assert {step for message in messages for step in message.steps} == {
        "work",
        *ENDS,
        *WAITS,
        *SENDS,
    }
    assert {message.result for message in messages} == {"cancel", *RESULTS}


def test_the_oracle_says_what_a_reader_would() -> None:
    messages = (
        Message(0, True, (), "echo", 0),
        Message(1, True, ("send", "work"), "short", 2),
        Message(2, False, (), "short", 0),
        Message(3, True, (), "cancel", 0),
        Message(4, True, (), "raise", 0),
        Message(5, True, ("send_binary", "close"), "short", 0),
        Message(6, False, (), "short", 0),
    )
    plan = Plan(1)
    plan.kinds = {"on_text": "async", "on_binary": None, "on_connect": "plain", "on_handshake": None}
    plan.greets = True
    person = Person(0, messages, ((7, 0),), has_deflate=False, is_hasty=False, seed=1)
    received: list[Content] = ["welcome", "0  echo ", "1/0", "1", b"2  short ", b"5/0"]
    assert plan.expected(person) == Outcome(received, [0, 1, 3, 4, 5], errors=1, code=4001)


def test_a_message_of_a_conversation_is_read_as_it_was_written() -> None:
    message = Message(7, False, ("sleep1", "send"), "long", 3)
    assert parse(message.content) == message
