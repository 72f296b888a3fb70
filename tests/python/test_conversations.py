"""What each client must get back: random conversations against an oracle. `conversations.py` runs fresh ones."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import conversations
from conversation_plan import (
    CLOSE_CODE,
    ENDS,
    HURRIED_STOP,
    RESULTS,
    RUNNERS,
    SENDS,
    STOP,
    WAITS,
    Content,
    Message,
    Outcome,
    Person,
    Plan,
    parse,
)

SEEDS = range(1, 201)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_client_gets_its_replies_in_order_and_once(seed: int) -> None:
    assert conversations.hold(seed) == []


def test_all_kinds_of_servers_and_clients_are_among_them() -> None:
    plans = [Plan(seed) for seed in SEEDS]
    assert {plan.runner for plan in plans} == set(RUNNERS if find_spec("uvloop") else RUNNERS[:-1])
    for what in ("has_tls", "has_deflate", "memory_limit", "stops_after", "is_interrupted"):
        assert 0 < sum(bool(getattr(plan, what)) for plan in plans) < len(SEEDS) / 2, what
    assert any(plan.has_deflate and plan.memory_limit for plan in plans)
    assert {plan.stop_timeout for plan in plans if plan.stops_after is not None} == {STOP, HURRIED_STOP}
    codes = [plan.expected(person).code for plan in plans for person in plan.people if person.is_hasty]
    assert set(codes) == {1000, 1006, CLOSE_CODE}
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


def verdict(second: str, outcome: Outcome, *, is_hasty: bool) -> list[str]:
    """What is wrong with the outcome of two messages, of which the second is answered so, beside a stop."""
    plan = Plan(1)
    plan.kinds.update(dict.fromkeys(plan.kinds, "plain"))
    plan.memory_limit, plan.stops_after, plan.greets = None, 1, False
    messages = (Message(0, True, (), "short", 0), Message(1, True, (), second, 0))
    plan.people = [Person(0, messages, ((2, 0),), has_deflate=False, is_hasty=is_hasty, seed=1)]
    conversation = conversations.Conversation(plan)
    conversation.outcomes[0] = outcome
    conversation.judge(plan.people[0])
    return conversation.wrong


def test_answers_may_be_missing_only_when_half_of_a_stops_time_is_over() -> None:
    def wrong(code: int, received: list[Content], *, is_late: bool) -> list[str]:
        return verdict("short", Outcome(received, [0, 1], code=code, is_late=is_late), is_hasty=True)

    assert wrong(1000, ["0", "1"], is_late=False) == []
    assert wrong(1000, ["0"], is_late=True) == []
    assert wrong(1001, ["0"], is_late=False) == []
    assert wrong(1000, ["0"], is_late=False)
    assert wrong(1000, ["1"], is_late=True)
    assert wrong(1013, ["0"], is_late=True)


def test_callbacks_that_answer_nothing_may_be_missing_then_too() -> None:
    for is_late in (True, False):
        outcome = Outcome(["0"], [0], code=1000, is_late=is_late)
        assert (verdict("nothing", outcome, is_hasty=False) == []) is is_late


def test_if_both_sides_close_the_first_close_counts() -> None:
    plan = Plan(1)
    plan.kinds.update(dict.fromkeys(plan.kinds, "plain"))
    for end, codes in (("close", {1000, CLOSE_CODE}), ("abort", {1006})):
        messages = (Message(0, True, ("send", end), "short", 0), Message(1, True, (), "short", 0))
        person = Person(0, messages, ((2, 0),), has_deflate=False, is_hasty=True, seed=1)
        assert plan.codes(person) == codes
        assert plan.expected(person).calls == [0]


def test_a_message_of_a_conversation_is_read_as_it_was_written() -> None:
    message = Message(7, False, ("sleep1", "send"), "long", 3)
    assert parse(message.content) == message
