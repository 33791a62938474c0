from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from scripts.verdict_training.calibration import curve, platt
from scripts.verdict_training.collecting import collect
from scripts.verdict_training.negatives import name_pool, names_of, negatives, same_in_other_form
from scripts.verdict_training.prompts import groups, made_pairs


def test_a_changed_text_is_never_the_text_itself() -> None:
    rows = [("Can I fly from Rome to Oslo in 3 hours?", "Is flying to Oslo from Rome 3 hours?", 1)] * 200
    made = negatives(rows, ["Paris", "London"], random.Random(1))
    assert {one.kind for one in made} >= {"number", "entity", "polarity", "order"}
    assert all(one.a != one.b and one.duplicate == 0 for one in made)


def test_other_forms_of_a_text_are_duplicates() -> None:
    made = same_in_other_form(["What is the capital of France?"] * 100, random.Random(1))
    assert len({one.b for one in made}) > 5
    assert all(one.duplicate == 1 for one in made)


def test_names_are_words_with_a_capital_inside_a_sentence() -> None:
    assert names_of("Does Ann know Bob? He is here.") == ["Ann", "Bob"]
    assert name_pool(["So is Ann"] * 4) == ["Ann"]


def test_prompts_kept_aside_come_from_other_groups() -> None:
    assert not {line for group in groups(True) for line in group} & {line for group in groups(False) for line in group}
    made = made_pairs(300, 1, held_out=True)
    assert {one.kind for one in made} >= {"paraphrase", "slot", "polarity"}
    assert made == made_pairs(300, 1, held_out=True)


def test_no_question_stands_on_both_sides(tmp_path: Path) -> None:
    lines = [f"Question {at}?\tQuestion {at + 1 if at % 3 else at + 100}?\t{at % 2}" for at in range(90)]
    (tmp_path / "q.tsv").write_text("a\tb\tduplicate\n" + "\n".join(lines) + "\n")
    found = [one for one in collect([tmp_path / "q.tsv"], [], 90, 1) if one.kind == "questions"]
    sides = [{text for one in found if one.part == part for text in (one.a, one.b)} for part in ("train", "aside")]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_scores_become_probabilities() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * scores + 1)))).astype(float)
    assert platt(scores, labels, np.ones(20_000)) == pytest.approx((0.5, 1.0), abs=0.1)


def test_every_kind_of_pairs_keeps_the_share_above_its_threshold() -> None:
    probabilities = np.tile(np.linspace(0, 1, 1000), 2)
    kinds = ["easy"] * 1000 + ["hard"] * 1000
    labels = np.r_[np.linspace(0, 1, 1000) > 0.3, np.linspace(0, 1, 1000) > 0.6].astype(float)
    found = dict(map(tuple, curve(probabilities, labels, kinds, np.ones(2000, bool))))
    assert found[0.05] > 0.55
    assert min(found, key=lambda share: found[share]) == max(found)
