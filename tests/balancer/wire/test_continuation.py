from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import openai
from balancer.wire.continuation import COMPLETION_TOKENS, Begun, Seam, can_continue, continued, limited, tokens_left
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
        ({"prompt": ["x"]}, "completions", True),
        ({"prompt": [1, 2]}, "completions", True),
        ({"prompt": [[1, 2]]}, "completions", True),
        ({"prompt": ["x", "y"]}, "completions", False),
        ({"prompt": []}, "completions", False),
        ({}, "completions", False),
        ({"prompt": "x", "n": 2}, "completions", False),
        ({"prompt": "x", "logprobs": 0}, "completions", True),
        ({"prompt": "x", "logprobs": 1}, "completions", False),
        ({"prompt": "x", "best_of": 1}, "completions", True),
        ({"prompt": "x", "best_of": 2}, "completions", False),
        ({**CHAT, "tools": [{}]}, "chat", False),
        ({**CHAT, "tools": [{}], "tool_choice": "auto"}, "chat", False),
        ({**CHAT, "tools": [{}], "tool_choice": "none"}, "chat", True),
        ({**CHAT, "functions": [{}], "function_call": "none"}, "chat", True),
        ({**CHAT, "functions": [{}], "function_call": {"name": "f"}}, "chat", False),
        ({**CHAT, "response_format": {"type": "text"}, "modalities": ["text"]}, "chat", True),
        ({**CHAT, "response_format": {"type": "json_object"}}, "chat", False),
        ({**CHAT, "modalities": ["text", "audio"]}, "chat", False),
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
        ("completions", {}, None),
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


VLLM = ("continue_final_message", "token_ids")
BOTH = ("chat", "completions")


@pytest.mark.parametrize(
    ("endpoint", "body", "abilities", "offered", "limit"),
    [
        ("completions", {"prompt": "x"}, VLLM, BOTH, COMPLETION_TOKENS),
        ("completions", {"prompt": "x"}, ("continue_final_message",), ("completions",), COMPLETION_TOKENS),
        ("chat", CHAT, VLLM, ("completions",), COMPLETION_TOKENS),
        ("chat", CHAT, VLLM, BOTH, None),
        ("completions", {"prompt": "x"}, VLLM, ("chat",), None),
        ("completions", {"prompt": "x", "max_tokens": 40}, VLLM, BOTH, 40),
        ("completions", {"prompt": "x", "max_tokens": None}, VLLM, BOTH, None),
        ("completions", {"prompt": "x"}, ("continue_from", *VLLM), BOTH, None),
        ("completions", {"prompt": "x"}, (), BOTH, None),
    ],
)
def test_the_limit_that_an_engine_sets_of_its_own_holds_for_the_whole_answer(
    endpoint: str, body: dict[str, Any], abilities: tuple[str, ...], offered: tuple[str, ...], limit: int | None
) -> None:
    assert limited(body, endpoint, abilities, offered, BEGUN).get("max_tokens") == limit


def test_who_gave_more_than_that_has_no_such_limit() -> None:
    body = {"prompt": "x"}
    assert limited(body, "completions", VLLM, BOTH, BEGUN._replace(tokens=COMPLETION_TOKENS + 1)) is body


def test_the_one_prompt_of_a_list_is_a_prompt() -> None:
    for prompt in ("x", ["x"]):
        _, body = continued({"prompt": prompt}, "completions", (), ("completions",), BEGUN)
        assert body["prompt"] == "xOnce upon"


@pytest.mark.parametrize("prompt", [[1, 2], [[1, 2]]])
def test_a_prompt_of_token_ids_goes_on_as_token_ids(prompt: list[Any]) -> None:
    begun = BEGUN._replace(token_ids=[8, 9])
    assert continued({"prompt": prompt}, "completions", VLLM, BOTH, begun)[1]["prompt"] == [1, 2, 8, 9]
    ours = continued({"prompt": prompt}, "completions", ("continue_from",), BOTH, begun)[1]
    assert (ours["prompt"], ours["continue_from"]["token_ids"]) == (prompt, [8, 9])
    for abilities, offered in (((), BOTH), (VLLM, ("chat",))):
        with pytest.raises(ValueError):
            continued({"prompt": prompt}, "completions", abilities, offered, begun)
    with pytest.raises(ValueError):
        continued({"prompt": prompt, "stop": ["."]}, "completions", VLLM, BOTH, begun)


def test_who_has_only_the_other_endpoint_goes_on_there() -> None:
    endpoint, body = continued({"prompt": "x"}, "completions", ("continue_final_message",), ("chat",), BEGUN)
    assert endpoint == "chat" and "prompt" not in body
    assert [message["content"] for message in body["messages"]] == ["x", "Once upon"]
    endpoint, body = continued({**CHAT, "max_completion_tokens": 9}, "chat", (), ("completions",), BEGUN)
    assert (endpoint, body) == ("completions", {"prompt": "hiOnce upon", "max_tokens": 7})
    endpoint, body = continued(CHAT, "chat", ("continue_from",), ("completions",), BEGUN)
    assert (endpoint, body["prompt"], body["continue_from"]["text"]) == ("completions", "hi", "Once upon")


def test_only_the_first_choices_role_was_told() -> None:
    chunk = event(b'{"choices":[{"index":1,"delta":{"role":"assistant","content":""}}]}')
    assert b'"role"' in Seam(BEGUN._replace(text="", tokens=0), summed=False).rewrite(chunk)
