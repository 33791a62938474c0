"""What every plot keeps to, whichever file it stands in."""

from __future__ import annotations

from backend.storyteller.plot import Plot


def assert_wish_comes_back(plot: Plot) -> None:
    """What is asked and wished for is what the ending or a deed is about."""
    slot = next(iter(plot.themes))
    last = [*plot.ending, *(text for knot in plot.knots for text in knot.deed)]
    assert f"{slot}}}" in plot.ask
    assert all(f"{slot}}}" in text for text in plot.wish)
    assert any(f"{slot}}}" in text.lower() for text in last)


def assert_endings_are_about_the_hero(plot: Plot) -> None:
    """By name or pronoun, in every ending."""
    for text in plot.ending:
        assert "{N}" in text or "{They}" in text, text
