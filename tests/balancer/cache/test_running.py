"""Questions under way find each other where the verdict allows it, within their scope."""

from __future__ import annotations

import numpy as np

from balancer.cache.keys import CacheKeys
from balancer.cache.learned import LearnedVerdict
from balancer.cache.running import COMPARED_MAX, Running, Side
from tests.balancer.cache.verdicts import DIMENSION, file, read

SURE, UNSURE = LearnedVerdict(file(8.0), 0.02), LearnedVerdict(file(-8.0), 0.02)


def keys(text: str, scope: bytes | None = b"s", max_tokens: int | None = None) -> CacheKeys:
    return CacheKeys("t", "m", text.encode(), scope, text, max_tokens, None, None)


def side(text: str, *vector: float) -> Side:
    found = np.zeros(DIMENSION, np.float32)
    found[: len(vector)] = vector
    return Side(found, read(SURE, text))


CATS, DOGS = side("what is a cat", 1.0), side("what is a dog", 0.0, 1.0)
CATS_TOO = side("what are cats", 1.0, 0.1)


def test_a_question_in_other_words_finds_the_one_under_way() -> None:
    running: Running[str] = Running()
    running.add(keys("dog"), DOGS, "dogs")
    running.add(keys("cat"), CATS, "cats")
    found = running.match(keys("cats"), CATS_TOO, SURE)
    assert found is not None and found.who == "cats" and found.keys.text == "cat"
    assert 0.99 < found.similarity <= 1.0 and found.probability > 0.99


def test_what_the_verdict_does_not_allow_is_not_found() -> None:
    running: Running[str] = Running()
    running.add(keys("cat"), CATS, "cats")
    assert running.match(keys("cats"), CATS_TOO, UNSURE) is None
    assert running.match(keys("2 cats"), Side(CATS.vector, read(SURE, "what is a cat 2")), SURE) is None, "a gate"


def test_nothing_is_found_in_another_scope_or_under_another_token_limit() -> None:
    running: Running[str] = Running()
    running.add(keys("cat"), CATS, "cats")
    assert running.match(keys("cats", b"other"), CATS_TOO, SURE) is None
    assert running.match(keys("cats", None), CATS_TOO, SURE) is None
    assert running.match(keys("cats", max_tokens=3), CATS_TOO, SURE) is None


def test_who_has_its_answer_is_found_no_more_and_leaves_nothing_behind() -> None:
    running: Running[str] = Running()
    running.add(keys("cat"), CATS, "cats")
    assert running.holds(b"s") and not running.holds(None)
    running.remove(keys("cat"), "cats")
    running.remove(keys("cat"), "cats")
    assert running.match(keys("cats"), CATS_TOO, SURE) is None and not running.holds(b"s") and len(running) == 0


def test_of_a_scope_only_the_latest_are_kept() -> None:
    running: Running[int] = Running()
    for number in range(COMPARED_MAX + 1):
        running.add(keys(f"cat {number}"), CATS if number == 0 else DOGS, number)
    assert running.match(keys("cats"), CATS_TOO, SURE) is None


def test_a_vector_that_is_none_matches_nothing() -> None:
    running: Running[str] = Running()
    running.add(keys("nothing"), Side(np.zeros(DIMENSION, np.float32), CATS.reading), "x")
    assert not running.holds(b"s")
