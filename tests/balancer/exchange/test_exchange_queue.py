"""Stories of one request: waiting for a slot."""

from __future__ import annotations

from balancer.exchange.timeline import Limits
from tests.balancer.exchange.stories import BROKEN, two_backends
from tests.fakes import Hall


def test_a_retry_has_its_turn_before_those_who_came_later() -> None:
    hall = two_backends()
    _, first = hall.ask("first")
    hall.ask("second")
    _, third = hall.ask("third")
    assert third.positions == [1]
    broken = next(call for call in hall.calls if call.request.body["prompt"] == "first")
    other = next(call for call in hall.calls if call is not broken)
    broken.fail(BROKEN)
    assert hall.calls[-1].request.body["prompt"] == "third", "the other backend's slot is taken, its own is free"
    other.answer("x")
    assert hall.calls[-1].request.body["prompt"] == "first"
    hall.calls[-1].answer("y")
    assert first.text == "y"


def test_a_request_waits_for_a_slot_and_is_told_its_position() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    hall.ask("first")
    _, second = hall.ask("second")
    _, third = hall.ask("third")
    assert (second.positions, third.positions) == ([1], [2])
    hall.calls[0].answer("x")
    hall.dispatcher.tell_positions()
    assert third.positions == [2, 1]
    hall.calls[1].answer("y")
    hall.calls[2].answer("z")
    assert (second.text, third.text) == ("y", "z")


def test_newcomers_never_overtake() -> None:
    hall = Hall()
    hall.join("a", slots=2)
    for i in range(6):
        hall.ask(f"q{i}")
    order = [call.request.body["prompt"] for call in hall.calls]
    while hall.upstream.running:
        hall.upstream.running[0].answer("x")
        hall.ask(f"late{len(hall.calls)}") if len(hall.calls) < 5 else None
    order = [call.request.body["prompt"] for call in hall.calls]
    assert order[:6] == [f"q{i}" for i in range(6)]
    assert len(hall.queue) == 0


def test_a_deadline_that_passes_in_the_queue_never_reaches_a_backend() -> None:
    hall = Hall(limits=Limits(queue_s=5.0))
    hall.join("a", slots=1)
    hall.ask("first")
    _, second = hall.ask("second")
    _, third = hall.ask("third", deadline_s=2.0)
    hall.pass_time(2.25)
    assert third.failure is not None
    assert (third.failure.code, third.failure.status) == ("deadline_passed", 504)
    hall.pass_time(3.0)
    assert second.failure is not None
    assert second.failure.code == "queue_timeout"
    assert second.failure.retry_after_s is not None
    hall.calls[0].answer("x")
    assert len(hall.calls) == 1


def test_a_full_queue_refuses_at_once_with_a_time_to_try_again() -> None:
    hall = Hall(queue_size=1)
    hall.join("a", slots=1)
    hall.ask("first")
    hall.ask("second")
    _, third = hall.ask("third")
    assert third.failure is not None
    assert (third.failure.code, third.failure.status) == ("queue_full", 503)
    assert third.failure.retry_after_s is not None and third.failure.retry_after_s >= 1.0
    assert third.positions == []


def test_the_queue_is_bounded_in_bytes_too() -> None:
    hall = Hall(queue_bytes=100)
    hall.join("a", slots=1)
    hall.ask("first")
    _, long = hall.ask("x" * 101)
    assert long.code == "queue_full"


def test_a_retry_waits_above_the_bounds() -> None:
    hall = two_backends(queue_size=0)
    _, first = hall.ask("first")
    _, second = hall.ask("second")
    hall.calls[0].fail(BROKEN)
    assert first.positions == [1]
    hall.calls[1].answer("x")
    hall.calls[2].answer("y")
    assert (first.text, second.text) == ("y", "x")


def test_what_no_slot_can_serve_does_not_wait_behind_others() -> None:
    hall = Hall()
    hall.join("a", slots=1, endpoints=frozenset({"embeddings"}))
    hall.join("b", slots=1, model="other")
    hall.ask("first", model="other")
    hall.ask("second", model="other")
    _, sink = hall.ask("third", model="m")
    assert sink.code == "wrong_endpoint"
    assert len(hall.queue) == 1


def test_a_prompt_too_long_for_a_classic_backend_is_refused_or_goes_elsewhere() -> None:
    hall = Hall()
    hall.join("old", slots=1, max_prompt_bytes=987, endpoints=frozenset({"completions"}))
    _, fits = hall.ask("x" * 987)
    hall.calls[0].answer("y")
    assert fits.text == "y"
    _, long = hall.ask("x" * 988)
    assert long.code == "context_length_exceeded"
    hall.join("new", slots=1)
    hall.ask("x" * 988)
    assert hall.calls[-1].backend == "new"


def test_a_backend_that_joins_takes_those_who_wait() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    hall.ask("first")
    _, second = hall.ask("second")
    hall.join("b", slots=1)
    assert hall.calls[-1].backend == "b"
    hall.calls[-1].answer("x")
    assert second.text == "x"
