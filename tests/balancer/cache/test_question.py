from __future__ import annotations

from typing import Any

import pytest

from balancer.cache.question import question_of


@pytest.mark.parametrize(
    ("body", "question"),
    [
        ({"prompt": "Why?"}, "Why?"),
        ({"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "Why?"}]}, "Why?"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]}, "Why?"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2}]}, ""),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, ""),
        ({"messages": [{"role": "user", "content": [7]}]}, ""),
        ({"messages": [{"role": "assistant"}]}, ""),
        ({"messages": []}, ""),
        ({"messages": [3]}, ""),
        ({"prompt": [1, 2]}, ""),
        ({}, ""),
    ],
)
def test_the_last_text_is_the_question(body: dict[str, Any], question: str) -> None:
    assert question_of(body) == question
