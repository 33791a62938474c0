from __future__ import annotations

import pytest

from balancer.wire import openai


@pytest.mark.parametrize(
    ("tail", "well"),
    [
        (b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n', True),
        (
            b'data: {"choices":[{"finish_reason" : "length"}]}\n\ndata: {"choices":[],"usage":{}}\n\ndata: [DONE]\n\n',
            True,
        ),
        (b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: {"choices":[{"finish_reason":null}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":null}]}\n\ndata: [DONE]\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"\\"finish_reason\\":\\"stop\\""}}]}\n\ndata: [DONE]\n\n', False),
        (b'data: {"choices":[{"finish_reason":"abort"}]}\n\ndata: [DONE]\n\n', False),
        (b"data: [DONE]\n\n", False),
    ],
)
def test_an_answer_ends_well_with_a_reason_and_not_because_the_engine_gave_up(tail: bytes, well: bool) -> None:
    assert openai.ends_well(tail) is well


def test_the_field_that_an_engine_complains_of_is_told() -> None:
    body = b'{"error":{"message":"too hot","type":"BadRequestError","param":"temperature","code":400}}'
    assert openai.error_in(body) == ("too hot", "BadRequestError", "temperature")
    assert openai.error_in(body.replace(b'"temperature"', b'["a"]')) == ("too hot", "BadRequestError", None)
