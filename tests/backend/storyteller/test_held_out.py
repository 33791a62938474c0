from __future__ import annotations

import itertools

from backend.storyteller import held_out, words
from backend.storyteller.batches import documents

PROMPTS = [held_out.prompt_of(seed) for seed in range(200)]


def test_the_same_seed_asks_the_same() -> None:
    assert [held_out.prompt_of(seed) for seed in range(200)] == PROMPTS


def test_every_prompt_gives_a_name_that_training_never_sees() -> None:
    for prompt in PROMPTS:
        assert prompt.hero
        assert words.held_out(prompt.hero)
        assert prompt.hero.lower() in prompt.text.lower()


def test_all_kinds_are_asked() -> None:
    kinds = [prompt.kind for prompt in PROMPTS]
    assert {kind: kinds.count(kind) for kind in kinds} == {"first line": 80, "request": 80, "own words": 40}


def test_no_prompt_stands_in_training() -> None:
    asked = {turn.text for turns in itertools.islice(documents(1), 3000) for turn in turns}
    assert not asked & {prompt.text for prompt in PROMPTS}
