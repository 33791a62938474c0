from __future__ import annotations

import pytest

from balancer.cache.entry import entry_for
from balancer.cache.keys import derive
from balancer.cache.store import Hit
from balancer.errors import Source
from balancer.exchange.state import State
from balancer.exchange.timeline import Limits, Timeline
from balancer.request import Request
from tests.balancer.pool.specs import a_spec

LIMITS = Limits(first_token_s=10.0, between_tokens_s=3.0)


def a_timeline() -> Timeline:
    times = Timeline(began_at=100.0, ends_at=160.0)
    times.asked(102.0)
    times.answers(104.0)
    times.heard_at = 105.0
    return times


@pytest.mark.parametrize(
    ("state", "now", "owes"),
    [
        (State.ASKING, 111.9, None),
        (State.ASKING, 112.0, "first token"),
        (State.STREAMING, 107.9, None),
        (State.STREAMING, 108.0, "further token"),
        (State.QUEUED, 1000.0, None),
    ],
)
def test_a_backend_is_late_by_the_state_of_the_exchange(state: State, now: float, owes: str | None) -> None:
    late = a_timeline().backend_late(state, "gpu", LIMITS, Request("id", "t", "chat", {}, 0), now)
    assert (late.message if late else None) == (
        owes and f"backend gpu gave no {owes} within {10 if owes == 'first token' else 3} s"
    )


def test_the_deadline_is_told_as_the_time_the_client_gave() -> None:
    assert a_timeline().deadline_passed().message == "not done within 60 s"


def test_an_outcome_counts_from_the_arrival() -> None:
    outcome = a_timeline().answered(a_spec("gpu"), "m", "miss", 2, 1, 109.0)
    assert (outcome.queue_s, outcome.ttft_s, outcome.total_s) == (2.0, 4.0, 9.0)
    assert (outcome.backend, outcome.attempts, outcome.resumed, outcome.entry) == ("gpu", 2, 1, None)


def test_a_cached_outcome_names_the_backend_that_made_it_and_took_no_attempt() -> None:
    keys = derive({"prompt": "hello"}, tenant="t", model="m", endpoint="completions")
    entry = entry_for(
        keys,
        text="hi",
        finish_reason="stop",
        answered_by="m",
        backend="gpu",
        prompt_tokens=1,
        completion_tokens=1,
        now=90.0,
    )
    outcome = Timeline(100.0, 160.0).cached("m", Hit("semantic", entry, 0.97, 0.99), 101.0)
    assert (outcome.backend, outcome.cache, outcome.similarity, outcome.age_s) == ("gpu", "semantic", 0.97, 11.0)
    assert outcome.probability == 0.99
    assert (outcome.attempts, outcome.entry) == (0, entry.id)


def test_a_request_may_be_stricter_than_the_operator_but_not_looser() -> None:
    request = Request("id", "t", "chat", {}, 0, first_token_s=4.0, between_tokens_s=60.0)
    assert LIMITS.of(request) == Limits(first_token_s=4.0, between_tokens_s=3.0)
    assert LIMITS.of(Request("id", "t", "chat", {}, 0)) is LIMITS


def test_the_first_token_is_the_first_that_the_client_saw_whoever_goes_on() -> None:
    times = Timeline(100.0, 200.0)
    times.asked(101.0)
    times.answers(103.0)
    times.asked(110.0)
    times.answers(112.0)
    assert (times.leased_at, times.first_at) == (101.0, 103.0)
    assert (times.asked_at, times.answered_at) == (110.0, 112.0)


def test_the_pace_is_the_backends_own_or_not_told() -> None:
    times = Timeline(100.0, 200.0)
    times.asked(101.0)
    times.answers(102.0)
    times.heard_at, times.pieces = 106.0, 5
    assert times.pace() == (1.0, 1.0)
    times.client_slow = True
    assert times.pace() == (1.0, None)
    times.pieces = 1
    assert times.pace() == (None, None)


def test_an_answer_in_one_piece_may_take_its_time_unless_the_request_says_otherwise() -> None:
    times, whole = a_timeline(), Request("id", "t", "chat", {}, 0, stream=False)
    assert times.backend_late(State.ASKING, "gpu", LIMITS, whole, 1000.0) is None
    hasty = Request("id", "t", "chat", {}, 0, stream=False, first_token_s=1.0)
    late = times.backend_late(State.ASKING, "gpu", LIMITS, hasty, 1000.0)
    assert late is not None and late.source is Source.BACKEND


def test_who_gave_nothing_until_the_end_is_blamed_if_it_had_time_enough() -> None:
    times = a_timeline()
    assert times.silent(State.ASKING, "gpu", LIMITS, times.asked_at + LIMITS.first_token_s - 0.1) is None
    assert times.silent(State.STREAMING, "gpu", LIMITS, 1000.0) is None
    silent = times.silent(State.ASKING, "gpu", LIMITS, times.asked_at + LIMITS.first_token_s)
    assert silent is not None and silent.source is Source.BACKEND


@pytest.mark.parametrize(("state", "now"), [(State.ASKING, 106.0), (State.STREAMING, 106.0)])
def test_what_is_late_for_the_client_alone_is_not_the_backends_fault(state: State, now: float) -> None:
    request = Request("id", "t", "chat", {}, 0, first_token_s=4.0, between_tokens_s=1.0)
    late = a_timeline().backend_late(state, "gpu", LIMITS, request, now)
    assert late is not None and late.source is Source.CLIENT and late.retryable
    late = a_timeline().backend_late(state, "gpu", LIMITS, request, 200.0)
    assert late is not None and late.source is Source.BACKEND
