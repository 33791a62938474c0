from __future__ import annotations

from typing import Any

import msgspec

from backend.engines.base import Piece, Usage
from backend.server.answers import AnswerHead, error_event
from balancer.wire.openai import chunk_text, is_plain, parse_chunk
from balancer.wire.sse import event_data

LAST = Piece("!", (3,), "stop", Usage(4, 3))


def decoded(data: bytes) -> list[Any]:
    return [msgspec.json.decode(event) for event in event_data(data) if event != b"[DONE]"]


def test_a_whole_chat_answer() -> None:
    body = msgspec.json.decode(AnswerHead("chat", "id", "m", 7).body("hi!", None, LAST, None))
    assert body == {
        "id": "id",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi!"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
    }


def test_a_whole_completion_with_token_ids() -> None:
    body = msgspec.json.decode(AnswerHead("completions", "id", "m", 7).body("hi!", [1, 2, 3], LAST, [8, 9]))
    assert body["object"] == "text_completion"
    choice = body["choices"][0]
    assert (choice["text"], choice["token_ids"], choice["prompt_token_ids"]) == ("hi!", [1, 2, 3], [8, 9])


def test_a_chat_stream_begins_with_the_role_and_ends_with_done() -> None:
    events = AnswerHead("chat", "id", "m", 7).events(None, token_ids=False)
    stream = events.first() + events.text(Piece('a"\n', (1,))) + events.last(LAST, include_usage=True)
    assert stream.endswith(b"data: [DONE]\n\n")
    role, text, last, usage = decoded(stream)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert text["choices"] == [{"index": 0, "delta": {"content": 'a"\n'}, "logprobs": None, "finish_reason": None}]
    assert last["choices"][0]["delta"] == {"content": "!"}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert {event["object"] for event in (role, text, last, usage)} == {"chat.completion.chunk"}


def test_a_completion_stream_tells_token_ids_only_if_asked() -> None:
    head = AnswerHead("completions", "id", "m", 7)
    plain, asked = head.events(None, token_ids=False), head.events((8, 9), token_ids=True)
    assert plain.first() == b""
    assert decoded(asked.first())[0]["choices"][0]["prompt_token_ids"] == [8, 9]
    assert "token_ids" not in decoded(plain.text(Piece("a", (1,))))[0]["choices"][0]
    assert decoded(asked.text(Piece("a", (1,))))[0]["choices"][0]["token_ids"] == [1]
    assert decoded(asked.last(LAST, include_usage=False))[0]["choices"][0]["token_ids"] == [3]


def test_token_ids_of_the_answer_may_be_told_without_the_prompts() -> None:
    for endpoint in ("chat", "completions"):
        head = AnswerHead(endpoint, "id", "m", 7)
        events = head.events(None, token_ids=True)
        stream = events.first() + events.text(Piece("a", (1,))) + events.last(LAST, include_usage=False)
        assert b"prompt_token_ids" not in stream
        assert [chunk["choices"][0].get("token_ids") for chunk in decoded(stream)][-2:] == [[1], [3]]
        body = msgspec.json.decode(head.body("hi!", [1, 2, 3], LAST, None))
        assert body["choices"][0]["token_ids"] == [1, 2, 3]


def test_the_balancer_reads_every_event_as_plain_text() -> None:
    for endpoint in ("chat", "completions"):
        events = AnswerHead(endpoint, "id", "m", 7).events((1,), token_ids=True)
        stream = events.first() + events.text(Piece("a", (1,))) + events.last(LAST, include_usage=True)
        chunks = [parse_chunk(data) for data in event_data(stream) if data != b"[DONE]"]
        assert all(is_plain(chunk) for chunk in chunks)
        assert "".join(chunk_text(choice) for chunk in chunks for choice in chunk.choices) == "a!"
        assert chunks[-1].usage is not None


def test_an_error_inside_a_stream_is_an_event_with_an_error_object() -> None:
    assert decoded(error_event("broke", "server_error", "engine_failed")) == [
        {"error": {"message": "broke", "type": "server_error", "param": None, "code": "engine_failed"}}
    ]
