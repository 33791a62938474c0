from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.base import ChatPrompt, Message, Sampling, SoFar, TextPrompt, TokensPrompt
from backend.errors import InvalidRequest
from backend.server.params import MESSAGES_MAX, Asked, read_chat, read_completions

READERS = (read_chat, read_completions)
USER = {"role": "user", "content": "hi"}


def chat(**fields: Any) -> Asked:
    return read_chat(msgspec.json.encode({"messages": [USER], **fields}))


def completion(**fields: Any) -> Asked:
    return read_completions(msgspec.json.encode({"prompt": "hi", **fields}))


def refusal(read: Callable[..., Asked], *body: bytes, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(*body, **fields)
    return caught.value


def test_the_least_that_can_be_asked() -> None:
    asked = completion()
    assert asked.request.prompt == TextPrompt("hi")
    assert asked.request.sampling == Sampling()
    assert (asked.endpoint, asked.model, asked.stream, asked.include_usage) == ("completions", None, False, False)
    assert chat().request.prompt == ChatPrompt((Message("user", "hi"),))


def test_every_known_field_arrives() -> None:
    sampling = completion(
        max_tokens=3, temperature=0.5, top_p=0.9, top_k=7, seed=-1, stop=["a", ""], repetition_penalty=1.2,
        presence_penalty=0.1, frequency_penalty=-0.1, ignore_eos=True,
    ).request.sampling  # fmt: skip
    assert sampling == Sampling(
        max_tokens=3, temperature=0.5, top_p=0.9, top_k=7, seed=-1, stop=("a",), repetition_penalty=1.2,
        presence_penalty=0.1, frequency_penalty=-0.1, ignore_eos=True,
    )  # fmt: skip
    asked = chat(model="m", stream=True, stream_options={"include_usage": True}, return_token_ids=True)
    assert (asked.model, asked.stream, asked.include_usage, asked.return_token_ids) == ("m", True, True, True)


@pytest.mark.parametrize(
    ("value", "generated", "prompts"),
    [(True, True, True), (False, False, False), (None, False, False), ("continue", True, False)],
)
def test_whose_token_ids_are_told(value: object, generated: bool, prompts: bool) -> None:
    asked = completion(return_token_ids=value)
    assert (asked.return_token_ids, asked.return_prompt_token_ids) == (generated, prompts)


def test_an_answer_so_far_to_go_on_with() -> None:
    for read in (chat, completion):
        assert read(continue_from={"text": "so", "token_ids": [1, 2]}).request.so_far == SoFar("so", (1, 2))
        assert read(continue_from={"text": "so", "token_ids": None}).request.so_far == SoFar("so")
        assert read(continue_from={"text": "so"}).request.so_far == SoFar("so")
        assert read(continue_from=None).request.so_far == SoFar()


@pytest.mark.parametrize(
    "malformed",
    ["so", 1, [], {}, {"token_ids": [1]}, {"text": None}, {"text": 1}, {"text": "so", "token_ids": ["1"]},
     {"text": "so", "token_ids": 7}, {"text": "so", "token_ids": [1.5]}],
)  # fmt: skip
def test_a_malformed_answer_so_far_is_refused(malformed: object) -> None:
    for read in (chat, completion):
        error = refusal(read, continue_from=malformed)
        assert error.status == 400
        assert error.param is not None
        assert error.param.startswith("continue_from")


def test_null_is_absent_and_unknown_fields_are_ignored() -> None:
    names = ("model", "max_tokens", "temperature", "top_p", "seed", "stop", "n", "stream", "stream_options")
    assert completion(**dict.fromkeys(names), user="u", store=True, x={"y": [1]}) == completion()


def test_openais_newer_name_for_max_tokens() -> None:
    assert chat(max_completion_tokens=9).request.sampling.max_tokens == 9


def test_content_may_come_in_text_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = chat(messages=[{"role": "user", "content": parts}, {"role": "assistant", "content": None}])
    assert asked.request.prompt == ChatPrompt((Message("user", "ab"), Message("assistant", "")))
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    assert "image_url" in refusal(chat, messages=[{"role": "user", "content": image}]).message


def test_a_partial_answer_to_go_on_with() -> None:
    prompt = chat(continue_final_message=True, add_generation_prompt=False).request.prompt
    assert isinstance(prompt, ChatPrompt)
    assert prompt.continue_final
    assert not prompt.add_generation_prompt
    error = refusal(chat, continue_final_message=True, add_generation_prompt=True)
    assert error.param == "continue_final_message"


def test_prompts_of_one_text_or_one_list_of_tokens() -> None:
    assert completion(prompt=["hi"]) == completion()
    assert completion(prompt=[1, 2]).request.prompt == TokensPrompt((1, 2))
    assert completion(prompt=[[1, 2]]).request.prompt == TokensPrompt((1, 2))
    assert refusal(completion, prompt=["a", "b"]).code == "unsupported_parameter"
    assert refusal(completion, prompt=["a", 1]).code == "unsupported_parameter"


@pytest.mark.parametrize("prompt", ["", [], [[]], [""], None])
def test_a_prompt_of_nothing_is_refused(prompt: object) -> None:
    assert refusal(completion, prompt=prompt).param == "prompt"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "x"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"logprobs": 1}, "logprobs"),
        ({"echo": True}, "echo"),
        ({"suffix": "s"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": "x" * 257}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 1}, "stream_options"),
        ({"seed": 1.5}, "seed"),
        ({"return_token_ids": "all"}, "return_token_ids"),
        ({"return_token_ids": 1}, "return_token_ids"),
    ],
)
def test_what_can_not_be_served_is_refused_by_the_name_of_its_field(fields: dict[str, Any], param: str) -> None:
    error = refusal(completion, **fields)
    assert (error.status, error.param) == (400, param)
    assert param in error.message


def test_top_k_of_minus_one_means_all_as_in_vllm() -> None:
    assert completion(top_k=-1).request.sampling.top_k == 0


def test_missing_empty_or_endless_messages_are_refused() -> None:
    assert refusal(chat, messages=[]).param == "messages"
    assert refusal(chat, messages=[USER] * (MESSAGES_MAX + 1)).param == "messages"
    assert refusal(chat, messages=[{"content": "no role"}]).code == "invalid_type"
    assert refusal(read_chat, b"{}").param == "messages"


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"model":"\xff"}', "not_json"),
        (b'{"model":"\\ud800"}', "not_json"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
        (b"[]", "invalid_type"),
        (b"7", "invalid_type"),
    ],
)
def test_what_is_no_json_object_is_refused(read: Callable[[bytes], Asked], body: bytes, code: str) -> None:
    error = refusal(read, body)
    assert error.code == code
    assert len(error.message) < 300


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "messages", "model", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop",
                         "n", "stream", "stream_options", "logprobs", "ignore_eos", "continue_final_message",
                         "continue_from", "return_token_ids"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=6,
        ),
    )
)  # fmt: skip
def test_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        body = msgspec.json.encode(fields)
    except UnicodeEncodeError:
        return  # a lone surrogate can't be sent
    for read in READERS:
        with contextlib.suppress(InvalidRequest):
            sampling = read(body).request.sampling
            assert sampling.temperature is None or 0 <= sampling.temperature <= 2
            assert sampling.max_tokens is None or sampling.max_tokens >= 1


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in READERS:
        with pytest.raises(InvalidRequest):
            read(body)
