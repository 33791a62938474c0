from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.entry import Entry, entry_bytes
from balancer.persistence.rows import decode_row, encode_row

KEY, SCOPE = b"k" * 16, b"s" * 16
OFFSET_S = 1.8e9

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=50)


def an_entry(question: str = "Why?", text: str = "So.", created: float = 100.0, expires_at: float = 200.0) -> Entry:
    size_bytes = entry_bytes(text, question)
    return Entry(KEY, "t", "m", question, text, "stop", "m-1", "b", 3, None, 9, 1.5, created, expires_at, size_bytes)


@given(question=texts, text=texts, scope=st.none() | st.just(SCOPE))
def test_an_entry_comes_back_as_it_was(question: str, text: str, scope: bytes | None) -> None:
    entry = an_entry(question, text)
    row = encode_row(entry, scope, "e@1", OFFSET_S)
    assert row.isascii()
    kept = decode_row(KEY, row, 150.0, OFFSET_S)
    assert kept is not None
    assert (kept.entry, kept.scope, kept.embedder) == (entry, scope, "e@1" if scope else None)


def test_an_age_goes_on_while_the_process_does_not() -> None:
    row = encode_row(an_entry(), None, None, OFFSET_S)
    kept = decode_row(KEY, row, 5.0, OFFSET_S + 150.0)
    assert kept is not None
    assert (kept.entry.created, kept.entry.expires_at) == (-50.0, 50.0)


def test_what_never_expires_still_does_not() -> None:
    kept = decode_row(KEY, encode_row(an_entry(expires_at=math.inf), None, None, OFFSET_S), 150.0, OFFSET_S)
    assert kept is not None and kept.entry.expires_at == math.inf


def test_a_clock_that_was_set_back_makes_nothing_older_or_longer_lived() -> None:
    row = encode_row(an_entry(), None, None, OFFSET_S)
    kept = decode_row(KEY, row, 10.0, OFFSET_S - 5000.0)
    assert kept is not None
    assert (kept.entry.created, kept.entry.expires_at) == (10.0, 110.0)


@pytest.mark.parametrize("damage", ["", "{", "[]", "7", '{"a":1}', '["t"]', "null", "[1e999]"])
def test_what_is_no_row_is_none(damage: str) -> None:
    assert decode_row(KEY, damage, 0.0, 0.0) is None


def test_a_row_of_other_types_or_under_another_kind_of_key_is_none() -> None:
    row = json.loads(encode_row(an_entry(), SCOPE, "e", OFFSET_S))
    for place, value in ((0, 7), (7, "many"), (11, None), (13, "zz")):
        damaged = json.dumps([*row[:place], value, *row[place + 1 :]])
        assert decode_row(KEY, damaged, 0.0, 0.0) is None
    assert decode_row(b"short", json.dumps(row), 0.0, 0.0) is None
