from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.labelled_pairs import Pair
from scripts.train_verdict_parts.calibration import curve, platt
from scripts.train_verdict_parts.collecting import Labelled, collect
from scripts.train_verdict_parts.embedded import Embedded
from scripts.train_verdict_parts.measuring import fitted, measured, thresholds
from scripts.train_verdict_parts.negatives import in_other_form, name_pool, names_of, negatives, same_in_other_form
from scripts.train_verdict_parts.prompts import groups, made_pairs
from scripts.train_verdict_parts.splitting import ASIDE, CALIBRATION, part_of
from scripts.train_verdict_parts.splitting import groups as groups_of
from scripts.train_verdict_parts.traffic import half_of


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
    assert name_pool(["So is Cy and Bo and Ann"] * 4) == ["Ann", "Bo", "Cy"]  # not as they happen to be hashed


def test_prompts_kept_aside_come_from_other_groups() -> None:
    assert not {line for group in groups(True) for line in group} & {line for group in groups(False) for line in group}
    made = made_pairs(300, 1, held_out=True)
    assert {one.kind for one in made} >= {"paraphrase", "slot", "polarity"}
    assert made == made_pairs(300, 1, held_out=True)


def test_no_question_stands_in_two_parts(tmp_path: Path) -> None:
    lines = [f"Question {at}?\tQuestion {at + 1 if at % 3 else at + 300}?\t{at % 2}" for at in range(300)]
    (tmp_path / "q.tsv").write_text("a\tb\tduplicate\n" + "\n".join(lines) + "\n")
    found = [one for one in collect([tmp_path / "q.tsv"], [], 300, 1) if one.kind == "questions"]
    parts = ("train", "calibration", "aside")
    sides = [{text for one in found if one.part == part for text in (one.a, one.b)} for part in parts]
    assert all(sides)
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_forms_tell_nothing_of_a_label(tmp_path: Path) -> None:
    lines = [f"Why is it number {at}?\tWhat makes it number {at}?\t{at % 2}" for at in range(4000)]
    (tmp_path / "q.tsv").write_text("a\tb\tduplicate\n" + "\n".join(lines) + "\n")
    found = [one for one in collect([tmp_path / "q.tsv"], [], None, 1) if one.kind == "questions"]
    known = {text for line in lines for text in line.split("\t")[:2]}
    for part, least, most in (("train", 0.2, 0.35), ("calibration", 0.0, 0.0), ("aside", 0.0, 0.0)):
        for label in (0, 1):
            pairs = [one for one in found if one.part == part and one.duplicate == label]
            assert least <= np.mean([not {one.a, one.b} <= known for one in pairs]) <= most


def test_another_form_is_another_text_or_none() -> None:
    rng = random.Random(1)
    forms = {in_other_form("What is the capital of France?", rng) for _ in range(200)}
    assert len(forms) > 15 and in_other_form("", rng) is None


def test_pairs_that_share_a_text_in_any_form_are_of_one_group_whatever_their_order() -> None:
    pairs = [Pair("Who is Ann?", "Who's she?", 1), Pair("WHO IS ANN", "Where is she?", 0), Pair("Why?", "How?", 0)]
    found = groups_of(pairs)
    assert len({found[text] for text in ("Who is Ann?", "Who's she?", "WHO IS ANN", "Where is she?")}) == 1
    assert found["Why?"] == found["How?"] != found["Who is Ann?"]
    assert groups_of(pairs[::-1]) == found


def test_about_as_many_groups_as_said_are_kept_aside() -> None:
    parts = [part_of(f"group {at}") for at in range(5000)]
    assert parts.count("aside") / 5000 == pytest.approx(ASIDE, abs=0.02)
    assert parts.count("calibration") / 5000 == pytest.approx(CALIBRATION, abs=0.02)


def test_half_of_the_groups_are_drawn_whole() -> None:
    pairs = [Pair(f"a{at}", f"b{at // 2}", 1) for at in range(100)]
    drawn = half_of(pairs, 1)
    assert len(drawn) == 50 and drawn != half_of(pairs, 2)
    assert len({pair.b for pair in drawn}) == 25


class Model:
    """As an embedding model; counts what it reads, and can't read what is blank."""

    id, dimension = "model@1", 4

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, texts: list[str]) -> tuple[list[Any], list[Any]]:
        self.asked += texts
        vectors = [np.full(4, len(text), np.float32) if text.strip() else None for text in texts]
        return vectors, [np.full((len(text), 8), 7, np.int8) if text.strip() else None for text in texts]


@pytest.mark.torch
def test_texts_are_embedded_once_also_after_an_interrupted_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model: Any = Model()
    Embedded(["a", "  ", "bbb"], tmp_path, model)
    (folder,) = tmp_path.iterdir()
    with (folder / "tokens").open("ab") as tokens, (folder / "texts").open("ab") as texts:
        tokens.write(b"half a row")
        texts.write(b'"cut of')
    found = Embedded(["dd", "a", "bbb", "dd"], tmp_path, model)
    assert sorted(model.asked) == ["  ", "a", "bbb", "dd"]
    assert "  " not in found and found.vector("bbb").tolist() == [3.0] * 4
    assert found.tokens("dd").shape == (2, 8) and found.tokens("a").tolist() == [[7] * 8]


def test_thresholds_of_some_pairs_hold_for_others() -> None:
    rng = np.random.default_rng(1)
    pairs = [Labelled(f"a{at}", "b", int(rng.random() < 0.5), "made", "aside") for at in range(8000)]
    scores = np.array([rng.normal(2.0 * one.duplicate, 1.0) for one in pairs])
    passed = np.ones(4000, bool)
    slope, offset = fitted(pairs[:4000], scores[:4000])
    assert slope == pytest.approx(2.0, abs=0.2)
    probabilities = 1 / (1 + np.exp(-(slope * scores + offset)))
    found = thresholds(pairs[:4000], probabilities[:4000], passed, [])
    told = measured(pairs[4000:], probabilities[4000:], passed, found)["made"]
    assert told["served"]["0.1"]["wrong_if_half_duplicates"] == pytest.approx(0.1, abs=0.04)
    assert told["served"]["0.05"]["of_duplicates"] < told["served"]["0.1"]["of_duplicates"]


def test_questions_speak_through_the_traffic_alone() -> None:
    pairs = [Labelled(f"a{at}", "b", at % 2, "questions" if at < 500 else "made", "calibration") for at in range(1000)]
    probabilities = np.where([one.kind == "made" for one in pairs], np.arange(1000) % 2 * 0.9, 0.95)
    traffic = [(0.8, 0.04), (0.92, 0.03), (0.95, 0.01)]
    found = dict(thresholds(pairs, probabilities, np.ones(1000, bool), traffic))
    assert (found[0.04], found[0.03], found[0.01]) == (0.8, 0.92, 0.95)
    assert 0.005 not in found


def test_scores_become_probabilities() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * scores + 1)))).astype(float)
    assert platt(scores, labels, np.ones(20_000)) == pytest.approx((0.5, 1.0), abs=0.1)


def test_every_kind_of_pairs_keeps_the_share_above_its_threshold() -> None:
    probabilities = np.tile(np.linspace(0, 1, 1000), 2)
    kinds = ["easy"] * 1000 + ["hard"] * 1000
    labels = np.r_[np.linspace(0, 1, 1000) > 0.3, np.linspace(0, 1, 1000) > 0.6].astype(float)
    found = {row[0]: row[1] for row in curve(probabilities, labels, kinds, np.ones(2000, bool))}
    assert found[0.05] > 0.55
    assert min(found, key=lambda share: found[share]) == max(found)
