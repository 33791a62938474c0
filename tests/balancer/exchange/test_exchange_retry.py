"""Stories of one request: what happens before the first byte, and who is asked then."""

from __future__ import annotations

from balancer import errors
from balancer.exchange.timeline import Limits
from tests.balancer.exchange.stories import BROKEN, UNREACHABLE, busy, two_backends
from tests.fakes import Hall


def test_a_busy_backend_is_left_for_another_and_nobody_is_blamed() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    hall.calls[0].fail(busy())
    first, second = hall.calls
    assert {first.backend, second.backend} == {"a", "b"}
    second.answer("x")
    assert sink.outcome is not None
    assert sink.outcome.attempts == 1
    assert hall.dispatcher.counts["attempts_failed"] == 0
    assert hall.dispatcher.counts["attempts_busy"] == 1


def test_when_all_are_busy_the_request_waits_and_asks_again_after_a_while() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    hall.calls[0].fail(busy(0.5))
    hall.calls[1].fail(busy(0.5))
    assert len(hall.calls) == 2
    assert sink.positions == [1]
    assert hall.in_flight() == 0
    hall.pass_time(1.0)
    assert len(hall.calls) == 3
    hall.calls[2].answer("x")
    assert sink.text == "x"


def test_backends_that_stay_busy_do_not_begin_the_wait_anew() -> None:
    hall = Hall(limits=Limits(queue_s=5.0))
    hall.join("a", slots=1)
    _, sink = hall.ask()
    for _ in range(20):
        for call in hall.upstream.running:
            call.fail(busy())
        hall.pass_time(0.5)
    assert sink.code == "backend_busy", "what it said last would have it wait for too long"
    assert len(hall.calls) <= 6
    assert hall.in_flight() == 0


def test_one_that_will_be_busy_for_longer_than_a_request_may_wait_is_not_asked_again() -> None:
    hall = Hall(limits=Limits(queue_s=5.0))
    hall.join("a")
    _, sink = hall.ask()
    hall.calls[0].fail(errors.backend_busy("a", 3600.0, "insufficient quota"))
    assert sink.failure is not None and (sink.failure.status, sink.failure.retry_after_s) == (429, 3600.0)
    assert "insufficient quota" in sink.failure.message and "quota" not in sink.failure.logged
    assert len(hall.calls) == 1 and hall.dispatcher.active == hall.in_flight() == 0


def test_one_that_never_gives_a_whole_answer_is_ejected() -> None:
    hall = Hall(limits=Limits(first_token_s=10.0, request_s=20.0))
    hall.join("dead")
    hall.join("well")
    codes = []
    for _ in range(30):
        _, sink = hall.ask(stream=False)
        call = hall.calls[-1]
        if call.backend == "well":
            call.answer("x")
        else:
            hall.pass_time(21.0)
        codes.append(sink.code)
    assert codes.count("deadline_passed") == 5 and codes[-10:] == [None] * 10


def test_while_one_is_busy_for_long_another_one_answers() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    hall.calls[0].fail(errors.backend_busy("x", 3600.0))
    hall.calls[1].answer("x")
    assert sink.text == "x" and hall.calls[0].backend != hall.calls[1].backend


def test_a_refused_connection_costs_one_extra_attempt_and_the_client_sees_one_success() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    hall.calls[0].fail(UNREACHABLE)
    hall.calls[1].answer("x")
    assert sink.text == "x"
    assert sink.outcome is not None and sink.outcome.attempts == 2
    assert [call.backend for call in hall.calls] in (["a", "b"], ["b", "a"])
    assert hall.in_flight() == 0


def test_a_failure_before_the_first_byte_is_retried_twice_and_never_on_the_same_backend() -> None:
    hall = two_backends()
    hall.join("c")
    hall.join("d")
    _, sink = hall.ask()
    hall.calls[0].fail(BROKEN)
    hall.calls[1].fail(BROKEN)
    hall.calls[2].fail(errors.backend_failed("y", "again"))
    assert len({call.backend for call in hall.calls}) == len(hall.calls) == 3
    assert sink.failure is not None
    assert (sink.failure.code, sink.failure.status) == ("backend_failed", 502)
    assert hall.in_flight() == 0


def test_with_nobody_else_the_first_failure_is_what_is_told() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask()
    hall.calls[0].fail(UNREACHABLE)
    assert sink.failure is UNREACHABLE
    assert hall.in_flight() == 0


def test_a_request_that_the_engine_refuses_for_what_it_is_is_not_tried_elsewhere() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    hall.calls[0].fail(errors.rejected("max_tokens is too large", "invalid_value", 400))
    assert len(hall.calls) == 1
    assert sink.failure is not None
    assert (sink.failure.code, sink.failure.status) == ("invalid_value", 400)


def test_first_events_that_cannot_be_read_are_the_backends_failure_and_another_is_asked() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    sink.refuses = "no chunk"
    hall.calls[0].say("x")
    assert hall.calls[0].cancelled
    sink.refuses = None
    hall.calls[1].answer("y")
    assert sink.text == "y"


def test_an_answer_without_any_event_is_a_failure() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask()
    hall.calls[0].over = True
    hall.calls[0].receiver.on_end()
    assert sink.code == "backend_failed"
    assert hall.in_flight() == 0


def test_silence_before_the_first_token_is_ended_by_its_deadline_and_retried() -> None:
    hall = two_backends(limits=Limits(first_token_s=10.0))
    _, sink = hall.ask()
    hall.pass_time(9.5)
    assert len(hall.calls) == 1
    hall.pass_time(1.0)
    assert hall.calls[0].cancelled
    hall.pass_time(11.0)
    assert sink.failure is not None
    assert (sink.failure.code, sink.failure.status) == ("backend_timeout", 504)
    assert len(hall.calls) == 2
    assert hall.in_flight() == 0


def test_a_failure_that_nobody_else_can_make_good_spends_no_retry() -> None:
    hall = Hall()
    hall.join("only", model="lonely")
    hall.join("a")
    hall.join("b")
    for _ in range(3):
        _, sink = hall.ask(model="lonely")
        hall.calls[-1].fail(BROKEN)
        assert sink.code == "backend_failed"
    assert hall.dispatcher.counts["retries"] == 0
    _, sink = hall.ask(model="m")
    hall.calls[-1].fail(BROKEN)
    assert sink.failure is None and hall.dispatcher.counts["retries"] == 1


def test_a_clients_own_impatience_is_held_against_no_backend() -> None:
    hall = Hall(limits=Limits(first_token_s=5.0))
    hall.join("a", slots=64)
    for _ in range(8):
        _, sink = hall.ask(first_token_s=0.1)
        hall.pass_time(0.5)
        assert sink.code == "backend_timeout"
    assert hall.registry.ledger.gated == 0
    for _ in range(5):
        hall.ask()
    hall.pass_time(6.0)
    assert hall.registry.ledger.gated == 1


def test_comments_before_an_answer_are_a_sign_of_life_and_no_answer() -> None:
    hall = Hall(limits=Limits(first_token_s=10.0))
    hall.join("a")
    hall.join("b")
    _, sink = hall.ask()
    hall.calls[0].send(b": ping\n\n")
    assert not sink.openings and not sink.raw
    hall.pass_time(9.0)
    hall.calls[0].send(b": ping\n\n")
    hall.pass_time(1.0)
    assert not hall.calls[0].running, "the first token is still owed"
    hall.calls[1].answer("hello")
    assert sink.text == "hello" and [opening.backend for opening in sink.openings] == ["b"]


def test_a_busy_backend_is_not_asked_again_at_once_whatever_it_says() -> None:
    hall = Hall()
    hall.join("a")
    hall.ask()
    for _ in range(50):
        if hall.calls[-1].running:
            hall.calls[-1].fail(errors.backend_busy("a", 0.001))
        hall.clock.now += 0.002
        hall.dispatcher.advance(hall.clock.now)
    assert len(hall.calls) <= 3
