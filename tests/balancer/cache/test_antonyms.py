from __future__ import annotations

import pytest

from balancer.cache.antonyms import ANTONYMS, opposite


@pytest.mark.parametrize(
    ("word", "other"),
    [("buy", "sell"), ("safe", "unsafe"), ("legal", "illegal"), ("install", "uninstall"), ("useful", "useless")],
)
def test_opposites_are_known_either_way_round(word: str, other: str) -> None:
    assert opposite(word, other)
    assert opposite(other, word)


@pytest.mark.parametrize(
    ("word", "other"), [("buy", "purchase"), ("age", "manage"), ("it", "unit"), ("lion", "million")]
)
def test_other_words_are_not(word: str, other: str) -> None:
    assert not opposite(word, other)
    assert not opposite(other, word)


def test_the_table_is_the_same_both_ways_and_no_word_is_its_own_opposite() -> None:
    for word, others in ANTONYMS.items():
        assert word not in others
        assert all(word in ANTONYMS[other] for other in others)
