from __future__ import annotations

import pytest

from backend.storyteller import beats


@pytest.mark.parametrize("opening", [*beats.OPENINGS, *beats.SCENES])
def test_every_opening_names_the_hero(opening: str) -> None:
    assert "{N}" in opening


@pytest.mark.parametrize("opening", beats.OPENINGS)
def test_every_opening_tells_who_and_where(opening: str) -> None:
    assert "kind}" in opening
    assert "{place}" in opening


def test_a_farewell_is_sometimes_left_out() -> None:
    assert "" in beats.FAREWELLS


def test_a_sequel_names_hero_and_helper() -> None:
    told = " ".join(text for beat in beats.SEQUELS for text in beat)
    assert "{N}" in told
    assert "{H}" in told
