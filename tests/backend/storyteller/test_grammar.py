from __future__ import annotations

import random

import pytest

from backend.storyteller.grammar import count, count_any, expand, sentence_case, with_article


@pytest.mark.parametrize(
    ("noun", "whole"),
    [
        ("fox", "a fox"),
        ("owl", "an owl"),
        ("one-eyed heron", "a one-eyed heron"),
        ("unicorn", "a unicorn"),
        ("umbrella mender", "an umbrella mender"),
    ],
)
def test_the_article_fits_the_sound(noun: str, whole: str) -> None:
    assert with_article(noun) == whole


def test_slots_and_choices_are_filled_and_sentences_begin_with_capitals() -> None:
    text = expand("{they} saw {a thing}. {They} [ran|ran].", {"they": "she", "thing": "apple"}, {}, random.Random(1))
    assert text == "She saw an apple. She ran."


def test_a_rule_stands_for_one_of_its_texts() -> None:
    texts = {expand("It was {x}", {}, {"x": ("[red|green]", "blue")}, random.Random(seed)) for seed in range(40)}
    assert texts == {"It was red", "It was green", "It was blue"}


def test_the_same_seed_expands_to_the_same_text() -> None:
    template = "[a|b|c] [d|e|f] [g|h|i]"
    assert expand(template, {}, {}, random.Random(7)) == expand(template, {}, {}, random.Random(7))


def test_an_unknown_slot_is_an_error() -> None:
    with pytest.raises(KeyError):
        expand("{nobody}", {}, {}, random.Random(1))


def test_what_follows_a_closing_quotation_mark_stays_small() -> None:
    assert (
        sentence_case('"is it?" asked he. "yes!" said she. so it was.')
        == '"Is it?" asked he. "Yes!" said she. So it was.'
    )


def test_count_multiplies_choices_and_rules() -> None:
    rules = {"x": ("[red|green]", "blue")}
    assert count("[a|b] {x} {N}", rules) == 6
    assert count_any(("[a|b] {x}", "c"), rules) == 7


def test_count_is_the_number_of_texts_there_are() -> None:
    template = "[a|b|c] and [{x}|d]"
    rules = {"x": ("e", "[f|g]")}
    texts = {expand(template, {}, rules, random.Random(seed)) for seed in range(500)}
    assert len(texts) == count(template, rules)
