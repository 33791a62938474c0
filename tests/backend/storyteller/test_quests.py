from __future__ import annotations

import pytest

from backend.storyteller.plot import Plot
from backend.storyteller.quests import QUESTS


@pytest.mark.parametrize("plot", QUESTS, ids=lambda plot: plot.name)
def test_what_is_wished_for_comes_back_in_the_ending_or_the_deed(plot: Plot) -> None:
    slot = next(iter(plot.themes))
    last = [*plot.ending, *(text for knot in plot.knots for text in knot.deed)]
    assert f"{slot}}}" in plot.ask
    assert all(f"{slot}}}" in text for text in plot.wish)
    assert any(f"{slot}}}" in text.lower() for text in last)


@pytest.mark.parametrize("plot", QUESTS, ids=lambda plot: plot.name)
def test_every_ending_names_the_hero_and_somebody_met(plot: Plot) -> None:
    for text in plot.ending:
        assert "{N}" in text or "{They}" in text, text
