"""Answers of which little is missing, or of which nothing was told yet, and requests that bind nobody."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from balancer.wire import openai
from balancer.wire.sse import event
from tests.balancer.exchange.resuming import BROKEN, chunks_of
from tests.fakes import Hall, last_events

VLLM = frozenset({"token_ids", "continue_final_message"})
OURS = frozenset({"token_ids", "continue_from"})
CHAT = {"messages": [{"role": "user", "content": "hi"}]}
ROLE = openai.chunk_event("chat", "chatcmpl-1", "m", 5, [openai.streamed_choice("chat", "", None, role=True)])


def hall_of(*names: str, **changes: Any) -> Hall:
    hall = Hall()
    for name in names:
        hall.join(name, slots=2, **changes)
    return hall


def told(text: str, ids: list[int], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": reason, "token_ids": ids, **more}
    return event(msgspec.json.encode({"id": "cmpl-1", "model": "m", "created": 1, "choices": [choice]}))


def test_usage_that_was_to_come_behind_the_finish_reason_is_counted() -> None:
    hall = hall_of("a", "b", abilities=VLLM)
    _, sink = hall.ask()
    hall.calls[0].send(told("Once", [5], prompt_token_ids=[1, 2, 3]) + told(" upon", [6, 7]) + told("", [2], "stop"))
    hall.calls[0].fail(BROKEN)
    assert len(hall.calls) == 1 and sink.outcome is not None and sink.raw.endswith(b"data: [DONE]\n\n")
    (usage,) = [chunk.usage for chunk in chunks_of(sink) if chunk.usage is not None]
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 4, 7)


def test_and_where_the_finish_reason_is_missing_as_well() -> None:
    hall = hall_of("a", "b", abilities=VLLM)
    _, sink = hall.ask(body={"prompt": "hello", "max_tokens": 2})
    hall.calls[0].send(told("Once upon", [5, 6], prompt_token_ids=[1, 2, 3]))
    hall.calls[0].fail(BROKEN)
    last = chunks_of(sink)[-1]
    assert last.usage is not None and (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 2)
    assert chunks_of(sink)[-2].choices[0].finish_reason == "length"


def test_usage_is_not_told_twice_and_no_guess_is_told() -> None:
    hall = hall_of("a", "b", abilities=VLLM)
    _, sink = hall.ask()
    hall.calls[0].send(told("Once", [5], prompt_token_ids=[1]))
    hall.calls[0].send(last_events().removesuffix(b"data: [DONE]\n\n"))
    hall.calls[0].fail(BROKEN)
    assert sink.raw.count(b'"usage"') == 1 and sink.outcome is not None
    _, sink = hall.ask("other")
    hall.calls[1].say("Once", " upon")
    hall.calls[1].send(last_events(completion_tokens=None).removesuffix(b"data: [DONE]\n\n"))
    hall.calls[1].fail(BROKEN)
    assert b'"usage"' not in sink.raw and sink.raw.endswith(b"data: [DONE]\n\n")


def test_with_tools_offered_a_finished_text_is_closed_all_the_same() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask(body={"prompt": "hello", "tools": [{}]})
    hall.calls[0].say("no tool")
    hall.calls[0].send(last_events().removesuffix(b"data: [DONE]\n\n"))
    hall.calls[0].fail(BROKEN)
    assert sink.outcome is not None and sink.raw.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("more", [{}, {"tools": [{}]}, {"response_format": {"type": "json_object"}}])
def test_where_only_the_role_was_told_whoever_can_is_asked_anew(more: dict[str, Any]) -> None:
    hall = hall_of("a", "b")
    body = {**CHAT, **more}
    _, sink = hall.ask(endpoint="chat", body=body)
    hall.calls[0].send(ROLE)
    hall.calls[0].fail(BROKEN)
    assert hall.calls[1].request.body == body
    hall.calls[1].send(ROLE.replace(b"chatcmpl-1", b"chatcmpl-2"))
    hall.calls[1].send(openai.text_event("chat", "chatcmpl-2", "m", 6, "hello"))
    hall.calls[1].send(openai.final_events("chat", "chatcmpl-2", "m", 6, "stop", None))
    assert sink.text == "hello" and sink.raw.count(b'"role"') == 1
    assert {chunk.id for chunk in chunks_of(sink)} == {"chatcmpl-1"}


def test_a_call_of_a_tool_that_broke_off_is_not_begun_anew() -> None:
    hall = hall_of("a", "b")
    _, sink = hall.ask(endpoint="chat", body={**CHAT, "tools": [{}]})
    hall.calls[0].send(ROLE)
    hall.calls[0].send(event(b'{"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}'))
    hall.calls[0].fail(BROKEN)
    assert sink.failure is BROKEN and len(hall.calls) == 1


def test_the_tokens_of_two_backends_make_the_prompt_of_the_third() -> None:
    hall = hall_of("a", "b", "c", abilities=VLLM)
    _, sink = hall.ask(endpoint="chat", body={**CHAT, "max_tokens": 9})
    first = b'{"id":"chatcmpl-1","model":"m","created":7,"prompt_token_ids":[1,2,3],"choices":'
    hall.calls[0].send(event(first + b'[{"index":0,"delta":{"role":"assistant","content":"He"},"token_ids":[8]}]}'))
    hall.calls[0].fail(BROKEN)
    hall.calls[1].send(told("ll", [9], prompt_token_ids=[1, 2, 3, 8]) + told("", [10]) + told("o", [11]))
    hall.calls[1].fail(BROKEN)
    asked = hall.calls[2].request
    assert asked.body["prompt"] == [1, 2, 3, 8, 9, 10, 11] and asked.body["max_tokens"] == 5
    hall.calls[2].send(told("!", [12], "stop") + b"data: [DONE]\n\n")
    hall.calls[2].finish()
    assert sink.text == "Hello!"


def test_the_limit_an_engine_sets_of_its_own_holds_over_all_backends() -> None:
    hall = hall_of("a", "b", "c", abilities=frozenset({"continue_final_message"}))
    hall.ask()
    for given in (5, 4):
        hall.calls[-1].say(*["word "] * given)
        hall.calls[-1].fail(BROKEN)
    assert [call.request.body.get("max_tokens") for call in hall.calls] == [None, 11, 7]


def test_token_ids_go_on_with_those_who_take_them_and_nobody_else_is_asked() -> None:
    hall = Hall()
    hall.join("first", abilities=OURS)
    _, sink = hall.ask(body={"prompt": [1, 2, 3]})
    hall.calls[0].send(told("Once", [5]))
    for name in "abc":
        hall.join(name)
    hall.join("ours", abilities=OURS)
    hall.calls[0].fail(BROKEN)
    for _ in range(4):
        if len(hall.calls) == 2:
            break
    assert [call.backend for call in hall.calls] == ["first", "ours"]
    assert hall.calls[1].request.body["continue_from"] == {"text": "Once", "token_ids": [5]}
    hall.calls[1].answer(" upon")
    assert sink.text == "Once upon" and hall.in_flight() == 0
