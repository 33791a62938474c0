from __future__ import annotations

import pytest

from backend.storyteller.plot import Plot
from backend.storyteller.quests import QUESTS
from tests.backend.storyteller.plot_rules import assert_endings_are_about_the_hero, assert_wish_comes_back


@pytest.mark.parametrize("plot", QUESTS, ids=lambda plot: plot.name)
def test_what_is_wished_for_comes_back_in_the_ending_or_the_deed(plot: Plot) -> None:
    assert_wish_comes_back(plot)


@pytest.mark.parametrize("plot", QUESTS, ids=lambda plot: plot.name)
def test_every_ending_is_about_the_hero(plot: Plot) -> None:
    assert_endings_are_about_the_hero(plot)
