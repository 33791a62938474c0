from __future__ import annotations

import random

from backend.storyteller import words


def test_names_for_training_and_names_held_out_never_meet() -> None:
    rng = random.Random(3)
    seen = {words.pick_name(rng, hers=True) for _ in range(400)}
    unseen = {words.pick_name(rng, hers=True, unseen=True) for _ in range(100)}
    assert not seen & unseen
    assert all(words.held_out(name) for name in unseen)


def test_names_are_single_capitalised_words() -> None:
    rng = random.Random(4)
    for _ in range(500):
        name = words.pick_name(rng, hers=rng.random() < 0.5)
        assert name.isalpha()
        assert name == name.capitalize()


def test_open_names_are_many() -> None:
    rng = random.Random(5)
    assert len({words.open_name(rng, hers=False) for _ in range(2000)}) > 1700


def test_made_up_creatures_are_small_words_and_places_capitalised() -> None:
    rng = random.Random(6)
    assert words.open_kind(rng).islower()
    assert words.open_place(rng)[0].isupper()


def test_well_known_names_have_one_gender() -> None:
    assert not set(words.HER_NAMES) & set(words.HIS_NAMES)
