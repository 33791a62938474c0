from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import openai
from balancer.wire.continuation import COMPLETION_TOKENS, Begun, Seam, can_continue, continued, tokens_left
from balancer.wire.dialect import Usage
from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event, event_data

BEGUN = Begun("cmpl-1", "m", 7, "Once upon", 2)
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("body", "endpoint", "can"),
    [
        ({"prompt": "x", "n": 1, "tools": [], "stop": ["y"], "temperature": 1, "seed": 4}, "completions", True),
        (CHAT, "chat", True),
        ({"prompt": ["x"]}, "completions", False),
        ({"prompt": [1, 2]}, "completions", False),
        ({"prompt": "x", "n": 2}, "completions", False),
        ({"prompt": "x", "logprobs": 0}, "completions", True),
        ({"prompt": "x", "logprobs": 1}, "completions", False),
        ({**CHAT, "tools": [{}]}, "chat", False),
        ({**CHAT, "continue_final_message": True}, "chat", False),
        ({**CHAT, "add_generation_prompt": False}, "chat", False),
        ({"input": "x"}, "responses", False),
    ],
)
def test_only_an_answer_that_is_one_free_text_can_be_continued(body: dict[str, Any], endpoint: str, can: bool) -> None:
    assert can_continue(body, endpoint) is can


@pytest.mark.parametrize(
    ("body", "left"),
    [({}, True), ({"max_tokens": 3}, True), ({"max_tokens": 2}, False), ({"max_completion_tokens": 1}, False)],
)
def test_a_limit_may_be_reached_already(body: dict[str, Any], left: bool) -> None:
    assert tokens_left(body, BEGUN) is left


def test_limits_shrink_and_never_below_nothing() -> None:
    body = {"prompt": "x", "max_tokens": 10, "min_tokens": 1}
    assert continued(body, "completions", (), ("completions",), BEGUN) == (
        "completions",
        {"prompt": "xOnce upon", "max_tokens": 8, "min_tokens": 0},
    )
    assert body["max_tokens"] == 10


def test_an_engine_without_the_means_is_an_error() -> None:
    with pytest.raises(ValueError):
        continued(CHAT, "chat", (), ("chat",), BEGUN)


def test_where_nothing_was_said_yet_it_is_asked_from_the_beginning() -> None:
    assert continued(CHAT, "chat", ("continue_final_message",), ("chat",), BEGUN._replace(text="", tokens=0)) == (
        "chat",
        CHAT,
    )


def test_a_chunk_that_says_nothing_new_is_dropped_and_the_end_stays() -> None:
    seam = Seam(BEGUN, summed=False)
    role = openai.chunk_event("chat", "x", "other", 9, [openai.streamed_choice("chat", "", None, role=True)])
    assert seam.rewrite(role) == b""
    assert seam.rewrite(b"data: [DONE]\n\n") == b"data: [DONE]\n\n"
    assert seam.rewrite(b": ping\n\n") == b""


def test_tool_calls_and_reasoning_are_not_dropped() -> None:
    chunk = event(b'{"id":"x","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}')
    assert b"hm" in Seam(BEGUN, summed=False).rewrite(chunk)


@pytest.mark.parametrize("data", [b"[]", b"7", b'{"choices":7}', b"{", b'"x"'])
def test_what_is_no_chunk_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        Seam(BEGUN, summed=False).rewrite(event(data))


def test_usage_that_the_engine_summed_up_itself_is_left_as_it_is() -> None:
    events = openai.chunk_event("chat", "x", "m", 9, [], Usage(3, 5, 8))
    (data,) = event_data(Seam(BEGUN, summed=True).rewrite(events))
    assert msgspec.json.decode(data)["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


@given(st.lists(st.text(max_size=20), max_size=8), st.sampled_from(["chat", "completions"]))
def test_whatever_is_said_goes_on_whole_under_the_first_id(texts: list[str], endpoint: str) -> None:
    events = b"".join(openai.text_event(endpoint, "other", "n", 9, text) for text in texts)
    told = [parse_chunk(data) for data in event_data(Seam(BEGUN, summed=False).rewrite(events))]
    assert "".join(chunk_text(chunk.choices[0]) for chunk in told) == "".join(texts)
    assert {(chunk.id, chunk.model, chunk.created) for chunk in told} <= {("cmpl-1", "m", 7)}


def test_where_text_may_be_held_back_for_a_stop_string_the_text_counts_and_not_the_tokens() -> None:
    begun = BEGUN._replace(token_ids=[4, 5, 6], prompt_token_ids=[1])
    for stop, prompt in ((None, [1, 4, 5, 6]), (["</answer>"], "xOnce upon")):
        _, body = continued({"prompt": "x", "stop": stop}, "completions", ("token_ids",), ("completions",), begun)
        assert body["prompt"] == prompt


@pytest.mark.parametrize(
    ("endpoint", "limits", "left"),
    [
        ("chat", {}, None),
        ("chat", {"max_completion_tokens": 10}, 10),
        ("chat", {"max_tokens": 20, "max_completion_tokens": 10}, 10),
        ("completions", {"max_tokens": 10}, 10),
        ("completions", {}, COMPLETION_TOKENS),
    ],
)
def test_what_goes_on_as_token_ids_keeps_the_limit_of_its_first_endpoint(
    endpoint: str, limits: dict[str, int], left: int | None
) -> None:
    begun = BEGUN._replace(tokens=3, token_ids=[4, 5, 6], prompt_token_ids=[1])
    asked = {"messages": [{"role": "user", "content": "x"}], "prompt": "x", **limits}
    found, body = continued(asked, endpoint, ("token_ids",), ("chat", "completions"), begun)
    assert found == "completions" and "max_completion_tokens" not in body
    assert body["max_tokens"] == (left if left is None else left - 3)
