from __future__ import annotations

import pytest

from balancer.cache.timely import READ_MAX_CHARS, asks_about_now


@pytest.mark.parametrize(
    "text",
    [
        "What is the weather in Paris?",
        "Who won today?",
        "PRICE of copper",
        "What are today's headlines",
        "Tell me the latest: what happened?",
        "word " * 4000 + "and what is it currently?",
        "Currently, what of this? " + "word " * 4000,
    ],
)
def test_a_word_for_the_present_makes_a_question_timely(text: str) -> None:
    assert asks_about_now(text)


@pytest.mark.parametrize("text", ["", "How tall is the Eiffel tower?", "I know nothing.", "What is a snowflake?"])
def test_other_questions_are_not(text: str) -> None:
    assert not asks_about_now(text)


def test_of_a_long_text_both_ends_are_read() -> None:
    middle = "x " * READ_MAX_CHARS + "today " + "x " * READ_MAX_CHARS
    assert not asks_about_now(middle)
