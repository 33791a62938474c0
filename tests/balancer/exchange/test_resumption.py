"""A broken answer goes on with another backend: who, when, and what the client hears."""

from __future__ import annotations

import random
from typing import Any

import pytest

from balancer import errors
from balancer.exchange.journal import Journal
from balancer.exchange.recovery import RESUMES_MAX
from balancer.exchange.resumption import resumption_of
from balancer.exchange.timeline import Limits
from balancer.wire import openai
from balancer.wire.dialect import Usage
from tests.balancer.exchange.resuming import BROKEN, chunks_of, hall_of
from tests.fakes import Hall, a_spec, last_events, text_events


def test_another_backend_goes_on_from_the_text_so_far_and_the_client_sees_no_seam() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask("Tell")
    hall.calls[0].say("Once ", "upon ")
    hall.calls[0].fail(BROKEN)
    first, second = hall.calls
    assert first.backend != second.backend
    assert second.request.body["prompt"] == "TellOnce upon "
    second.answer("a ", "time")
    assert sink.text == "Once upon a time"
    assert {(chunk.id, chunk.model) for chunk in chunks_of(sink)} == {("cmpl-1", "m")}
    assert sink.outcome is not None
    assert (sink.outcome.backend, sink.outcome.attempts, sink.outcome.resumed) == (second.backend, 1, 1)
    assert [opening.resumed for opening in sink.openings] == [0, 1]
    assert hall.in_flight() == 0
    assert hall.dispatcher.counts["resumed"] == 1


def test_the_usage_tells_of_the_whole_answer() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask()
    hall.calls[0].say("1", "2", "3")
    hall.calls[0].fail(BROKEN)
    hall.calls[1].say("4", "5")
    hall.calls[1].send(openai.final_events("completions", "other", "m", 9, "stop", Usage(10 + 3, 2, 15)))
    usage = chunks_of(sink)[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 5, 15)


def test_an_answer_of_which_only_the_closing_event_is_missing_is_closed() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask()
    hall.calls[0].say("all of it")
    hall.calls[0].send(last_events().removesuffix(b"data: [DONE]\n\n"))
    hall.calls[0].fail(BROKEN)
    assert len(hall.calls) == 1 and sink.outcome is not None
    assert sink.raw.endswith(b"data: [DONE]\n\n") and sink.raw.count(b"[DONE]") == 1


def test_a_resumed_answer_is_kept_whole_and_a_broken_one_is_not() -> None:
    hall = hall_of("a", "b", cache=True)
    hall.ask("what is a lion")
    hall.calls[0].say("a big ")
    hall.calls[0].fail(BROKEN)
    hall.calls[1].answer("cat")
    _, again = hall.ask("what is a lion")
    assert again.text == "a big cat" and len(hall.calls) == 2
    _, sink = hall.ask("what is a tiger")
    hall.calls[2].say("another ")
    hall.calls[2].fail(BROKEN)
    hall.calls[3].fail(BROKEN)
    assert sink.failure is BROKEN and len(hall.store) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"guided_json": {}, "guided_regex": "x"},
        {"logprobs": 3},
        {"echo": True},
    ],
)
def test_what_only_the_first_backend_could_keep_ends_in_an_explicit_error(body: dict[str, Any]) -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask(body={"prompt": "hello", **body})
    hall.calls[0].say("half")
    hall.calls[0].fail(BROKEN)
    assert sink.failure is BROKEN and len(hall.calls) == 1
    assert hall.in_flight() == 0


def test_an_answer_may_change_hands_many_times_but_not_for_ever() -> None:
    hall = hall_of(*(f"b{n}" for n in range(RESUMES_MAX + 2)))
    _, sink = hall.ask()
    for n in range(RESUMES_MAX + 1):
        hall.calls[n].say(str(n))
        hall.calls[n].fail(BROKEN)
    assert sink.text == "".join(map(str, range(RESUMES_MAX + 1)))
    assert sink.failure is BROKEN
    assert len({call.backend for call in hall.calls}) == len(hall.calls) == RESUMES_MAX + 1


def test_a_resume_spends_no_retries_and_waits_at_the_head_above_the_bounds() -> None:
    hall = Hall(queue_size=1)
    hall.join("a", slots=2)
    hall.join("b", slots=1)
    answers = [hall.ask(f"q{n}") for n in range(4)]
    assert len(hall.calls) == 3 and len(hall.queue) == 1
    dying = next(call for call in hall.calls if call.backend == "a")
    dying.say("half ")
    hall.leave("a")
    assert len(hall.queue) == 3, "one waited, two of the dead backend wait in front of it"
    for _ in range(4):
        running = next(call for call in hall.calls if call.running)
        running.answer("done")
    assert sorted(sink.text for _, sink in answers) == ["done", "done", "done", "half done"]
    assert hall.dispatcher.counts["retries"] == 0


def test_where_nobody_else_is_who_lost_the_stream_goes_on_with_it_once() -> None:
    hall = hall_of("a")
    _, sink = hall.ask()
    hall.calls[0].say("half ")
    hall.calls[0].fail(errors.backend_cut("a", "connection reset"))
    hall.calls[1].answer("and half")
    assert sink.text == "half and half" and hall.dispatcher.counts["resumed"] == 1


def test_but_not_twice() -> None:
    hall = hall_of("a")
    _, sink = hall.ask()
    for call in (0, 1):
        hall.calls[call].say("half ")
        hall.calls[call].fail(errors.backend_cut("a", "connection reset"))
    assert sink.code == "backend_failed" and sink.text == "half half " and len(hall.calls) == 2


def test_with_nobody_left_to_go_on_the_client_gets_an_explicit_error_at_once() -> None:
    hall = hall_of("a")
    _, sink = hall.ask()
    hall.calls[0].say("half")
    hall.calls[0].fail(BROKEN)
    assert sink.failure is BROKEN and sink.text == "half"


def test_nor_does_one_go_on_that_stood_still() -> None:
    hall = hall_of("a")
    _, sink = hall.ask()
    hall.calls[0].say("half")
    hall.calls[0].fail(errors.backend_timeout("a", "further token", 30.0))
    assert sink.code == "backend_timeout" and len(hall.calls) == 1


def test_half_an_answer_waits_for_one_that_joins() -> None:
    hall = hall_of("a")
    hall.join("b", alive=False)
    _, sink = hall.ask()
    hall.calls[0].say("half ")
    hall.calls[0].fail(errors.backend_timeout("a", "further token", 30.0))
    assert sink.endings == 0
    hall.beat("b")
    hall.calls[1].answer("and half")
    assert sink.text == "half and half"


def test_one_that_comes_back_in_time_goes_on_with_its_own_answer() -> None:
    hall = hall_of("a")
    _, sink = hall.ask()
    hall.calls[0].say("half ")
    hall.join("a", instance="a-2", alive=False)
    assert sink.endings == 0
    hall.beat("a")
    hall.calls[1].answer("and half")
    assert sink.text == "half and half"


def test_who_waits_for_one_that_does_not_come_back_gets_the_error_in_the_end() -> None:
    hall = hall_of("a", limits=Limits(queue_s=5.0))
    _, sink = hall.ask()
    hall.calls[0].say("half ")
    hall.join("a", instance="a-2", alive=False)
    for _ in range(24):
        hall.pass_time(0.25, beats=False)
    assert sink.code == "backend_lost"


def test_a_client_that_leaves_between_two_backends_leaves_nothing_behind() -> None:
    hall = hall_of("a", limits=Limits(queue_s=5.0))
    exchange, sink = hall.ask()
    hall.calls[0].say("half ")
    hall.join("a", instance="a-2", alive=False)
    assert exchange is not None
    exchange.cancel()
    assert (len(hall.queue), hall.in_flight(), sink.endings) == (0, 0, 0)


def test_a_slow_client_pauses_whoever_goes_on() -> None:
    hall = hall_of("a", "b")
    exchange, _ = hall.ask()
    hall.calls[0].say("half ")
    assert exchange is not None
    exchange.pause()
    hall.calls[0].fail(BROKEN)
    assert hall.calls[1].paused


def test_an_engine_that_refuses_to_go_on_is_one_that_failed() -> None:
    hall = hall_of("a", "b", "c")
    _, sink = hall.ask()
    hall.calls[0].say("half ")
    hall.calls[0].fail(BROKEN)
    hall.calls[1].fail(errors.rejected("unknown field", None, 400))
    hall.calls[2].answer("done")
    assert sink.text == "half done"


@pytest.mark.parametrize("seed", range(20))
def test_however_often_it_breaks_no_token_is_lost_and_none_comes_twice(seed: int) -> None:
    rng = random.Random(seed)
    words = [f"w{n} " for n in range(60)]
    hall = hall_of(*(f"b{n}" for n in range(10)))
    _, sink = hall.ask("Q:")
    while sink.outcome is None and sink.failure is None:
        call = hall.calls[-1]
        said = call.request.body["prompt"].removeprefix("Q:")
        left = words[said.count(" ") :]
        say = left[: rng.randrange(1, 20)] if len(hall.calls) <= RESUMES_MAX else left
        call.say(*say)
        if say == left:
            call.finish()
        else:
            call.fail(BROKEN)
    assert sink.text == "".join(words)


def test_one_that_was_dead_and_lives_again_may_go_on() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask()
    first = hall.calls[0].backend
    hall.calls[0].say("one ")
    while len(hall.calls) < 2:  # it is frozen: the other one goes on
        hall.clock.now += 0.25
        hall.beat("b" if first == "a" else "a")
        hall.dispatcher.pool_changed(hall.registry.advance(hall.clock.now))
        hall.dispatcher.advance(hall.clock.now)
    hall.calls[1].say("two ")
    hall.beat(first)
    hall.leave(hall.calls[1].backend)
    hall.calls[2].answer("three")
    assert hall.calls[2].backend == first
    assert sink.text == "one two three"


def test_what_broke_the_answer_is_told_and_not_why_nobody_could_go_on() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask()
    hall.calls[0].say("half")
    hall.calls[0].fail(BROKEN)
    hall.calls[1].fail(errors.rejected("unknown field", None, 400))
    assert sink.failure is BROKEN


def test_there_is_nothing_to_go_on_with_before_the_first_event() -> None:
    request = Hall().request()
    assert resumption_of(request, Journal(), BROKEN, a_spec("a")) is None


def test_a_failure_that_is_the_clients_own_is_none_of_another_backends_business() -> None:
    journal = Journal()
    journal.add(text_events("x"))
    rejected = errors.rejected("no", None, 400)
    assert resumption_of(Hall().request(), journal, rejected, a_spec("a")) is None
