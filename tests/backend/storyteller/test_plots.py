from __future__ import annotations

import re

from backend.storyteller.plots import PLOTS, RULES


def _beats() -> list[str]:
    return [
        text
        for plot in PLOTS
        for beat in (
            plot.wish,
            plot.ending,
            *(part for knot in plot.knots for part in (knot.trouble, knot.turn, knot.deed)),
        )
        for text in beat
    ]


def test_every_plot_has_its_own_name_and_every_beat_a_choice() -> None:
    assert len({plot.name for plot in PLOTS}) == len(PLOTS) == 10
    for plot in PLOTS:
        assert plot.knots
        for beat in (plot.wish, plot.ending, *(knot.trouble for knot in plot.knots)):
            assert len(beat) >= 2


def test_brackets_close_and_do_not_nest() -> None:
    for text in [*_beats(), *(text for rule in RULES.values() for text in rule)]:
        depth = 0
        for sign in text:
            depth += {"[": 1, "]": -1}.get(sign, 0)
            assert 0 <= depth <= 1, text
        assert depth == 0, text
        assert text.count("{") == text.count("}"), text


def test_no_text_stands_twice() -> None:
    assert len(set(_beats())) == len(_beats())


def test_every_knot_brings_in_a_helper_once() -> None:
    for plot in PLOTS:
        for knot in plot.knots:
            told = [*knot.trouble, *knot.turn]
            met = [bool(re.search(r"\{meet\}|\{a helper\}", text)) for text in told]
            first, later = met[: len(knot.trouble)], met[len(knot.trouble) :]
            assert all(first) != all(later), plot.name
            assert all(first) or not any(first), plot.name
            assert all(later) or not any(later), plot.name
