from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import openai
from balancer.wire.dialect import Usage
from balancer.wire.sse import DONE, event, event_data
from balancer.wire.whole import (
    as_endpoint,
    content_of,
    is_plain_whole,
    parse_whole,
    whole_as,
    whole_body,
    whole_text,
    without_usage,
)

USAGE = Usage(1, 2, 3)


def body(*choices: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"model": "m", "choices": [{"index": i, **c} for i, c in enumerate(choices)], **fields}).encode()


def chunk(*choices: dict[str, Any], **fields: Any) -> bytes:
    return event(json.dumps({"id": "i", "model": "m", "choices": list(choices), **fields}).encode())


# --- reading


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@given(text=st.text(), reason=st.sampled_from(["stop", "length", None]))
def test_our_own_body_reads_like_an_engines(endpoint: str, text: str, reason: str | None) -> None:
    found = parse_whole(whole_body(endpoint, "id", "m", 7, text, reason, USAGE))
    assert (whole_text(found), found.choices[0].finish_reason, found.model, found.created) == (text, reason, "m", 7)
    assert found.usage == USAGE
    assert is_plain_whole(found)


def test_a_body_of_ours_has_openais_form() -> None:
    chat = json.loads(whole_body("chat", "chatcmpl-1", "m", 7, "hi", "stop", None))
    assert chat == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "hi"},
            }
        ],
    }


@pytest.mark.parametrize(
    ("choices", "plain"),
    [
        ([{"text": "a"}], True),
        ([{"text": "a", "logprobs": None}], True),
        (
            [{"message": {"role": "assistant", "content": "a", "refusal": None, "tool_calls": [], "annotations": []}}],
            True,
        ),
        ([{"text": "a"}, {"text": "b"}], False),
        ([{"text": "a", "logprobs": {"tokens": []}}], False),
        ([{"message": {"content": "a", "tool_calls": [{"id": "x"}]}}], False),
        ([{"message": {"content": "a", "reasoning_content": "hm"}}], False),
        ([{"message": {"content": "a", "audio": {"id": "x"}}}], False),
    ],
)
def test_plain_is_one_choice_of_text_and_nothing_else(choices: list[dict[str, Any]], plain: bool) -> None:
    assert is_plain_whole(parse_whole(body(*choices))) is plain


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":5}',
        b'{"error":{"message":"out of memory"}}',
        b'{"choices":[{"text":"\xff"}]}',
        b'{"choices":[{"message":' + b'{"x":' * 100_000,
        b'data: {"choices":[{"text":"a"}]}\n\n',
    ],
)
def test_what_is_no_answer_is_a_value_error(junk: bytes) -> None:
    with pytest.raises(ValueError):
        parse_whole(junk)


@given(st.binary())
def test_reading_anything_gives_an_answer_or_a_value_error(data: bytes) -> None:
    try:
        found = parse_whole(data)
    except ValueError:
        return
    assert isinstance(whole_text(found), str)


@pytest.mark.parametrize("content", [None, 5, [{"type": "image_url"}, 7]])
def test_a_content_that_is_no_text_reads_as_none(content: object) -> None:
    assert whole_text(parse_whole(body({"message": {"content": content}}))) == ""


def test_of_a_content_in_parts_the_text_is_read_but_it_is_not_plain() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "x"}]
    whole = parse_whole(body({"message": {"role": "assistant", "content": parts}, "finish_reason": "stop"}))
    assert whole_text(whole) == "x" and not is_plain_whole(whole)


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        (None, None),
        ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, None),
        ({"prompt_tokens": 3, "completion_tokens": None}, None),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": None}, Usage(3, 4, 7)),
        ({"prompt_tokens": 3}, Usage(3, 0, 3)),
    ],
)
def test_what_an_engine_did_not_count_is_no_reason_to_refuse_its_answer(told: object, usage: Usage | None) -> None:
    found = parse_whole(json.dumps({"choices": [{"text": "x"}], "usage": told}).encode())
    assert (whole_text(found), found.usage) == ("x", usage)


# --- usage that nobody asked for

ALONE = [
    chunk(usage={"prompt_tokens": 1}),
    event(b'{"id":"i",\ndata: "choices": [],\ndata: "usage": {"total_tokens": 3}}'),
    b': note\r\nid: 7\r\ndata: {"usage":{"prompt_tokens":1}}\r\n\r\n',
]
KEPT = [
    chunk({"index": 0, "text": "a"}),
    chunk({"index": 0, "text": "a"}, usage=None),
    chunk({"index": 0, "text": "a"}, usage={"prompt_tokens": 1}),
    chunk({"index": 0, "text": 'the "usage" of words'}),
    chunk(usage=None),
    event(b'{"usage": nonsense}'),
    b': a comment about "usage"\n\n',
    b'id: 8\r\ndata:{"choices":[],"odd":{"usage":1}}\r\n\r\n',
    DONE,
]


@given(st.lists(st.sampled_from(ALONE + KEPT), max_size=8))
def test_only_chunks_of_usage_alone_are_taken_out_and_the_rest_stays_to_the_byte(events: list[bytes]) -> None:
    assert without_usage(b"".join(events)) == b"".join(one for one in events if one in KEPT)


def test_events_without_usage_are_not_even_copied() -> None:
    events = KEPT[0] * 3
    assert without_usage(events) is events


# --- from one endpoint to the other


def converted(endpoint: str, *events: bytes) -> list[dict[str, Any]]:
    begun: set[int] = set()
    out = b"".join(as_endpoint(piece, endpoint, "id-1", begun) for piece in events)
    return [json.loads(data) for data in event_data(out) if data != b"[DONE]"]


def test_a_chat_made_of_completions_names_the_role_once_and_first() -> None:
    found = converted(
        "chat",
        chunk({"index": 0, "text": "Once "}, created=7),
        chunk({"index": 0, "text": "upon"}, created=7) + chunk({"index": 0, "text": "", "finish_reason": "stop"}),
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}) + DONE,
    )
    assert [c["delta"] for part in found for c in part["choices"]] == [
        {"role": "assistant", "content": "Once "},
        {"content": "upon"},
        {},
    ]
    assert {(part["id"], part["object"], part["model"]) for part in found} == {("id-1", "chat.completion.chunk", "m")}
    assert found[0]["created"] == 7
    assert found[-1]["choices"] == [] and found[-1]["usage"]["total_tokens"] == 3


def test_completions_made_of_a_chat_say_the_same() -> None:
    found = converted(
        "completions",
        chunk({"index": 0, "delta": {"role": "assistant", "content": ""}}),
        chunk({"index": 0, "delta": {"content": "Once"}}),
        chunk({"index": 0, "delta": {}, "finish_reason": "length"}) + DONE,
    )
    assert "".join(c["text"] for part in found for c in part["choices"]) == "Once"
    assert found[-1]["choices"][0]["finish_reason"] == "length"
    assert {part["object"] for part in found} == {"text_completion"}


def test_several_choices_stay_apart() -> None:
    pieces = [({"index": i, "text": f"{i}{n}"},) for n in range(2) for i in range(3)]
    found = converted("chat", *(chunk(*choices) for choices in pieces))
    texts = dict.fromkeys(range(3), "")
    for part in found:
        for choice in part["choices"]:
            texts[choice["index"]] += choice["delta"]["content"]
    assert texts == {0: "0001", 1: "1011", 2: "2021"}
    assert sum("role" in choice["delta"] for part in found for choice in part["choices"]) == 3


def test_events_that_say_nothing_are_left_out_and_junk_is_a_value_error() -> None:
    assert as_endpoint(b": ping\n\n", "chat", "i", set()) == b""
    assert as_endpoint(DONE, "chat", "i", set()) == DONE
    with pytest.raises(ValueError):
        as_endpoint(event(b"{nonsense"), "chat", "i", set())


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_whole_answer_changes_its_form_with_all_its_choices(endpoint: str) -> None:
    texts = [{"text": "a", "finish_reason": "stop"}, {"text": "b", "finish_reason": "length"}]
    messages = [{"message": {"content": c["text"]}, "finish_reason": c["finish_reason"]} for c in texts]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    given_body = body(*(texts if endpoint == "chat" else messages), usage=usage, created=7.0)
    found = parse_whole(whole_as(parse_whole(given_body), endpoint, "id-1"))
    assert [(c.index, content_of(c), c.finish_reason) for c in found.choices] == [(0, "a", "stop"), (1, "b", "length")]
    assert found.usage == USAGE and found.created == 7


def test_token_ids_stay_where_the_endpoint_changes() -> None:
    choice = {"index": 0, "text": "", "finish_reason": None, "token_ids": [5], "prompt_token_ids": [1]}
    held = openai.chunk_event("completions", "x", "m", 1, [choice])
    converted = as_endpoint(held + openai.text_event("completions", "x", "m", 1, "a"), "chat", "y", {0})
    first, second = (openai.parse_chunk(data).choices[0] for data in event_data(converted))
    assert (first.token_ids, first.prompt_token_ids, second.token_ids) == ([5], None, None)
