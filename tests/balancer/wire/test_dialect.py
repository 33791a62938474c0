from __future__ import annotations

import msgspec
import pytest

from balancer.wire.dialect import NULL, Chunk, ToldUsage, Usage


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        (ToldUsage(3, 2, 9), Usage(3, 2, 9)),
        (ToldUsage(3, 2, None), Usage(3, 2, 5)),
        (ToldUsage(None, 2, 9), None),
        (ToldUsage(3, None, 9), None),
    ],
)
def test_usage_counts_where_prompt_and_completion_were_counted(told: ToldUsage, counted: Usage | None) -> None:
    assert told.counted() == counted


def test_what_is_not_said_is_the_very_default_and_what_nobody_reads_is_skipped() -> None:
    found = msgspec.json.decode(b'{"x":{"y":[1]},"choices":[{"delta":{"content":"a"}}]}', type=Chunk)
    delta = found.choices[0].delta
    assert delta is not None and (delta.content, delta.tool_calls is NULL) == ("a", True)
    assert found.usage is None and found.error is NULL


def test_a_content_may_be_a_list_of_parts() -> None:
    found = msgspec.json.decode(b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[]}]}}]}', type=Chunk)
    delta = found.choices[0].delta
    assert delta is not None and delta.content == [{"type": "thinking", "thinking": []}]


@pytest.mark.parametrize("content", [b"5", b"{}", b"true"])
def test_a_content_of_another_kind_is_none(content: bytes) -> None:
    with pytest.raises(ValueError):
        msgspec.json.decode(b'{"choices":[{"delta":{"content":' + content + b"}}]}", type=Chunk)
