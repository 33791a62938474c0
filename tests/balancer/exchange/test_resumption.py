"""Stories of answers that change hands: one unbroken text, whoever made which part of it."""

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
from balancer.wire.dialect import Chunk, Usage
from balancer.wire.openai import parse_chunk
from balancer.wire.sse import event, event_data
from tests.balancer.pool.specs import a_spec
from tests.fakes import Hall, RecordingSink, last_events, text_events

BROKEN = errors.backend_failed("x", "connection reset")
ABLE = frozenset({"continue_from"})


def hall_of(*names: str, **changes: Any) -> Hall:
    hall = Hall(**changes)
    for name in names:
        hall.join(name, slots=2)
    return hall


def chunks_of(sink: RecordingSink) -> list[Chunk]:
    return [parse_chunk(data) for data in event_data(sink.raw) if data != b"[DONE]"]


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


def test_what_was_given_is_taken_off_the_limit() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask(body={"prompt": "hello", "max_tokens": 5, "temperature": 0})
    hall.calls[0].say("1", "2", "3")
    hall.calls[0].fail(BROKEN)
    assert hall.calls[1].request.body == {"prompt": "hello123", "max_tokens": 2, "temperature": 0}
    hall.calls[1].say("4", "5")
    hall.calls[1].fail(BROKEN)
    assert len(hall.calls) == 2, "nothing is left to ask for"
    assert chunks_of(sink)[-1].choices[0].finish_reason == "length"
    assert sink.outcome is not None and sink.raw.endswith(b"data: [DONE]\n\n")


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


def test_a_chat_goes_on_as_a_message_begun_where_the_engine_takes_one() -> None:
    hall = Hall()
    hall.join("a")
    hall.join("b", abilities=frozenset({"continue_final_message"}))
    hall.join("c", endpoints=frozenset({"chat"}))
    messages = [{"role": "user", "content": "hi"}]
    _, sink = hall.ask(endpoint="chat", body={"messages": messages})
    call = hall.calls[0]
    call.send(openai.text_event("chat", "chatcmpl-1", "m", 5, "Hel"))
    call.fail(BROKEN)
    if call.backend == "b":
        assert sink.failure is BROKEN
        return
    on = hall.calls[1]
    assert on.backend == "b"
    assert on.request.body == {
        "messages": [*messages, {"role": "assistant", "content": "Hel"}],
        "continue_final_message": True,
        "add_generation_prompt": False,
    }
    on.send(openai.text_event("chat", "chatcmpl-2", "m", 6, "lo"))
    assert b'"role"' not in sink.raw.split(b"\n\n")[1], "nobody speaks up anew"
    on.send(openai.final_events("chat", "chatcmpl-2", "m", 6, "stop", None))
    assert sink.text == "Hello"
    assert {(chunk.id, chunk.created) for chunk in chunks_of(sink)} == {("chatcmpl-1", 5)}


def test_our_own_engine_is_told_the_tokens_and_gets_the_request_as_it_was() -> None:
    hall = Hall()
    for name in "ab":
        hall.join(name, abilities=ABLE)
    _, sink = hall.ask(body={"prompt": "hello", "max_tokens": 9})
    choice = {"index": 0, "text": "Once upon", "finish_reason": None, "logprobs": None, "token_ids": [5, 6]}
    hall.calls[0].send(openai.chunk_event("completions", "cmpl-1", "m", 0, [choice]))
    hall.calls[0].fail(BROKEN)
    assert hall.calls[1].request.body == {
        "prompt": "hello",
        "max_tokens": 7,
        "continue_from": {"text": "Once upon", "token_ids": [5, 6]},
        "return_token_ids": "continue",
    }
    hall.calls[1].say(" a time")
    hall.calls[1].send(openai.final_events("completions", "x", "m", 0, "stop", Usage(3, 5, 8)))
    usage = chunks_of(sink)[-1].usage
    assert usage is not None and (usage.prompt_tokens, usage.completion_tokens) == (3, 5), "it sums up by itself"


def test_an_engine_that_told_prompt_and_answer_as_tokens_goes_on_with_exactly_them() -> None:
    hall = Hall()
    for name in "ab":
        hall.join(name, abilities=frozenset({"token_ids", "continue_final_message"}))
    _, sink = hall.ask(endpoint="chat", body={"messages": [{"role": "user", "content": "hi"}]})
    first = b'{"id":"chatcmpl-1","model":"m","created":7,"prompt_token_ids":[1,2,3],"choices":'
    hall.calls[0].send(event(first + b'[{"index":0,"delta":{"role":"assistant","content":"He"},"token_ids":[8]}]}'))
    assert b"prompt_token_ids" not in sink.raw, "the client did not ask for them"
    hall.calls[0].fail(BROKEN)
    on = hall.calls[1]
    assert (on.request.endpoint, on.request.body["prompt"]) == ("completions", [1, 2, 3, 8])
    assert "messages" not in on.request.body
    on.say("llo")
    on.finish()
    assert sink.text == "Hello"
    assert {chunk.id for chunk in chunks_of(sink)} == {"chatcmpl-1"}
    assert all(chunk.choices[0].delta is not None for chunk in chunks_of(sink) if chunk.choices)


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


def test_with_nobody_left_to_go_on_the_client_gets_an_explicit_error_at_once() -> None:
    hall = hall_of("a")
    _, sink = hall.ask()
    hall.calls[0].say("half")
    hall.calls[0].fail(BROKEN)
    assert sink.failure is BROKEN and sink.text == "half"


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
    assert resumption_of(request, Journal(), BROKEN) is None


def test_a_failure_that_is_the_clients_own_is_none_of_another_backends_business() -> None:
    journal = Journal()
    journal.add(text_events("x"))
    assert resumption_of(Hall().request(), journal, errors.rejected("no", None, 400)) is None


def test_the_request_for_the_rest_is_no_longer_the_bytes_that_came() -> None:
    journal = Journal()
    journal.add(text_events("x"))
    resumption = resumption_of(Hall().request(raw=b'{"prompt":"hello"}'), journal, BROKEN)
    assert resumption is not None
    request = resumption.request_for(a_spec("b"))
    assert (request.raw, request.body["prompt"]) == (b"", "hellox")


def test_token_ids_outlast_more_than_one_change_of_backend() -> None:
    hall = Hall()
    for name in "abc":
        hall.join(name, abilities=ABLE)
    hall.ask()
    for text, ids in (("Once", [5]), ("", [6]), (" upon", [7, 8])):
        choice = {"index": 0, "text": text, "finish_reason": None, "token_ids": ids}
        hall.calls[-1].send(openai.chunk_event("completions", "cmpl-1", "m", 0, [choice]))
        if text:
            hall.calls[-1].fail(BROKEN)
    assert hall.calls[2].request.body["continue_from"] == {"text": "Once upon", "token_ids": [5, 6, 7, 8]}
