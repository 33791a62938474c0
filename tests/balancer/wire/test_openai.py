from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import openai
from balancer.wire.dialect import Usage
from balancer.wire.openai import chunk_text, is_plain, parse_chunk
from balancer.wire.sse import event_data


def chunk(choice: dict[str, Any] | None = None, **fields: Any) -> bytes:
    choices = [] if choice is None else [{"index": 0, **choice}]
    return json.dumps({"id": "c", "model": "m", "choices": choices, **fields}).encode()


def text_of(data: bytes) -> str:
    return "".join(map(chunk_text, parse_chunk(data).choices))


# --- chunks -----------------------------------------------------------------------------------------------------


@given(st.text())
def test_text_is_read_from_chat_and_from_completions(text: str) -> None:
    assert text_of(chunk({"delta": {"content": text}})) == text
    assert text_of(chunk({"text": text})) == text


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]


def test_of_a_content_in_parts_the_text_is_read() -> None:
    assert text_of(chunk({"delta": {"content": PARTS}})) == "so"


@pytest.mark.parametrize(
    "choice", [{"delta": {}}, {"delta": {"content": None}}, {"delta": {"content": []}}, {"text": ""}, {}, None]
)
def test_a_chunk_without_text_says_nothing(choice: dict[str, Any] | None) -> None:
    assert text_of(chunk(choice)) == ""


def test_usage_and_finish_reason_are_read() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "prompt_tokens_details": None}
    parsed = parse_chunk(chunk({"delta": {}, "finish_reason": "stop"}, usage=usage))
    assert parsed.usage == Usage(3, 5, 8)
    assert parsed.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"content": "a", "tool_calls": None, "refusal": None, "reasoning_content": None},
        {"content": "a", "tool_calls": [], "reasoning_content": ""},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": []},
    ],
)
def test_text_alone_is_plain(delta: dict[str, Any]) -> None:
    assert is_plain(parse_chunk(chunk({"delta": delta, "logprobs": None})))


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}},
        {"delta": {"function_call": {"name": "f"}}},
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"reasoning": "hm"}},
        {"delta": {"content": PARTS}},
        {"delta": {"refusal": "no"}},
        {"delta": {"content": "a"}, "logprobs": {"content": []}},
        {"text": "a", "logprobs": {"tokens": ["a"]}},
        {"index": 1, "delta": {"content": "a"}},
    ],
)
def test_anything_beyond_text_is_not_plain(choice: dict[str, Any]) -> None:
    assert not is_plain(parse_chunk(chunk(choice)))


def test_two_choices_are_not_plain() -> None:
    assert not is_plain(parse_chunk(b'{"choices":[{"text":"a"},{"text":"b"}]}'))


def test_an_error_inside_a_stream_is_kept() -> None:
    parsed = parse_chunk(b'{"error":{"message":"out of memory","code":500}}')
    assert bytes(parsed.error) == b'{"message":"out of memory","code":500}'
    assert bytes(parse_chunk(b"{}").error) == b"null"
    assert bytes(parse_chunk(b'{"error":null}').error) == b"null"


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b"[]", b"[DONE]", b'{"choices":5}', b'{"choices":[{"text":"\xff"}]}', b'{"a":' + b"[" * 100_000],
)
def test_what_is_no_chunk_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_chunk(data)


@given(st.binary(max_size=200))
def test_chunks_at_random_are_read_or_refused(data: bytes) -> None:
    try:
        parsed = parse_chunk(data)
    except ValueError:
        return
    assert isinstance(is_plain(parsed), bool)


# --- requests ---------------------------------------------------------------------------------------------------

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "Hel"}, {"type": "image_url"}, {"type": "text", "text": "lo"}],
    },
]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        (MESSAGES[1]["content"], "Hello"),
        (None, ""),
        (5, ""),
        ([{"type": "text"}, {"type": "text", "text": 5}, "x"], ""),
    ],
)
def test_the_text_of_a_content(content: object, text: str) -> None:
    assert openai.content_text(content) == text


def test_a_conversation_without_template_is_joined_by_blank_lines() -> None:
    assert openai.messages_text(MESSAGES) == "Be brief.\n\nHello"
    assert openai.messages_text(None) == ""
    assert openai.messages_text(["x", {}]) == ""


def test_a_body_goes_out_in_the_form_that_was_asked() -> None:
    endpoint, body = openai.body_for(
        {"prompt": "a", "shiny": 1}, "completions", frozenset({"chat", "completions"}), "m"
    )
    assert endpoint == "completions"
    assert json.loads(body) == {
        "prompt": "a",
        "shiny": 1,
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_prompt_becomes_one_user_message_where_only_chat_is_offered() -> None:
    endpoint, body = openai.body_for({"prompt": "a", "seed": 1}, "completions", frozenset({"chat"}), "m")
    sent = json.loads(body)
    assert endpoint == "chat"
    assert (sent["messages"], sent["seed"]) == ([{"role": "user", "content": "a"}], 1)
    assert "prompt" not in sent


def test_a_conversation_becomes_a_prompt_where_only_completions_are_offered() -> None:
    body = {"messages": MESSAGES, "max_completion_tokens": 9}
    endpoint, encoded = openai.body_for(body, "chat", frozenset({"completions"}), "m")
    sent = json.loads(encoded)
    assert endpoint == "completions"
    assert (sent["prompt"], sent["max_tokens"]) == ("Be brief.\n\nHello", 9)
    assert not {"messages", "max_completion_tokens"} & sent.keys()


RAW = b' {"model": "m", "prompt":"gr\\u00fc\xc3\x9f" ,"n": 1.50, "n": 2, "stream" : %b}\r\n\n'
BOTH = frozenset({"chat", "completions"})


def sent(raw: bytes, *, stream: bool, model: str = "m", offered: frozenset[str] = BOTH) -> bytes:
    return openai.body_for(json.loads(raw), "completions", offered, model, stream=stream, raw=raw)[1]


def test_a_body_goes_on_as_it_came_where_nothing_has_to_change() -> None:
    raw = RAW % b"false"
    assert sent(raw, stream=False) == raw
    told = RAW.replace(b"}", b',"stream_options":{"include_usage":true}}') % b"true"
    assert sent(told, stream=True) == told


def test_a_stream_is_asked_to_tell_usage_by_a_field_spliced_in_at_the_end() -> None:
    raw = RAW % b"true"
    out = sent(raw, stream=True)
    assert out == raw.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'
    assert json.loads(out) == json.loads(raw) | {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("given_options", "told"),
    [
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_usage": True, "include_obfuscation": False}),
        (None, {"include_usage": True}),
        ("what?", {"include_usage": True}),
    ],
)
def test_other_options_of_a_stream_stay(given_options: object, told: dict[str, bool]) -> None:
    raw = json.dumps({"model": "m", "prompt": "x", "stream": True, "stream_options": given_options}).encode()
    assert json.loads(sent(raw, stream=True))["stream_options"] == told


def test_a_body_that_names_another_model_or_none_is_written_anew() -> None:
    raw = RAW % b"false"
    assert json.loads(sent(raw, stream=False, model="other")) == json.loads(raw) | {"model": "other"}
    unnamed = b'{"prompt": "x"}'
    assert json.loads(sent(unnamed, stream=False)) == {"prompt": "x", "model": "m"}


def test_a_body_for_the_other_endpoint_is_written_anew() -> None:
    found = json.loads(sent(RAW % b"false", stream=False, offered=frozenset({"chat"})))
    assert found["messages"][0]["content"] == "gr\u00fc\u00df" and found["stream"] is False


def test_the_request_itself_is_never_changed() -> None:
    body: dict[str, Any] = {"messages": MESSAGES, "stream": False}
    openai.body_for(body, "chat", frozenset({"completions"}), "m")
    openai.body_for(body, "chat", frozenset({"chat"}), "m")
    assert body == {"messages": MESSAGES, "stream": False}


@pytest.mark.parametrize(("endpoint", "offered"), [("chat", {"embeddings"}), ("embeddings", {"chat"}), ("chat", set())])
def test_a_backend_that_offers_no_form_is_an_error(endpoint: str, offered: set[str]) -> None:
    with pytest.raises(ValueError, match="no form"):
        openai.body_for({"messages": MESSAGES, "prompt": "a"}, endpoint, frozenset(offered), "m")


# --- what we write ourselves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@given(text=st.text())
def test_our_own_stream_reads_like_an_engines(endpoint: str, text: str) -> None:
    stream = openai.text_event(endpoint, "id", "m", 1, text)
    stream += openai.final_events(endpoint, "id", "m", 1, "stop", Usage(1, 2, 3))
    *chunks, done = event_data(stream)
    parsed = [parse_chunk(data) for data in chunks]
    assert done == b"[DONE]"
    assert "".join(chunk_text(choice) for part in parsed for choice in part.choices) == text
    assert parsed[1].choices[0].finish_reason == "stop"
    assert parsed[2].usage == Usage(1, 2, 3)
    assert all(is_plain(part) for part in parsed)


def test_a_role_is_named_where_a_choice_begins_and_only_in_chat() -> None:
    assert openai.streamed_choice("chat", "a", None, role=True)["delta"] == {"role": "assistant", "content": "a"}
    assert openai.streamed_choice("chat", "a", None)["delta"] == {"content": "a"}
    assert openai.streamed_choice("chat", "", "stop", index=3)["delta"] == {}
    assert openai.streamed_choice("completions", "a", None, index=3, role=True)["text"] == "a"


def test_usage_is_left_out_where_it_is_unknown() -> None:
    *chunks, done = event_data(openai.final_events("chat", "id", "m", 1, "length", None))
    assert (len(chunks), done) == (1, b"[DONE]")


def test_our_errors_have_openais_shape() -> None:
    body = json.loads(openai.error_body("words", "invalid_request_error", "some_code", "prompt"))
    expected = {"message": "words", "type": "invalid_request_error", "param": "prompt", "code": "some_code"}
    assert body == {"error": expected}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (openai.error_body("words", "t", "c"), ("words", "c")),
        (b'{"error":{"message":"words","type":"t","code":400}}', ("words", "t")),
        (b'{"error":"words"}', ("words", None)),
        (b'{"object":"error","message":"words","code":40301}', ("words", None)),
        (b'{"detail":"words"}', ("words", None)),
        (b'{"detail":[{"loc":["body"]}]}', ("", None)),
        (b"<html>no</html>", ("", None)),
        (b"", ("", None)),
        (b"[]", ("", None)),
        (b'{"error":5}', ("", None)),
        (b'{"error":"\xff"}', ("", None)),
        (b'{"error":' + b"[" * 100_000, ("", None)),
    ],
)
def test_the_error_of_an_engine_is_found_whatever_its_shape(body: bytes, error: tuple[str, str | None]) -> None:
    assert openai.error_in(body) == (*error, None)


def test_usage_that_was_not_counted_is_none() -> None:
    chunk = parse_chunk(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":null,"total_tokens":null}}')
    assert chunk.usage is None
    chunk = parse_chunk(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}')
    assert chunk.usage == Usage(3, 2, 5)


@pytest.mark.parametrize("choices", [b"null", b"7", b"[7]"])
def test_prompt_ids_are_taken_out_of_whatever_stands_around_them(choices: bytes) -> None:
    told = b'data: {"prompt_token_ids":[1],"choices":' + choices + b'}\n\ndata: {"choices":\ndata: []}\n\n'
    first, second = event_data(openai.without_prompt_ids(told))
    assert b"prompt_token_ids" not in first and json.loads(second) == {"choices": []}


def test_events_are_well_up_to_the_first_that_is_an_error_or_no_chunk() -> None:
    well = openai.text_event("chat", "x", "m", 1, "a") + b": ping\n\ndata: [DONE]\n\n"
    assert not openai.until_broken(well)
    error = openai.until_broken(well + b'data: {"error":{"message":"out of memory"}}\n\n' + well)
    assert error == (well, "an error event", "out of memory")
    for junk in (b'data: {"choices": [{"te\n\n', b'data: {"choices":[[]]}\n\n', b"data: oops\n\n"):
        assert openai.until_broken(well + junk + well) == (well, "an event that cannot be read", "")


def test_a_list_of_one_prompt_is_that_prompt() -> None:
    assert openai.chat_from_completion({"prompt": ["x"]})["messages"] == [{"role": "user", "content": "x"}]
