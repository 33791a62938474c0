"""How an engine is asked to go on with an answer."""

from __future__ import annotations

from balancer.exchange.journal import Journal
from balancer.exchange.resumption import resumption_of
from balancer.wire import openai
from balancer.wire.dialect import Usage
from balancer.wire.sse import event
from tests.balancer.exchange.resuming import BROKEN, chunks_of, hall_of
from tests.balancer.pool.specs import a_spec
from tests.fakes import Hall, text_events

ABLE = frozenset({"continue_from"})


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


def test_the_request_for_the_rest_is_no_longer_the_bytes_that_came() -> None:
    journal = Journal()
    journal.add(text_events("x"))
    resumption = resumption_of(Hall().request(raw=b'{"prompt":"hello"}'), journal, BROKEN, a_spec("a"))
    assert resumption is not None
    request = resumption.request_for(a_spec("b"))
    assert request is not None and (request.raw, request.body["prompt"]) == (b"", "hellox")


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
