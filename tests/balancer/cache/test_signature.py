from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.signature import signature


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("What is 17 times 23?", ("17", "*", "23")),
        ("What is 17 × 23?", ("17", "*", "23")),
        ("What is 17 plus 23?", ("17", "+", "23")),
        ("seventeen times twenty-three", ("17", "*", "23")),
        ("two hundred thousand people", ("200000",)),
        ("a hundred people", ("100",)),
        ("two three four", ("2", "3", "4")),
        ("5mg", ("5mg",)),
        ("5 milligrams", ("5mg",)),
        ("a 5-minute walk", ("5min",)),
        ("$5", ("5$",)),
        ("five dollars", ("5$",)),
        ("10 %", ("10%",)),
        ("1,000 km", ("1000km",)),
        ("Python 3.10", ("3.10",)),
        ("Python 3.1", ("3.1",)),
        ("at 10:30 pm", ("10:30pm",)),
        ("World War II", ("2",)),
        ("the first one", ("1th",)),
        ("how can one learn", ()),
        ("one hundred", ("100",)),
        ("one mile", ("1mi",)),
        ("the 1st", ("1th",)),
        ("the second floor", ("2th",)),
        ("-5 degrees", ("-", "5")),
        ("−5 degrees", ("-", "5")),
        ("10-5", ("10", "-", "5")),
        ("covid-19", ("19",)),
        ("vitamin B12", ("b12",)),
        ("python3", ("3",)),
        ("x²", ("x2",)),
        ("１７", ("17",)),
        ("half a cup", ("half",)),
        ("and/or, well-known, no number", ()),
        ("how many times", ()),
    ],
)
def test_numbers(text: str, numbers: tuple[str, ...]) -> None:
    assert signature(text).numbers == numbers


@pytest.mark.parametrize(
    ("text", "negations"),
    [
        ("Is ibuprofen safe during pregnancy?", 0),
        ("Is ibuprofen not safe during pregnancy?", 1),
        ("Isn't it safe?", 1),
        ("Isn’t it safe?", 1),
        ("ISNʼT IT SAFE", 1),
        ("isnt it safe", 1),
        ("I can't and won't", 2),
        ("I cannot", 1),
        ("without sugar", 1),
        ("never say never", 2),
        ("neither here nor there", 2),
        ("a non-smoker", 1),
        ("Who knows the notary of Canterbury?", 0),
    ],
)
def test_negations(text: str, negations: int) -> None:
    assert signature(text).negations == negations


@given(st.text())
def test_any_text_has_a_signature(text: str) -> None:
    assert signature(text) == signature(text)


@given(st.text(alphabet="0123456789.,:-+ abc'’$%½²", max_size=60))
def test_a_text_full_of_numbers_has_a_signature(text: str) -> None:
    assert signature(text).negations >= 0


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_different_numbers_differ(one: int, other: int) -> None:
    same = signature(f"Give me {one} apples") == signature(f"Give me {other} apples")
    assert same == (one == other)


def test_a_long_number_is_only_text() -> None:
    assert signature("9" * 10_000).numbers == ("9" * 10_000,)
