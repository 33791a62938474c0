from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.embeddings import TEXT_MAX_BYTES, TEXTS_MAX, embedding_text, embeddings_body, texts_in
from balancer.wire.errors import RemoteProtocolError


@pytest.mark.parametrize(
    "body",
    [
        {"input": "one"},
        {"input": ["one"]},
        {"input": "one", "encoding_format": "float", "dimensions": 384, "user": 5},
        {"input": "one", "encoding_format": "base64", "dimensions": None},
    ],
)
def test_what_can_be_embedded(body: dict[str, Any]) -> None:
    assert texts_in(body, 384) == ["one"]


def test_the_limits_themselves_are_allowed() -> None:
    assert len(texts_in({"input": ["x"] * TEXTS_MAX}, 384)) == TEXTS_MAX
    assert texts_in({"input": "x" * TEXT_MAX_BYTES}, 384)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_input"),
        ({"input": []}, "invalid_input"),
        ({"input": 5}, "invalid_input"),
        ({"input": {"text": "x"}}, "invalid_input"),
        ({"input": [1, 2, 3]}, "invalid_input"),
        ({"input": [[1, 2], [3]]}, "invalid_input"),
        ({"input": ["x", None]}, "invalid_input"),
        ({"input": ""}, "empty_input"),
        ({"input": ["x", " \n"]}, "empty_input"),
        ({"input": ["x"] * (TEXTS_MAX + 1)}, "too_many_inputs"),
        ({"input": "x" * (TEXT_MAX_BYTES + 1)}, "input_too_long"),
        ({"input": "\u00fc" * (TEXT_MAX_BYTES // 2 + 1)}, "input_too_long"),
        ({"input": "x", "encoding_format": "int8"}, "invalid_encoding_format"),
        ({"input": "x", "encoding_format": ["float"]}, "invalid_encoding_format"),
        ({"input": "x", "dimensions": 256}, "invalid_dimensions"),
        ({"input": "x", "dimensions": "384"}, "invalid_dimensions"),
        ({"input": "x", "dimensions": True}, "invalid_dimensions"),
    ],
)
def test_what_cannot_says_why(body: dict[str, Any], code: str) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        texts_in(body, 384)
    assert refused.value.code == code and refused.value.status == 400 and len(refused.value.message) < 200


def test_before_the_dimension_is_known_any_is_right() -> None:
    assert texts_in({"input": "x", "dimensions": 7}, None) == ["x"]


@given(
    st.dictionaries(
        st.sampled_from(["input", "dimensions", "encoding_format"]),
        st.from_type(type(None))
        | st.text()
        | st.integers()
        | st.lists(st.text() | st.integers() | st.none(), max_size=3),
    )
)
def test_any_body_is_texts_or_refused(body: dict[str, Any]) -> None:
    try:
        texts = texts_in(body, 384)
    except RemoteProtocolError:
        return
    assert texts and all(isinstance(text, str) and text.strip() for text in texts)


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2)))
def test_vectors_are_told_as_they_are(vectors: list[list[float]]) -> None:
    rows = [struct.pack("<2f", *vector) for vector in vectors]
    found = json.loads(embeddings_body([embedding_text(row, as_base64=False) for row in rows], "m", 9))
    assert [(one["index"], one["embedding"]) for one in found["data"]] == list(enumerate(vectors))
    assert (found["object"], found["model"], found["usage"]) == ("list", "m", {"prompt_tokens": 9, "total_tokens": 9})
