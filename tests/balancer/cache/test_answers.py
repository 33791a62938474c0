from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.answers import (
    COMPARED_CHARS_MAX,
    SHORT_WORDS,
    comparable,
    is_short,
    judge_prompt,
    said_yes,
    same_words,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Paris.", "paris"), ("The answer is 4.", "Answer is 4"), ("**Yes**, it is!", "yes it is"), (" a  b\n", "B")],
)
def test_case_marks_and_articles_make_no_other_answer(one: str, other: str) -> None:
    assert same_words(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("4", "5"),
        ("-5 degrees", "5 degrees"),
        ("3.5", "35"),
        ("yes", "no"),
        ("Ann then Bob", "Bob then Ann"),
        ("", "x"),
    ],
)
def test_numbers_signs_and_order_do(one: str, other: str) -> None:
    assert not same_words(one, other)


@given(st.text(max_size=200))
def test_every_text_is_the_same_as_itself(text: str) -> None:
    assert same_words(text, text)


def test_short_is_a_few_words_and_not_none() -> None:
    assert is_short("Paris") and is_short("word " * SHORT_WORDS)
    assert not is_short("word " * (SHORT_WORDS + 1))
    assert not is_short("...") and not is_short("x" * 201)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("yes", True),
        ("**No.**", False),
        ("Yes, both say so.", True),
        ("<think>no, well, perhaps\n</think>\nyes", True),
        ("Both say no", None),
        ("", None),
        ("42", None),
        ("yesterday", None),
    ],
)
def test_a_reply_begins_with_yes_or_no_or_says_nothing(reply: str, said: bool | None) -> None:
    assert said_yes(reply) is said


def test_the_prompt_holds_all_three_and_long_ones_are_not_asked_about() -> None:
    prompt = judge_prompt("Q {x}", "A1", "A2")
    assert all(part in prompt for part in ("Q {x}", "A1", "A2"))
    assert comparable("q", "a", "b")
    assert not comparable("q", "a" * (COMPARED_CHARS_MAX + 1), "b")
