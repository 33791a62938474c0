from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.lexicon import BUCKETS, TEXT_MAX, Lexis, bucket, lexis, stem


def read(text: str) -> Lexis:
    return lexis(text, len)


def test_content_words_are_stemmed_and_weighed_and_function_words_are_not_among_them() -> None:
    found = read("How are the dogs running?")
    assert found.words == ("how", "are", "the", "dogs", "running")
    assert found.content == {"dog": 3, "run": 3}
    assert found.asks == "how"


@pytest.mark.parametrize(
    ("one", "other"),
    [("cities", "city"), ("running", "run"), ("houses", "house"), ("trained", "train"), ("dog's", "dog")],
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Who founded Netflix in those years? And why not Intel?", {"netflix", "intel"}),
        ("Why is it so? Because.", set()),
        ("How do I use an iPhone?", {"iphon"}),
        ("The Old Man And The Sea", set()),
    ],
)
def test_names_have_capitals_that_begin_no_sentence(text: str, names: set[str]) -> None:
    assert read(text).names == names


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('Translate "good morning" for me', "good morning"),
        ("What does `ls -l` do?", "ls -l"),
        ("Open https://example.org/a?b=1 now", "https://example.org/a?b=1"),
        ("Write to ann@example.org", "ann@example.org"),
        ("Why does print(x) fail?", "print(x)"),
        ("What is in /etc/passwd here", "/etc/passwd"),
        ("Rename my_variable please", "my_variable"),
    ],
)
def test_what_must_not_differ_in_a_letter_is_found(text: str, part: str) -> None:
    assert part in read(text).exact


def test_alternatives_with_a_slash_are_no_path() -> None:
    assert not read("What is the most memorable incident/event?").exact


def test_relations_and_days_are_found() -> None:
    found = read("Flights from Paris to Rome on Mondays")
    assert ("paris", "to", "rom") in found.relations or ("pari", "to", "rome") in found.relations
    assert found.times


def test_a_text_longer_than_what_is_looked_at_says_so() -> None:
    assert read("a" * TEXT_MAX).whole
    assert not read("a" * (TEXT_MAX + 1)).whole


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    found = read(text)
    assert set(found.content) <= set(found.stems)
    assert all(0 <= bucket(one) < BUCKETS for one in found.stems)


@pytest.mark.parametrize("piece", ["a", "_", "a(", '"', "'a", "a.", "a@", "/a", "[", "-a", "1,", "A ", "`", "a-", "a_"])
def test_no_text_takes_long(piece: str) -> None:
    started = time.process_time()
    read(piece * 16_384)
    assert time.process_time() - started < 0.5
