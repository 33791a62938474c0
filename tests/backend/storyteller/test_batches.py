from __future__ import annotations

import itertools
import random

from backend.storyteller.batches import IGNORED, NAME_WEIGHT, batches, documents, example
from backend.storyteller.names import begins_with_name
from backend.storyteller.prompts import Turn

END = 0


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_only_the_storytellers_turns_are_learned_and_each_ends() -> None:
    turns = [Turn("ab", said=False), Turn("cd", said=True), Turn("e", said=False), Turn("f", said=True)]
    made = example(turns, letters, END, random.Random(1))
    assert made.inputs == letters("ab\n\ncd\n\ne\n\nf")
    learned = [(chr(a), b) for a, b in zip(made.inputs, made.targets, strict=True) if b != IGNORED]
    assert learned == [
        ("b", 10),
        ("\n", 10),
        ("\n", ord("c")),
        ("c", ord("d")),
        ("d", END),
        ("e", 10),
        ("\n", 10),
        ("\n", ord("f")),
        ("f", END),
    ]


def test_a_cut_text_is_the_same_text() -> None:
    turns = [Turn("abcdef" * 20, said=True)]
    for seed in range(50):
        assert example(turns, letters, END, random.Random(seed)).inputs == letters("abcdef" * 20)


def test_the_corpus_depends_on_its_seed_only() -> None:
    assert list(itertools.islice(documents(3), 20)) == list(itertools.islice(documents(3), 20))
    assert list(itertools.islice(documents(3), 20)) != list(itertools.islice(documents(4), 20))


def test_where_names_stay_inside_no_answer_begins_with_one() -> None:
    told = [turn for turns in itertools.islice(documents(3, names_inside=True), 300) for turn in turns[1:] if turn.said]
    assert len(told) > 200
    assert not any(begins_with_name(turn.text) for turn in told)


def test_batches_keep_their_bounds_and_hold_rows_of_like_length() -> None:
    for batch in itertools.islice(batches(1, documents(1), letters, END, context=1500, batch_tokens=6000), 40):
        width = max(len(one.inputs) for one in batch)
        assert width <= 1500
        assert width * len(batch) <= 6000
        assert all(len(one.inputs) == len(one.targets) for one in batch)


def test_a_name_that_came_before_counts_more() -> None:
    turns = [Turn("Tell me of Zorb", said=False), Turn("Zorb met Quil. Quil ran. Once Zorb sat.", said=True)]
    made = example(turns, letters, END, random.Random(1))
    told = "".join(chr(letter) for letter in made.inputs)
    heavy = [told[at + 1] for at, weight in enumerate(made.weights) if weight == NAME_WEIGHT]
    assert "".join(heavy) == "Zorb  Quil  Zorb ", "each with what ends it"
    assert len(made.weights) == len(made.inputs)
