from __future__ import annotations

import pytest

from balancer.cache.verdict import THRESHOLD, judge

NEAR = 0.99


@pytest.mark.parametrize(
    ("question", "candidate"),
    [
        ("How do I reset my password?", "How can I reset my password?"),
        ("What's the capital of France?", "What is the capital of France?"),
        ("How long is 5 km?", "How long are five kilometers?"),
        ("Why doesn't my car start?", "Why does my car not start?"),
        ("Who won World War II?", "Who won World War 2?"),
        ("What is 17 times 23?", "How much is 17 × 23"),
    ],
)
def test_the_same_question_in_other_words_is_served(question: str, candidate: str) -> None:
    assert judge(question, candidate, NEAR)[:2] == (True, "allowed")
    assert judge(candidate, question, NEAR)[:2] == (True, "allowed")


@pytest.mark.parametrize(
    ("question", "candidate", "reason"),
    [
        ("Is ibuprofen safe during pregnancy?", "Is ibuprofen not safe during pregnancy?", "negation"),
        ("Is ibuprofen safe during pregnancy?", "Isn’t ibuprofen safe during pregnancy?", "negation"),
        ("Can I fly with a passport?", "Can I fly without a passport?", "negation"),
        ("Should you always wake a sleepwalker?", "Should you never wake a sleepwalker?", "negation"),
        ("What can I eat?", "What can't I eat?", "negation"),
        ("What is 17 times 23?", "What is 17 times 24?", "numbers"),
        ("What is 17 times 23?", "What is 17 plus 23?", "numbers"),
        ("What is 17 times 23?", "What is seventeen times twenty-four?", "numbers"),
        ("Is 5 mg too much?", "Is 5 g too much?", "numbers"),
        ("Is 5mg too much?", "Is 50mg too much?", "numbers"),
        ("What is new in Python 3.11?", "What is new in Python 3.1?", "numbers"),
        ("Who won World War I?", "Who won World War II?", "numbers"),
        ("Who came in first?", "Who came in third?", "numbers"),
        ("What is -5 in Fahrenheit?", "What is 5 in Fahrenheit?", "numbers"),
        ("Flights from gate 3 to gate 7", "Flights from gate 7 to gate 3", "numbers"),
        ("How much vitamin B12 is in an egg?", "How much vitamin D12 is in an egg?", "numbers"),
        ("What happened in 2019?", "What happened?", "numbers"),
    ],
)
def test_another_question_is_refused_however_near(question: str, candidate: str, reason: str) -> None:
    assert judge(question, candidate, 0.9999)[:2] == (False, reason)
    assert judge(candidate, question, 0.9999)[:2] == (False, reason)


@pytest.mark.parametrize("similarity", [0.0, -1.0, THRESHOLD - 0.0001, float("nan")])
def test_what_is_not_near_is_refused(similarity: float) -> None:
    assert judge("a question", "a question", similarity)[:2] == (False, "similarity")


def test_the_threshold_itself_serves() -> None:
    assert judge("a question", "a question", THRESHOLD).serve
    assert judge("a question", "a question", 0.5, 0.5).serve
    assert not judge("a question", "a question", 0.99, 0.995).serve
