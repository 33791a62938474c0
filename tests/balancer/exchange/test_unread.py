from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.exchange.unread import Unread


def test_it_keeps_no_answer_to_cache_or_to_continue() -> None:
    journal = Unread()
    journal.add(b'data: {"choices":[{"index":0,"text":"x"}]}\n\n')
    assert journal.answer() is None and journal.begun() is None and journal.finish_reason is None
    assert journal.usage() is None


@pytest.mark.parametrize("body", [b"", b"  ", b"[]", b"<html>", b"null"])
def test_what_is_no_object_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError):
        Unread().add_whole(body)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b' {"data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}', (7, 0)),
        (b'{"output":[],"usage":{"input_tokens": 3,"output_tokens" :4,"total_tokens":7}}', (3, 4)),
        (b'{"usage":{"prompt_tokens":null}}', None),
        (b'{"usage":{"prompt_tokens":3},"data":[' + b"0," * 4000 + b"0]}", None),
    ],
)
def test_usage_is_found_at_the_end(body: bytes, usage: tuple[int, int] | None) -> None:
    journal = Unread()
    journal.add_whole(body)
    assert journal.usage() == usage


def test_of_a_stream_the_last_events_tell_usage() -> None:
    journal = Unread()
    journal.add(b'data: {"type":"response.created","response":{"usage":null}}\n\n')
    journal.add(b'data: {"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":6}}}\n\n')
    assert journal.usage() == (5, 6)


@given(st.integers(0, 10**6))
def test_one_that_is_cut_short_is_no_answer(at: int) -> None:
    body = b' {"data":[{"embedding":[0.5,-1e-3]},{"embedding":[1,2]}],"text":"}]}","usage":{"prompt_tokens":7}}'
    with pytest.raises(ValueError):
        Unread().add_whole(body[: at % len(body)])
    Unread().add_whole(body + b"\n")


@pytest.mark.parametrize("body", [b'{"data":[],}', b'{"a" 1}', b'{"a":1}{"a":2}', b'{"a":' + b"[" * 100_000])
def test_what_no_client_could_read_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError):
        Unread().add_whole(body)
