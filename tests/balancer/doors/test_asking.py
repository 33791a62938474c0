from __future__ import annotations

from typing import Any

import pytest

from balancer.doors.asking import MESSAGES_MAX, make_passed, make_request
from balancer.errors import Failure
from balancer.request import Request


def made(body: dict[str, Any], **changes: Any) -> Request:
    request = make_request(body, id="1", tenant="t", **changes)
    assert isinstance(request, Request), request
    return request


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "empty_prompt"),
        ({"prompt": ""}, "empty_prompt"),
        ({"prompt": " \n"}, "empty_prompt"),
        ({"prompt": []}, "empty_prompt"),
        ({"prompt": 7}, "empty_prompt"),
        ({"messages": []}, "invalid_messages"),
        ({"messages": "hi"}, "invalid_messages"),
        ({"messages": [{"role": "user"}, "hi"]}, "invalid_messages"),
        ({"messages": [{}] * (MESSAGES_MAX + 1)}, "too_many_messages"),
        ({"prompt": "x", "model": ""}, "invalid_model"),
        ({"prompt": "x", "model": ["m"]}, "invalid_model"),
        ({"prompt": "x", "n": 1000}, "invalid_n"),
        ({"prompt": "x", "best_of": 129}, "invalid_best_of"),
        ({"prompt": "x", "max_tokens": 10**9}, "invalid_max_tokens"),
        (
            {"messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 1e30},
            "invalid_max_completion_tokens",
        ),
    ],
)
def test_what_every_engine_would_refuse_is_refused_here(body: dict[str, Any], code: str) -> None:
    found = make_request(body, id="1", tenant="t")
    assert isinstance(found, Failure)
    assert (found.code, found.status) == (code, 400)


def test_a_prompt_is_a_completion_and_messages_are_a_chat() -> None:
    assert made({"prompt": "x"}).endpoint == "completions"
    assert made({"messages": [{"role": "user", "content": "x"}]}).endpoint == "chat"


def test_size_is_that_of_the_text_in_bytes() -> None:
    assert made({"prompt": "gr\u00fc\u00df"}).prompt_bytes == 6
    turns = [{"role": "user", "content": "ab"}, {"role": "user", "content": [{"type": "text", "text": "cd"}]}]
    assert made({"messages": turns}).prompt_bytes == len("ab\n\ncd")


def test_unknown_fields_pass_through_untouched() -> None:
    body = {"prompt": "x", "model": "m", "odd": {"a": [1, None]}}
    request = made(body, cache="refresh", deadline_s=3.0)
    assert request.body == body
    assert (request.model, request.cache, request.deadline_s) == ("m", "refresh", 3.0)


@pytest.mark.parametrize("endpoint", ["embeddings", "responses"])
def test_of_what_passes_through_only_the_model_is_read(endpoint: str) -> None:
    body: dict[str, Any] = {"model": "m", "input": [[1, 2], "x"], "odd": {}}
    request = make_passed(body, endpoint, id="r", tenant="t", cache="bypass", stream=False, raw=b"{...}")
    assert isinstance(request, Request)
    assert (request.endpoint, request.model, request.body, request.raw) == (endpoint, "m", body, b"{...}")
    assert (request.prompt_bytes, request.stream, request.cache, request.resumable) == (5, False, "bypass", False)


@pytest.mark.parametrize("model", [5, "", ["m"]])
def test_and_a_model_that_is_no_name_is_refused(model: object) -> None:
    request = make_passed({"model": model}, "responses", id="r", tenant="t", cache="default", stream=True, raw=b"{}")
    assert isinstance(request, Failure) and request.code == "invalid_model"
