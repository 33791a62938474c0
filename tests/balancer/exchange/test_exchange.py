"""Stories of one request: real pool, routing and queue, backends that do what the story says."""

from __future__ import annotations

import random

import pytest

from balancer import errors
from balancer.exchange.state import State
from balancer.exchange.timeline import Limits
from balancer.wire.whole import whole_body
from tests.fakes import Hall, RecordingSink, last_events

UNREACHABLE = errors.backend_unreachable("x", "connection refused")
BROKEN = errors.backend_failed("x", "connection reset")


def busy(retry_after_s: float = 1.0) -> errors.Failure:
    return errors.backend_busy("x", retry_after_s)


def two_backends(**changes: object) -> Hall:
    hall = Hall(**changes)  # type: ignore[arg-type]
    hall.join("a", slots=1)
    hall.join("b", slots=1)
    return hall


# --- the usual way


def test_an_answer_streams_and_its_slot_is_given_back() -> None:
    hall = Hall()
    hall.join("a")
    exchange, sink = hall.ask()
    assert exchange is not None and exchange.state is State.ASKING
    (call,) = hall.calls
    call.say("Once ")
    assert sink.text == "Once "
    assert hall.in_flight() == 1
    hall.clock.now += 2.0
    call.answer("upon")
    assert sink.text == "Once upon"
    assert sink.outcome is not None
    assert (sink.outcome.backend, sink.outcome.cache, sink.outcome.attempts) == ("a", "off", 1)
    assert sink.outcome.total_s == 2.0
    assert hall.in_flight() == 0
    assert hall.dispatcher.active == 0


def test_the_bytes_of_a_stream_are_relayed_untouched() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask()
    odd = b': comment\r\n\r\nid: 7\r\ndata:{"choices":[{"text":"x"}],"extra":1}\r\n\r\n'
    hall.calls[0].send(odd)
    assert sink.raw == odd


# --- in one piece

WHOLE = whole_body("completions", "id", "m", 0, "Once upon", "stop", None)


def test_an_answer_in_one_piece_goes_on_as_it_came_and_its_slot_is_given_back() -> None:
    hall = Hall()
    hall.join("a")
    exchange, sink = hall.ask(stream=False)
    hall.calls[0].answer_whole(WHOLE)
    assert exchange is not None and exchange.state is State.COMPLETE
    assert sink.body == WHOLE and sink.raw == b""
    assert [opening.backend for opening in sink.openings] == ["a"]
    assert sink.outcome is not None and sink.outcome.attempts == 1
    assert hall.in_flight() == 0 and hall.dispatcher.active == 0


def test_one_that_cannot_be_read_is_asked_for_elsewhere() -> None:
    hall = two_backends()
    _, sink = hall.ask(stream=False)
    hall.calls[0].answer_whole(b'{"error":{"message":"out of memory"}}')
    assert hall.calls[0].cancelled
    hall.calls[1].answer_whole(WHOLE)
    assert sink.body == WHOLE
    assert [opening.attempts for opening in sink.openings] == [2]


def test_one_that_nobody_can_give_is_an_error() -> None:
    hall = two_backends()
    _, sink = hall.ask(stream=False)
    for n in range(2):
        hall.calls[n].answer_whole(b"<html>")
    assert sink.code == "backend_failed" and sink.body == b"" and sink.endings == 1
    assert hall.in_flight() == 0


def test_an_answer_in_one_piece_is_kept_and_serves_who_wants_events() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("what is a lion", stream=False)
    hall.calls[0].answer_whole(WHOLE)
    _, sink = hall.ask("what is a lion")
    assert len(hall.calls) == 1
    assert sink.text == "Once upon" and sink.outcome is not None and sink.outcome.cache == "exact"


def test_one_that_was_cut_short_is_not_kept() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("what is a lion", stream=False)
    hall.calls[0].answer_whole(whole_body("completions", "id", "m", 0, "Once", "length", None))
    assert len(hall.store) == 0


def test_who_left_gets_nothing_of_it() -> None:
    hall = Hall()
    hall.join("a")
    exchange, sink = hall.ask(stream=False)
    assert exchange is not None
    exchange.cancel()
    assert hall.calls[0].cancelled and sink.endings == 0 and hall.in_flight() == 0


def test_it_may_take_as_long_as_the_request_may_but_no_longer() -> None:
    hall = Hall(limits=Limits(first_token_s=1.0, between_tokens_s=1.0, request_s=10.0))
    hall.join("a")
    _, sink = hall.ask(stream=False)
    hall.pass_time(9.0)
    assert sink.endings == 0
    hall.pass_time(2.0)
    assert sink.code == "deadline_passed" and hall.calls[0].cancelled


# --- before the first byte


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
    assert sink.code == "queue_timeout"
    assert len(hall.calls) <= 6
    assert hall.in_flight() == 0


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


# --- after the first byte


def test_a_failure_after_the_first_byte_is_an_explicit_error_where_nobody_may_go_on() -> None:
    hall = two_backends(cache=True)
    _, sink = hall.ask(resumable=False)
    hall.calls[0].say("half an ")
    hall.calls[0].fail(BROKEN)
    assert sink.failure is BROKEN
    assert len(hall.calls) == 1
    assert len(hall.store) == 0
    assert hall.in_flight() == 0


def test_events_that_cannot_be_read_mid_stream_are_the_backends_failure() -> None:
    hall = two_backends()
    _, sink = hall.ask()
    hall.calls[0].say("x")
    sink.refuses = "no chunk"
    hall.calls[0].say("y")
    assert hall.calls[0].cancelled
    sink.refuses = None
    hall.calls[1].answer("z")
    assert sink.text == "xz", "what could not be read was not relayed, and another backend goes on"
    assert hall.in_flight() == 0


def test_a_stall_mid_stream_is_ended_by_the_time_between_tokens() -> None:
    hall = Hall(limits=Limits(between_tokens_s=5.0))
    hall.join("a")
    _, sink = hall.ask()
    for _ in range(4):
        hall.calls[0].say("x")
        hall.pass_time(4.0)
    assert sink.endings == 0
    hall.pass_time(2.0)
    assert sink.code == "backend_timeout"
    assert hall.calls[0].cancelled
    assert hall.in_flight() == 0


# --- a backend that dies


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_a_dead_backends_exchanges_end_at_that_instant(how: str) -> None:
    hall = two_backends()
    _, asking = hall.ask("asking")
    (call,) = hall.calls
    hall.join("c", slots=1)
    name = call.backend
    if how == "silent":
        before = hall.clock.now
        while not call.cancelled:
            for other in hall.leases:
                if other != name:
                    hall.beat(other)
            hall.pass_time(0.25, beats=False)
        assert hall.clock.now - before <= 4.0
    else:
        hall.leave(name)
    assert call.cancelled
    assert len(hall.calls) == 2, "tried elsewhere at once"
    hall.calls[1].say("half")
    hall.leave(hall.calls[1].backend)
    assert len(hall.calls) == 3, "and gone on with at once"
    hall.calls[2].answer(" an hour")
    assert asking.text == "half an hour"
    assert hall.in_flight() == 0


def test_a_backend_that_restarts_ends_what_it_was_doing() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask(resumable=False)
    hall.calls[0].say("half")
    hall.join("a", instance="a-2", alive=False)
    assert sink.code == "backend_lost"


def test_a_backend_that_only_lost_its_connection_for_a_moment_goes_on() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask()
    hall.calls[0].say("one ")
    hall.join("a", alive=False)  # the same process, a new connection
    hall.calls[0].answer("two")
    assert sink.text == "one two"
    assert hall.in_flight() == 0


def test_a_draining_backend_finishes_what_it_has_and_gets_nothing_new() -> None:
    hall = Hall()
    hall.join("a")
    sinks = [hall.ask(f"q{i}")[1] for i in range(4)]
    hall.dispatcher.pool_changed(hall.registry.drain("a", hall.clock.now))
    _, refused = hall.ask("new")
    assert refused.code == "no_backend"
    for call in hall.calls:
        call.answer("x")
    assert [sink.text for sink in sinks] == ["x"] * 4


# --- the queue


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


# --- the client


@pytest.mark.parametrize("state", [State.QUEUED, State.ASKING, State.STREAMING, State.EMBEDDING])
def test_a_client_that_leaves_frees_all_it_held(state: State) -> None:
    hall = Hall(cache=state is State.EMBEDDING)
    hall.join("a", slots=1)
    if state is State.EMBEDDING:
        hall.ask("known")
        hall.calls[0].answer("x")
        hall.embedder.asked[0].answer(1.0, 0.0)
    if state is State.QUEUED:
        hall.ask("first")
    exchange, sink = hall.ask("second")
    if state is State.STREAMING:
        hall.calls[0].say("x")
    assert exchange is not None and exchange.state is state
    exchange.cancel()
    assert exchange.state is State.CANCELLED
    assert len(hall.queue) == 0
    assert hall.in_flight() == (1 if state is State.QUEUED else 0)
    if state is State.EMBEDDING:
        assert hall.embedder.asked[-1].cancelled
        hall.embedder.asked[-1].answer(0.0, 1.0)
    elif state is not State.QUEUED:
        assert hall.calls[-1].cancelled
    assert sink.endings == 0
    exchange.cancel()
    assert hall.dispatcher.counts["cancelled"] == 1


def test_a_slot_that_a_leaving_client_frees_goes_to_the_first_in_the_queue() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    first, _ = hall.ask("first")
    hall.ask("second")
    assert first is not None
    first.cancel()
    assert hall.calls[-1].request.body["prompt"] == "second"


def test_a_slow_client_pauses_its_backend_and_no_timer_blames_it() -> None:
    hall = Hall(limits=Limits(between_tokens_s=5.0))
    hall.join("a")
    exchange, sink = hall.ask()
    assert exchange is not None
    hall.calls[0].say("x")
    exchange.pause()
    assert hall.calls[0].paused
    hall.pass_time(20.0)
    assert sink.endings == 0
    exchange.resume()
    assert not hall.calls[0].paused
    hall.pass_time(4.0)
    hall.calls[0].answer("y")
    assert sink.text == "xy"


def test_a_client_that_was_slow_while_it_waited_pauses_the_backend_it_gets() -> None:
    hall = Hall()
    hall.join("a", slots=1)
    hall.ask("first")
    second, _ = hall.ask("second")
    assert second is not None
    second.pause()
    hall.calls[0].answer("x")
    assert hall.calls[1].paused


def test_the_whole_request_has_a_deadline_in_every_state() -> None:
    hall = Hall(limits=Limits(request_s=3.0, queue_s=100.0))
    hall.join("a", slots=1)
    _, streaming = hall.ask("first")
    _, queued = hall.ask("second")
    for _ in range(8):
        hall.calls[0].say("x")
        hall.pass_time(0.5, beats=True)
        if streaming.endings:
            break
    assert (streaming.code, queued.code) == ("deadline_passed", "deadline_passed")
    assert hall.in_flight() == 0
    assert len(hall.calls) == 1


# --- the cache


def test_an_exact_hit_streams_like_any_other_answer() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    _, first = hall.ask("tell me")
    hall.calls[0].answer("a ", "story")
    hall.clock.now += 5.0
    exchange, second = hall.ask("tell me")
    assert exchange is not None and exchange.state is State.COMPLETE
    assert second.text == first.text == "a story"
    assert second.raw.endswith(b"data: [DONE]\n\n")
    assert second.outcome is not None
    assert (second.outcome.cache, second.outcome.backend, second.outcome.age_s) == ("exact", "a", 5.0)
    assert second.outcome.attempts == 0
    assert len(hall.calls) == 1
    assert hall.dispatcher.active == 0


def known_question(vector: tuple[float, float] = (1.0, 0.0)) -> Hall:
    """A hall that has answered one question, whose embedding is known."""
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("what is a lion")
    hall.calls[0].answer("a cat")
    hall.embedder.asked[0].answer(*vector)
    return hall


def test_a_semantic_hit_streams_like_any_other_answer_and_says_how_near() -> None:
    hall = known_question()
    exchange, sink = hall.ask("what are lions")
    assert exchange is not None and exchange.state is State.EMBEDDING
    hall.embedder.asked[-1].answer(0.99, 0.01)
    assert sink.text == "a cat"
    assert sink.outcome is not None
    assert sink.outcome.cache == "semantic"
    assert sink.outcome.similarity is not None and sink.outcome.similarity > 0.99
    assert len(hall.calls) == 1


@pytest.mark.parametrize("late", [True, False])
def test_no_near_match_or_a_late_embedder_is_a_miss(late: bool) -> None:
    hall = known_question()
    _, sink = hall.ask("what is a car")
    ticket = hall.embedder.asked[-1]
    assert ticket.wait_s == 0.03
    ticket.late() if late else ticket.answer(0.0, 1.0)
    hall.calls[1].answer("a machine")
    assert sink.outcome is not None and sink.outcome.cache == "miss"


def test_a_vector_that_came_late_still_serves_the_store() -> None:
    hall = known_question()
    hall.ask("what is a car")
    ticket = hall.embedder.asked[-1]
    ticket.late()
    ticket.vector = hall.embedder.asked[0].vector
    hall.calls[1].answer("a machine")
    assert len(hall.embedder.asked) == 2, "not embedded a second time"
    assert hall.store.stats()["vectors"] == 2


def test_only_asks_no_backend() -> None:
    hall = known_question()
    _, hit = hall.ask("what is a lion", cache="only")
    assert hit.text == "a cat"
    _, miss = hall.ask("what is a car", cache="only")
    hall.embedder.asked[-1].answer(0.0, 1.0)
    assert miss.failure is not None
    assert (miss.failure.code, miss.failure.status) == ("not_cached", 504)
    assert len(hall.calls) == 1


def test_only_with_the_cache_off_asks_no_backend_either() -> None:
    hall = Hall()
    hall.join("a")
    _, sink = hall.ask("x", cache="only")
    assert sink.code == "not_cached"
    assert hall.calls == []


def test_refresh_asks_a_backend_and_replaces_the_entry() -> None:
    hall = known_question()
    _, sink = hall.ask("what is a lion", cache="refresh")
    hall.calls[1].answer("a big cat")
    assert sink.outcome is not None and sink.outcome.cache == "miss"
    _, again = hall.ask("what is a lion")
    assert again.text == "a big cat"
    assert len(hall.store) == 1


def test_bypass_neither_looks_nor_stores() -> None:
    hall = known_question()
    _, sink = hall.ask("what is a lion", cache="bypass")
    hall.calls[1].answer("unsaid")
    assert sink.outcome is not None and sink.outcome.cache == "bypass"
    _, again = hall.ask("what is a lion")
    assert again.text == "a cat"


@pytest.mark.parametrize("how", ["error", "cancelled", "length", "lost", "tools"])
def test_only_complete_plain_answers_are_stored(how: str) -> None:
    hall = Hall(cache=True)
    hall.join("a")
    exchange, _ = hall.ask("tell me")
    assert exchange is not None
    (call,) = hall.calls
    call.say("half")
    match how:
        case "error":
            call.fail(BROKEN)
        case "cancelled":
            exchange.cancel()
        case "length":
            call.finish("length")
        case "lost":
            hall.leave("a")
        case _:
            call.send(b'data: {"choices":[{"index":1,"text":"second choice"}]}\n\n')
            call.finish()
    assert len(hall.store) == 0


def test_a_tenants_answers_are_its_own() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    hall.ask("tell me", tenant="one")
    hall.calls[0].answer("x")
    hall.ask("tell me", tenant="two")
    assert len(hall.calls) == 2


# --- everything at once


@pytest.mark.parametrize("seed", range(4))
def test_after_ten_thousand_random_operations_nothing_is_held_and_each_was_answered_once(seed: int) -> None:
    rng = random.Random(seed)
    policy = ("round-robin", "least-connections")[seed % 2]
    hall = Hall(policy=policy, queue_size=12, limits=Limits(4.0, 3.0, 5.0, 20.0), cache=seed == 3)
    for name in "abc":
        hall.join(name, slots=rng.randint(1, 3))
    begun, left = [], set()
    for step in range(2500):
        running = hall.upstream.running
        match rng.randrange(10):
            case 0 | 1 | 2:
                begun.append((*hall.ask(f"q{rng.randrange(200)}"), step))
            case 3 | 4 if running:
                rng.choice(running).say("x")
            case 5 if running:
                rng.choice(running).answer("y")
            case 6 if running:
                rng.choice(running).fail(rng.choice([UNREACHABLE, BROKEN, busy(0.3)]))
            case 7 if begun:
                exchange = rng.choice(begun[-20:])[0]
                if exchange is not None and exchange not in left:
                    if exchange.state.live:
                        left.add(exchange)
                    exchange.cancel()
            case 8:
                name = rng.choice("abc")
                if hall.registry.lease(hall.leases[name]) is None or rng.random() < 0.3:
                    hall.join(name, slots=rng.randint(1, 3), instance=f"{name}-{rng.randint(1, 2)}")
                elif rng.random() < 0.3:
                    hall.leave(name)
            case _:
                hall.pass_time(rng.choice([0.1, 0.5]), beats=rng.random() < 0.9)
        for backend in hall.registry.view.backends:
            ledger = hall.registry.ledger
            assert ledger.in_flight[backend.index] >= 0
        assert len(hall.queue) <= 12 + 9
    for call in hall.upstream.running:
        if call.running:
            call.answer("z")
    hall.pass_time(25.0)
    assert hall.dispatcher.active == 0
    assert hall.in_flight() == 0
    assert (len(hall.queue), hall.queue.size_bytes) == (0, 0)
    for exchange, sink, step in begun:
        assert sink.endings == (0 if exchange in left else 1), step
    counts = hall.dispatcher.counts
    ended = counts["completed"] + counts["cancelled"]
    ended += sum(n for name, n in counts.items() if name.startswith("failed."))
    assert counts["requests"] == len(begun) == ended


def test_a_sink_that_ends_another_exchange_while_it_is_told_does_no_harm() -> None:
    hall = Hall(limits=Limits(first_token_s=1.0))
    hall.join("a", slots=1, endpoints=frozenset({"completions"}))
    hall.join("b", slots=1)
    second = hall.ask("second")[0]

    class Meddler(RecordingSink):
        def failed(self, failure: errors.Failure) -> None:
            super().failed(failure)
            assert second is not None
            second.cancel()

    meddler = Meddler()
    hall.dispatcher.begin(hall.request("first"), meddler)
    hall.dispatcher.limits = Limits(request_s=0.5)
    hall.dispatcher.abort()
    assert meddler.endings == 1
    assert hall.in_flight() == 0


def test_the_end_of_an_answer_and_its_text_may_come_in_one_piece() -> None:
    hall = Hall(cache=True)
    hall.join("a")
    _, sink = hall.ask()
    hall.calls[0].send(last_events())
    hall.calls[0].over = True
    hall.calls[0].receiver.on_end()
    assert sink.outcome is not None
    assert sink.text == ""
    assert len(hall.store) == 0, "an empty answer is not worth keeping"


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


def test_a_first_token_that_a_slow_client_kept_from_being_read_is_not_late() -> None:
    hall = Hall(limits=Limits(first_token_s=5.0))
    hall.join("a")
    exchange, sink = hall.ask()
    assert exchange is not None
    exchange.pause()
    hall.pass_time(20.0)
    exchange.resume()
    hall.pass_time(4.0)
    hall.calls[0].answer("x")
    assert sink.text == "x"


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


def test_a_request_keeps_the_limits_it_began_with() -> None:
    hall = Hall(limits=Limits(first_token_s=100.0))
    hall.join("a")
    _, sink = hall.ask()
    hall.pass_time(20.0)
    hall.dispatcher.limits = Limits(first_token_s=10.0)
    hall.pass_time(1.0)
    assert sink.endings == 0
    _, later = hall.ask()
    hall.pass_time(11.0)
    assert later.code == "backend_timeout" and sink.endings == 0
