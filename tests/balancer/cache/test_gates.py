from __future__ import annotations

import pytest

from balancer.cache.gates import refusal
from balancer.cache.lexicon import TEXT_MAX, Lexis, lexis


def read(text: str) -> Lexis:
    return lexis(text, lambda _: 1.0)


def refused(one: str, other: str) -> str | None:
    found = refusal(read(one), read(other))
    assert found == refusal(read(other), read(one))
    return found


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("What is 17 times 23?", "What is 17 times 24?", "numbers"),
        ("What is new in Python 3.11?", "What's new in Python 3.12?", "numbers"),
        ("Is 5 mg too much?", "Is 5 g too much?", "numbers"),
        ('How do you say "good morning" in French?', 'How do you say "good night" in French?', "literals"),
        ("What does `ls -l` do?", "What does `ls -a` do?", "literals"),
        ("Summarise https://example.org/a", "Summarise https://example.org/b", "literals"),
        ("Is ibuprofen safe during pregnancy?", "Is ibuprofen not safe during pregnancy?", "polarity"),
        ("Is ibuprofen safe during pregnancy?", "Is ibuprofen unsafe during pregnancy?", "polarity"),
        ("Should I buy shares?", "Should I sell shares?", "polarity"),
        ("Can I fly with a passport?", "Can I fly without a passport?", "polarity"),
        ("Is the museum open on Monday?", "Is the museum open on Tuesday?", "time"),
        ("What is the capital of France?", "What is the capital of Spain?", "names"),
        ("Flights from Paris to Rome", "Flights from Rome to Paris", "direction"),
        ("Is tea better than coffee?", "Is coffee better than tea?", "direction"),
    ],
)
def test_a_difference_that_changes_the_answer_is_refused(one: str, other: str, reason: str) -> None:
    assert refused(one, other) == reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I reset my password?", "How can I reset my password?"),
        ("What is the capital of France?", "Which city is France's capital?"),
        ("This is not unsafe to eat.", "This is safe to eat."),
        ("You're not fat.", "You're slender."),
        ("How can one learn French?", "How do I learn French?"),
        ('What does "love" mean?', "What does love mean?"),
        ("Which museums are open on Mondays?", "Which museums are open on Monday?"),
        ("Why doesn't my car start?", "Why does my car not start?"),
    ],
)
def test_other_words_for_the_same_pass(one: str, other: str) -> None:
    assert refused(one, other) is None


def test_a_text_too_long_to_be_looked_at_answers_only_for_itself() -> None:
    long = "word " * TEXT_MAX
    assert refused(long, long + "x") == "long"
    assert refused(long, long) == "long"
