from __future__ import annotations

import random

from backend.storyteller.grammar import count, expand
from backend.storyteller.synonyms import vary, vary_all


def test_a_phrase_becomes_a_choice_that_keeps_the_original() -> None:
    varied = vary("{N} began to sing.")
    assert "[began to|" in varied
    assert count(varied, {}) > 1


def test_a_templates_own_choices_stay_as_they_are() -> None:
    assert "[small|big]" in vary("a [small|big] owl")


def test_who_speaks_is_kept_whatever_the_verb() -> None:
    varied = vary('"Come," said {H}. "Now."')
    texts = {expand(varied, {"H": "Zia", "N": "Bo"}, {}, random.Random(seed)) for seed in range(60)}
    assert len(texts) > 3
    assert all("Zia" in text and "Bo" not in text for text in texts)


def test_every_variation_still_has_its_slots_closed() -> None:
    for varied in vary_all(["But {N} tried to {skill} at last.", "{They} sat down and wanted to {skill}."]):
        assert varied.count("{") == varied.count("}")
        assert varied.count("[") == varied.count("]")
