"""What the verdict is trained on and what is kept aside: no question stands on both sides."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from scripts.labelled_pairs import Pair, read_pairs
from scripts.verdict_training.negatives import name_pool, negatives, same_in_other_form
from scripts.verdict_training.prompts import made_pairs

Part = Literal["train", "aside"]

ASIDE: Final = 0.2
PAIRS_CHANGED: Final = 24_000
TEXTS_REFORMED: Final = 4_500
PROMPTS_TRAINED: Final = 6_000
PROMPTS_ASIDE: Final = 1_800
_COMMON_MAX: Final = 300


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
    """Whole groups of pairs that share texts go to one part; the largest groups to training."""
    if limit is not None and limit < len(pairs):
        pairs = rng.sample(pairs, limit)
    group = _groups(pairs)
    members: dict[str, int] = {}
    for pair in pairs:
        members[group[pair.a]] = members.get(group[pair.a], 0) + 1
    order = sorted(members)
    rng.shuffle(order)
    aside: set[str] = set()
    left = ASIDE * len(pairs)
    for one in order:
        if members[one] <= _COMMON_MAX and left > 0:
            aside.add(one)
            left -= members[one]
    return [Labelled(*pair, kind, "aside" if group[pair.a] in aside else "train") for pair in pairs]


def _groups(pairs: Iterable[Pair]) -> dict[str, str]:
    """Each text to one that stands for all that are joined with it by pairs."""
    above: dict[str, str] = {}

    def top(text: str) -> str:
        while above.setdefault(text, text) != text:
            above[text] = above[above[text]]
            text = above[text]
        return text

    for pair in pairs:
        above[top(pair.a)] = top(pair.b)
    return {text: top(text) for text in list(above)}
