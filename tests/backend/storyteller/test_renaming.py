from __future__ import annotations

import itertools
import random

from backend.storyteller.batches import documents
from backend.storyteller.prompts import Turn
from backend.storyteller.renaming import people, renamed, wide_name
from backend.storyteller.words import held_out

TALK = [
    Turn("Tell me about Rilla in Paris", said=False),
    Turn('Rilla met an owl named Bosto. "Fly," said Bosto. Bosto and Rilla flew.', said=True),
]


def test_people_are_found_and_places_are_not() -> None:
    assert people(TALK) == ["Rilla", "Bosto"]


def test_a_person_has_the_same_new_name_everywhere() -> None:
    for seed in range(30):
        before, after = (
            " ".join(turn.text for turn in TALK),
            " ".join(turn.text for turn in renamed(TALK, random.Random(seed))),
        )
        names = dict(zip(before.split(), after.split(), strict=True))
        assert after == " ".join(names[word] for word in before.split())
        assert "Paris" in after


def test_some_keep_their_names_and_some_do_not() -> None:
    kept = ["Rilla" in renamed(TALK, random.Random(seed))[0].text for seed in range(60)]
    assert 10 < sum(kept) < 50


def test_no_wide_name_is_one_that_judges() -> None:
    rng = random.Random(5)
    names = [wide_name(rng) for _ in range(800)]
    assert not any(held_out(name) for name in names)
    assert all(name[0].isupper() and 2 <= len(name) <= 12 for name in names)
    assert len(set(names)) > 300


def test_the_renamed_corpus_is_as_repeatable_as_the_other() -> None:
    first = list(itertools.islice(documents(3, wide_names=True), 15))
    assert first == list(itertools.islice(documents(3, wide_names=True), 15))
    assert first != list(itertools.islice(documents(3), 15))
