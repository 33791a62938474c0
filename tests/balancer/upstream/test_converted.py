from __future__ import annotations

import json

from balancer import errors
from balancer.request import Request
from balancer.upstream.converted import Converted
from balancer.wire import openai
from balancer.wire.openai import parse_chunk
from balancer.wire.sse import event, event_data
from tests.balancer.upstream.engine import Listener
from tests.fakes import last_events, text_events


def converted(endpoint: str) -> tuple[Converted, Listener]:
    listener = Listener()
    return Converted(listener, Request("r1", "t", endpoint, {}, 0)), listener


def chat_events(text: str) -> bytes:
    return openai.text_event("chat", "chatcmpl-1", "m", 0, text) + openai.final_events(
        "chat", "chatcmpl-1", "m", 0, "stop", None
    )


def test_a_chat_stream_becomes_completions() -> None:
    receiver, listener = converted("completions")
    receiver.on_events(chat_events("Once"))
    receiver.on_end()
    datas = list(event_data(listener.raw))
    chunks = [parse_chunk(data) for data in datas[:-1]]
    assert datas[-1] == b"[DONE]"
    assert "".join(choice.text or "" for chunk in chunks for choice in chunk.choices) == "Once"
    assert all(choice.delta is None for chunk in chunks for choice in chunk.choices)
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert listener.ended


def test_a_completions_stream_becomes_chat() -> None:
    receiver, listener = converted("chat")
    receiver.on_events(text_events("Once") + last_events())
    chunks = [parse_chunk(data) for data in list(event_data(listener.raw))[:-1]]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas if delta is not None) == "Once"
    assert any(chunk.usage is not None for chunk in chunks)


def test_id_and_role_are_constant_over_the_pieces_of_a_stream() -> None:
    receiver, listener = converted("chat")
    for piece in (text_events("Once "), text_events("upon"), last_events()):
        receiver.on_events(piece)
    chunks = [json.loads(data) for data in list(event_data(listener.raw))[:-1]]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-r1"}
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas == [{"role": "assistant", "content": "Once "}, {"content": "upon"}, {}]


def test_a_piece_that_says_nothing_is_not_passed_on() -> None:
    receiver, listener = converted("chat")
    receiver.on_events(b": ping\n\n")
    assert listener.pieces == 0


def test_what_cannot_be_read_is_left_to_whoever_reads_it_next() -> None:
    receiver, listener = converted("chat")
    receiver.on_events(event(b"{nonsense"))
    assert listener.raw == event(b"{nonsense")
    receiver.on_whole(b"<html>")
    assert listener.body == b"<html>"


def test_a_whole_answer_changes_its_form_and_keeps_what_it_says() -> None:
    receiver, listener = converted("completions")
    message = {"role": "assistant", "content": "Once"}
    body = {"id": "x", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    receiver.on_whole(json.dumps(body).encode())
    assert listener.body is not None
    found = json.loads(listener.body)
    assert found["choices"][0]["text"] == "Once"
    assert found["choices"][0]["finish_reason"] == "stop"


def test_a_failure_passes_through() -> None:
    receiver, listener = converted("chat")
    failure = errors.backend_lost("b")
    receiver.on_failure(failure)
    assert listener.failure is failure
