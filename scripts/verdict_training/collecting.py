"""What the verdict is trained on and what is kept aside: no question stands on both sides, in no form."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from scripts.labelled_pairs import Pair, read_pairs
from scripts.verdict_training.negatives import name_pool, negatives, same_in_other_form
from scripts.verdict_training.prompts import made_pairs
from scripts.verdict_training.splitting import Part, groups, part_of

PAIRS_CHANGED: Final = 24_000
TEXTS_REFORMED: Final = 9_000
PROMPTS_TRAINED: Final = 6_000
PROMPTS_ASIDE: Final = 1_800


class Labelled(NamedTuple):
    """One pair, where it is from and what it is for."""

    a: str
    b: str
    duplicate: int
    kind: str
    """``questions``, ``negation``, ``made`` or ``prompts``."""
    part: Part


def collect(questions: Sequence[Path], negations: Sequence[Path], limit: int | None, seed: int) -> list[Labelled]:
    """All pairs; ``limit``: at most so many of each file and of each kind of our own."""
    rng = random.Random(seed)
    found = [one for path in questions for one in _split(read_pairs(path), "questions", limit, rng)]
    real = list(found)
    found += [one for path in negations for one in _split(read_pairs(path), "negation", limit, rng)]
    names = name_pool(text for one in real for text in (one.a, one.b))
    parts: tuple[Part, ...] = ("train", "aside")
    for part in parts:
        rows = [(one.a, one.b, one.duplicate) for one in real if one.part == part]
        rng.shuffle(rows)
        size = PAIRS_CHANGED if part == "train" else PAIRS_CHANGED // 4
        made = negatives(rows[: min(size, limit or size)], names, rng)
        texts = sorted({text for a, b, _ in rows for text in (a, b)})
        size = TEXTS_REFORMED if part == "train" else TEXTS_REFORMED // 4
        made += same_in_other_form(rng.sample(texts, min(size, limit or size, len(texts))), rng)
        found += [Labelled(one.a, one.b, one.duplicate, "made", part) for one in made]
        size = PROMPTS_TRAINED if part == "train" else PROMPTS_ASIDE
        prompts = made_pairs(min(size, limit or size), seed + len(part), held_out=part == "aside")
        found += [Labelled(one.a, one.b, one.duplicate, "prompts", part) for one in prompts]
    return found


def _split(pairs: list[Pair], kind: str, limit: int | None, rng: random.Random) -> list[Labelled]:
    group = groups(pairs)
    if limit is not None and limit < len(pairs):
        pairs = rng.sample(pairs, limit)
    return [Labelled(*pair, kind, part_of(group[pair.a])) for pair in pairs]
