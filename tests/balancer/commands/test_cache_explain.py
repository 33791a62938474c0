from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from balancer.cache.learned import LearnedVerdict
from balancer.commands.cache_explain import Pair, as_text, explain, read_pair
from tests.balancer.cache.verdicts import DIMENSION, file, read

THRESHOLD = 0.95


class Embedder:
    """As an embedding model: every text has one vector, but for those it can't read."""

    def read(self, texts: list[str]) -> tuple[list[Any], list[Any]]:
        known = [text != "unreadable" for text in texts]
        vector, tokens = np.full(DIMENSION, 2.0, np.float32), np.ones((3, 2 * DIMENSION), np.int8)
        return [vector if one else None for one in known], [tokens if one else None for one in known]


def explained(a: str, b: str, bias: float = 3.0, cosine: float | None = None) -> dict[str, Any]:
    verdict = LearnedVerdict(file(bias=bias))
    pair = read_pair(a, b, Embedder(), verdict)  # type: ignore[arg-type]
    return explain(a, b, pair if cosine is None else pair._replace(cosine=cosine), verdict, THRESHOLD)


def test_what_serves_tells_its_probability_and_what_it_takes() -> None:
    found = explained("Who is Ann?", "Who's Ann?")
    assert (found["serve"], found["reason"], found["gate"], found["verdict"]) == (True, "allowed", None, "learned")
    assert found["cosine"] == pytest.approx(1.0)
    assert found["probability"] == pytest.approx(0.9526, abs=1e-3) and found["threshold"] == 0.7


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("What is 17 times 23?", "What is 17 times 24?", "numbers"),
        ("Is it safe?", "Is it not safe?", "polarity"),
        ("A flight from Rome to Oslo", "A flight from Oslo to Rome", "direction"),
    ],
)
def test_a_gate_is_named_whatever_the_score_says(a: str, b: str, reason: str) -> None:
    found = explained(a, b, bias=9.0)
    assert (found["serve"], found["reason"], found["gate"]) == (False, reason, reason)
    assert reason in as_text(found)


def test_what_the_score_does_not_trust_names_no_gate() -> None:
    found = explained("Who is Ann?", "Who's Ann?", bias=0.0)
    assert (found["serve"], found["reason"], found["gate"], found["probability"]) == (False, "probability", None, 0.5)


def test_what_lies_too_far_apart_is_refused_as_the_cache_refuses_it() -> None:
    found = explained("Who is Ann?", "Who's Ann?", cosine=0.59)
    assert (found["serve"], found["reason"]) == (False, "similarity")


def test_what_the_model_cannot_read_is_never_served() -> None:
    found = explained("Who is Ann?", "unreadable")
    assert (found["serve"], found["reason"], found["cosine"]) == (False, "unread", None)
    assert "unknown" in as_text(found)


def test_equal_texts_are_the_exact_tiers() -> None:
    assert explained("Who?", "Who?", bias=-9.0)["reason"] == "equal"


def test_without_a_learned_verdict_the_simple_one_decides() -> None:
    def simple(a: str, b: str, cosine: float) -> dict[str, Any]:
        return explain(a, b, Pair(cosine, None), None, THRESHOLD)

    assert simple("Who is Ann?", "Who's Ann?", 0.96)["serve"]
    assert simple("Who is Ann?", "Who's Ann?", 0.94)["reason"] == "similarity"
    assert simple("Can it fly?", "Can it not fly?", 0.99)["gate"] == "negation"
    assert "probability" not in as_text(simple("Who is Ann?", "Who's Ann?", 0.96))


def test_words_of_one_side_are_shown_as_they_are_written() -> None:
    found = explained("Installing Java on Windows", "Installing Rust on Windows")["features"]
    assert (found["words_shared"], found["words_only_a"], found["words_only_b"]) == (
        ["installing", "windows"],
        ["java"],
        ["rust"],
    )


def test_a_share_that_was_never_reached_is_said_in_words() -> None:
    verdict = LearnedVerdict(file(bias=9.0), 0.001)
    pair = Pair(0.9, (read(verdict, "a b"), read(verdict, "a c")))
    assert "never reached" in as_text(explain("a b", "a c", pair, verdict, THRESHOLD))
