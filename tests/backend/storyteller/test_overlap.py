from __future__ import annotations

import pytest

from backend.storyteller.overlap import SIZE, grams, largest_shares

TEN = "one two three four five six seven eight nine ten"


def test_grams_are_words_in_a_row_whatever_stands_between() -> None:
    assert grams('One, two. "Three" four!\n\nfive; SIX - seven eight') == {tuple(TEN.split()[:8])}
    assert len(grams(TEN)) == 10 - SIZE + 1
    assert grams("too short") == set()


def test_the_share_is_of_the_generated_text() -> None:
    assert largest_shares([TEN], [TEN]) == [1.0]
    assert largest_shares([TEN], ["nothing of it"]) == [0.0]
    assert largest_shares([TEN], [TEN.removesuffix(" ten")]) == [pytest.approx(2 / 3)]


def test_stories_do_not_add_up() -> None:
    left = "one two three four five six seven eight x"
    right = "y three four five six seven eight nine ten"
    assert largest_shares([TEN], [left, right]) == [pytest.approx(1 / 3)]


def test_each_text_has_its_own_largest_share() -> None:
    assert largest_shares([TEN, "a b c d e f g h i", "short"], [TEN]) == [1.0, 0.0, 0.0]
