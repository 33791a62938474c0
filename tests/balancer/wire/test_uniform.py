from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.openai import chunk_text, parse_chunk
from balancer.wire.sse import event, event_data
from balancer.wire.uniform import Frame, LoneTexts, frame_of, lone_texts, run_of


def chat(text: object = "word ", **choice: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None, **choice}]
    return json.dumps({"id": "a", "model": "m", "created": 7, "choices": choices}).encode()


def completion(text: str = "word ") -> bytes:
    return b'{"id":"a","model":"m","choices":[{"index":0,"text":%b}]}' % json.dumps(text).encode()


def frame(data: bytes) -> Frame | None:
    return frame_of(data, parse_chunk(data))


@pytest.mark.parametrize("make", [chat, completion])
def test_a_run_gives_the_texts_that_reading_one_by_one_gives(make: Any) -> None:
    texts = ["one ", "", 'quo"te \\', "gr\u00fc\u00df\n", "\U0001f600", '"text": "x"', "word "]
    parts = [make(), *map(make, texts), chat(finish_reason="stop")]
    found = frame(parts[0])
    assert found is not None
    assert run_of(found, parts, 1) == texts == [chunk_text(parse_chunk(part).choices[0]) for part in parts[1:-1]]


@given(st.lists(st.text(max_size=9) | st.just('x"},"content":"y'), min_size=1, max_size=9))
def test_any_texts_come_out_as_they_went_in(texts: list[str]) -> None:
    found = frame(chat())
    assert found is not None
    assert run_of(found, [chat(text) for text in texts], 0) == texts


@pytest.mark.parametrize(
    "data",
    [
        chat(""),
        chat(None),
        chat(finish_reason="stop"),
        chat(index=1),
        chat(token_ids=[1]),
        chat(delta={"content": "a", "tool_calls": [{"index": 0}]}),
        chat(delta={"content": "a", "x": {"content": "a"}}),
        b'{"choices":[{"delta":{"content":"a","content":"a"}}]}',
        b'{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"a"}}]}',
        b'{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        b'{"choices":[]}',
    ],
)
def test_a_chunk_that_says_more_than_a_text_frames_nothing(data: bytes) -> None:
    assert frame(data) is None


@pytest.mark.parametrize("middle", [b"null", b"1", b'"a","b"', b'"a"],["b"', b"", b'"', b'"\\x"', b'{"a":"b"}'])
def test_what_is_no_text_is_no_run(middle: bytes) -> None:
    found = frame(completion())
    assert found is not None
    odd = found.before + middle + found.after
    assert run_of(found, [completion(), odd, completion()], 0) in ([], ["word "])
    assert run_of(found, [odd], 0) == []


def test_a_run_ends_where_something_else_changes() -> None:
    found = frame(chat())
    assert found is not None
    assert run_of(found, [chat("a"), chat("b"), chat("c", logprobs=None), chat("d")], 0) == ["a", "b"]
    assert run_of(found, [chat("a")], 1) == []


def test_a_key_that_is_written_in_another_way_frames_nothing() -> None:
    """The last of two equal keys counts, so that changing the first would change nothing."""
    assert frame(b'{"choices":[{"delta":{"content":"a","c\\u006fntent":"a"}}]}') is None


def lone(data: bytes) -> LoneTexts:
    found = lone_texts(data, parse_chunk(data))
    assert found is not None
    return found


@pytest.mark.parametrize("make", [chat, completion])
@given(text=st.text(max_size=20))
def test_a_text_that_comes_alone_is_given_as_the_engine_wrote_it(make: Any, text: str) -> None:
    literal = lone(make()).literal(event(make(text)))
    assert literal == (json.dumps(text).encode() if text else b"")


@given(st.binary(max_size=30) | st.text(max_size=12).map(lambda text: json.dumps(text)[1:-1].encode()))
def test_only_what_reading_it_would_give_as_well_is_given(inner: bytes) -> None:
    """Whatever stands between the quotes: one line of JSON, or it is left to whoever reads it."""
    found = frame(completion())
    assert found is not None
    events = event(found.before + b'"' + inner + b'"' + found.after)
    literal = lone(completion()).literal(events)
    if literal:
        assert b"\n" not in literal
        (data,) = event_data(events)
        assert json.loads(literal) == chunk_text(parse_chunk(data).choices[0]) != ""


@pytest.mark.parametrize(
    "events",
    [
        b"",
        event(chat()) + event(chat()),
        b": comment\n\n" + event(chat()),
        b"data:" + chat() + b"\n\n",
        event(chat(finish_reason="stop")),
        event(b"[DONE]"),
        event(chat())[:-1],
        # Where begin and end of the frame overlap.
        event(chat().replace(b'"word "', b'"')),
        event(chat().replace(b'"word "', b"")),
        event(chat().replace(b'"word "', b'\n"word "')),
    ],
)
def test_anything_else_is_left_to_whoever_reads_it(events: bytes) -> None:
    assert lone(chat()).literal(events) == b""


def with_ids(text: str, *ids: object) -> bytes:
    return chat(text, token_ids=list(ids))


@given(text=st.text(min_size=1, max_size=20), ids=st.lists(st.integers(0, 1 << 40), min_size=1, max_size=4))
def test_token_ids_may_differ_too(text: str, ids: list[int]) -> None:
    known = lone(with_ids("word ", 5))
    assert known.literal(event(with_ids(text, *ids))) == json.dumps(text).encode()
    assert known.literal(event(with_ids(text, *ids).replace(b", ", b","))) in (b"", json.dumps(text).encode())


@pytest.mark.parametrize(
    "data",
    [
        chat("word "),
        with_ids("word "),
        with_ids("", 5),
        with_ids("word ", None),
        with_ids("word ", "5"),
        with_ids("word ", 5.5),
        with_ids("word ", 5).replace(b"[5]", b'[5],"finish_reason":[5]'),
        chat("word ", token_ids=[5], logprobs={"content": []}),
    ],
)
def test_other_ids_than_ids_are_left_to_whoever_reads_it(data: bytes) -> None:
    assert lone(with_ids("word ", 5)).literal(event(data)) == b""


@pytest.mark.parametrize(
    "data",
    [
        chat("a", token_ids=[1], token_ids_too=[1]),
        chat("a", token_ids=[1], x={"token_ids": [2]}),
        chat("a", token_ids=[1], prompt_token_ids=[2]),
        chat("a", token_ids=[1], finish_reason="stop"),
    ],
)
def test_ids_that_stand_in_one_place_only(data: bytes) -> None:
    found = lone_texts(data, parse_chunk(data))
    assert (found is not None) == (b"too" in data)


def test_ids_before_the_text_are_left_to_whoever_reads_it() -> None:
    data = b'{"choices":[{"index":0,"token_ids":[5],"text":"a"}]}'
    assert lone_texts(data, parse_chunk(data)) is None


def test_parts_among_texts_end_a_run() -> None:
    parts = chat(delta={"content": [{"type": "text", "text": "b"}]})
    first = chat("a")
    frame = frame_of(first, parse_chunk(first))
    assert frame is not None and run_of(frame, [first, parts], 1) == []
    assert frame_of(parts, parse_chunk(parts)) is None
