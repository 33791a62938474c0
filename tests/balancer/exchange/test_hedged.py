from __future__ import annotations

import gc
from typing import Any

import pytest

from balancer import errors
from balancer.admission.aliases import parse_rules
from balancer.exchange.exchange import Exchange
from balancer.exchange.first_tokens import LEAST, FirstTokens
from balancer.exchange.hedged import Hedged
from balancer.exchange.timeline import Limits
from tests.fakes import FakeCall, Hall, RecordingSink

BROKEN = errors.backend_failed("x", "connection reset")


def hall_of(*backends: str, late_s: float = 1.0, **changes: Any) -> Hall:
    """Backends ``a`` and ``b`` unless told otherwise; a first token is late after a second."""
    hall = Hall(**changes)
    hall.dispatcher.hedging = first_tokens = FirstTokens()
    for _ in range(LEAST):
        first_tokens.learn("m", late_s)
    for name in backends or ("a", "b"):
        hall.join(name)
    return hall


def late(hall: Hall, seconds: float = 1.25, **changes: Any) -> tuple[Exchange, RecordingSink]:
    """A request whose backend says nothing for so long."""
    exchange, sink = hall.ask(**changes)
    assert exchange is not None
    hall.pass_time(seconds)
    return exchange, sink


def both(hall: Hall) -> tuple[FakeCall, FakeCall]:
    first, second = hall.calls
    assert first.running and second.running and first.backend != second.backend
    return first, second


def counts(hall: Hall) -> tuple[int, int, int]:
    found = hall.dispatcher.counts
    return found["hedges"], found["hedges_won"], found["hedges_refused"]


def check_settled(hall: Hall) -> None:
    assert hall.in_flight() == 0 and hall.dispatcher.active == 0 and not hall.upstream.running


def test_without_the_option_nobody_is_asked_twice() -> None:
    hall = hall_of()
    hall.dispatcher.hedging = None
    late(hall, 20.0)
    assert len(hall.calls) == 1


def test_one_that_is_in_time_is_left_alone_and_teaches() -> None:
    hall = hall_of()
    _, sink = late(hall, 0.75)
    hall.calls[0].answer("x")
    hall.pass_time(5.0)
    assert sink.text == "x" and len(hall.calls) == 1 and counts(hall) == (0, 0, 0)


def test_the_second_answers_if_it_is_first_and_the_first_is_cancelled() -> None:
    hall = hall_of()
    exchange, sink = late(hall)
    first, second = both(hall)
    second.say("x")
    assert first.cancelled and hall.in_flight() == 1
    second.finish()
    assert sink.text == "x" and sink.outcome is not None
    assert (sink.outcome.backend, sink.outcome.attempts) == (second.backend, 2)
    assert sink.openings[0].backend == second.backend and exchange.attempts == 2
    assert counts(hall) == (1, 1, 0) and hall.dispatcher.counts["attempts_failed"] == 0
    check_settled(hall)


def test_the_first_answers_if_it_is_first_and_the_second_is_cancelled() -> None:
    hall = hall_of()
    _, sink = late(hall)
    first, second = both(hall)
    first.say("x")
    assert second.cancelled and hall.in_flight() == 1
    first.finish()
    assert sink.outcome is not None and sink.outcome.backend == first.backend
    assert counts(hall) == (1, 0, 0)
    check_settled(hall)


def test_a_comment_wins_nothing() -> None:
    hall = hall_of()
    _, sink = late(hall)
    first, second = both(hall)
    second.send(b": still here\n\n")
    assert first.running and not sink.openings
    first.answer("x")
    assert sink.text == "x"
    check_settled(hall)


def test_there_is_one_second_attempt_and_no_third() -> None:
    hall = hall_of("a", "b", "c")
    late(hall, 30.0)
    assert len(hall.calls) == 2


def test_when_the_first_fails_the_second_is_its_retry() -> None:
    hall = hall_of("a", "b", "c")
    _, sink = late(hall)
    first, second = both(hall)
    first.fail(BROKEN)
    assert len(hall.calls) == 2 and hall.in_flight() == 1 and hall.dispatcher.counts["retries"] == 0
    second.answer("x")
    assert sink.outcome is not None and sink.outcome.backend == second.backend
    assert hall.dispatcher.counts["attempts_failed"] == 1
    check_settled(hall)


@pytest.mark.parametrize("failure", [BROKEN, errors.backend_busy("b", 1.0), errors.backend_lost("b")])
def test_when_the_second_fails_the_first_goes_on(failure: errors.Failure) -> None:
    hall = hall_of()
    _, sink = late(hall)
    first, second = both(hall)
    second.fail(failure)
    assert hall.in_flight() == 1 and not sink.endings
    first.answer("x")
    assert sink.text == "x"
    check_settled(hall)


def test_when_both_fail_the_client_is_told() -> None:
    hall = hall_of()
    _, sink = late(hall)
    first, second = both(hall)
    second.fail(BROKEN)
    first.fail(BROKEN)
    assert sink.code == "backend_failed"
    check_settled(hall)


@pytest.mark.parametrize("lost", ["first", "second"])
def test_a_backend_that_dies_leaves_the_other(lost: str) -> None:
    hall = hall_of()
    _, sink = late(hall)
    first, second = both(hall)
    gone, other = (first, second) if lost == "first" else (second, first)
    hall.leave(gone.backend)
    assert gone.cancelled and other.running and len(hall.calls) == 2
    other.answer("x")
    assert sink.text == "x"
    check_settled(hall)


def test_what_the_second_says_is_read_as_any_answer() -> None:
    hall = hall_of()
    _, sink = late(hall)
    first, second = both(hall)
    sink.refuses = "no chunk"
    second.send(b"data: {}\n\n")
    assert first.cancelled and second.cancelled
    sink.refuses = None
    hall.pass_time(0.25)
    for call in hall.upstream.running:
        call.answer("x")
    assert sink.endings == 1
    check_settled(hall)


def test_an_answer_of_the_second_that_breaks_is_resumed_as_any() -> None:
    hall = hall_of()
    _, sink = late(hall)
    first, second = both(hall)
    second.say("half")
    second.fail(BROKEN)
    resumed = hall.calls[-1]
    assert resumed.backend == first.backend and resumed is not first
    resumed.answer(" done")
    assert sink.text == "half done"
    check_settled(hall)


def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    hall = hall_of()
    exchange, _ = late(hall)
    exchange.cancel()
    assert all(call.cancelled for call in hall.calls)
    check_settled(hall)


def test_a_deadline_ends_both() -> None:
    hall = hall_of(limits=Limits(request_s=5.0))
    _, sink = late(hall, 6.0)
    assert sink.code == "deadline_passed" and all(call.cancelled for call in hall.calls)
    check_settled(hall)


def test_a_client_that_does_not_read_holds_back_whoever_answers() -> None:
    hall = hall_of()
    exchange, _ = late(hall)
    exchange.pause()
    second = both(hall)[1]
    second.say("x")
    assert second.paused
    exchange.resume()
    assert not second.paused


def test_nobody_is_asked_twice_while_others_wait() -> None:
    hall = hall_of("a", "b")
    hall.join("c", model="n", slots=1)
    hall.ask(model="n")
    hall.ask(model="n")
    late(hall, 20.0, model="m")
    assert len(hall.queue) == 1 and counts(hall) == (0, 0, 0)


def test_only_so_many_as_the_budget_has() -> None:
    hall = hall_of()
    for _ in range(4):
        hall.ask()
    hall.pass_time(1.5)
    assert counts(hall) == (3, 0, 1) and hall.in_flight() == 7


def test_a_backend_alone_has_no_rival() -> None:
    hall = hall_of("a")
    late(hall, 20.0)
    assert len(hall.calls) == 1


@pytest.mark.parametrize("changes", [{"stream": False}, {"endpoint": "responses"}])
def test_what_shows_no_first_token_or_may_not_be_asked_twice_is_not(changes: dict[str, Any]) -> None:
    hall = hall_of()
    hall.join("c", endpoints=frozenset({"responses", "completions"}))
    hall.join("d", endpoints=frozenset({"responses", "completions"}))
    late(hall, 20.0, **changes)
    assert len(hall.calls) == 1


def test_a_fallback_is_hedged_by_its_own_models_time() -> None:
    hall = hall_of()
    hall.dispatcher.rules = parse_rules({"big": {"fallback": "m"}})
    _, sink = late(hall, model="big")
    both(hall)[1].answer("x")
    assert sink.openings[0].model == "m" and sink.outcome is not None and sink.outcome.model == "m"
    check_settled(hall)


def test_times_are_learned_also_of_those_nobody_waited_for() -> None:
    hall = hall_of(late_s=0.5)
    first_tokens = hall.dispatcher.hedging
    assert first_tokens is not None
    for _ in range(60):
        exchange, _ = hall.ask()
        assert isinstance(exchange, Hedged)
        hall.pass_time(4.0)
        hall.upstream.running[-1].answer("x")
    late_s = first_tokens.late_after_s("m")
    assert late_s is not None and late_s >= 3.0, "a budget that refuses most leaves the slow ones to be waited for"


@pytest.mark.parametrize("winner", [0, 1])
def test_nothing_is_left_to_the_garbage_collector(winner: int) -> None:
    hall = hall_of()
    gc.collect()
    gc.disable()
    try:
        late(hall)
        call = both(hall)[winner]
        hall.calls.clear()
        call.answer("x")
        del call
        assert gc.collect() == 0
    finally:
        gc.enable()
    check_settled(hall)
