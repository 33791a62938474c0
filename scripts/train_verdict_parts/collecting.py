"""What the verdict is trained, calibrated and measured on: no question stands in two of these parts, in no form."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from scripts.labelled_pairs import Pair, read_pairs
from scripts.train_verdict_parts.negatives import in_other_form, name_pool, negatives, same_in_other_form
from scripts.train_verdict_parts.prompts import made_pairs
from scripts.train_verdict_parts.splitting import Part, groups, part_of

PAIRS_CHANGED: Final = 24_000
TEXTS_REFORMED: Final = 9_000
PROMPTS_TRAINED: Final = 6_000
PROMPTS_ASIDE: Final = 1_800
"""Half of them to find thresholds."""
_PROMPTS_SEED: Final = 5
REFORMED: Final = 0.3
"""Share of the training pairs one side of which comes in another form. Where only duplicates did, a greeting or a slip
of the finger would itself be taken for a sign of one."""


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
    part_by_text = {text: one.part for one in real for text in (one.a, one.b)}
    for trained in (True, False):
        rows = [(one.a, one.b, one.duplicate) for one in real if (one.part == "train") == trained]
        rng.shuffle(rows)
        size = PAIRS_CHANGED if trained else PAIRS_CHANGED // 4
        made = negatives(rows[: min(size, limit or size)], names, rng)
        texts = sorted({text for a, b, _ in rows for text in (a, b)})
        size = TEXTS_REFORMED if trained else TEXTS_REFORMED // 4
        made += same_in_other_form(rng.sample(texts, min(size, limit or size, len(texts))), rng)
        for one in made:  # one of its texts is a question's
            part = part_by_text.get(one.a) or part_by_text[one.b]
            found.append(Labelled(one.a, one.b, one.duplicate, "made", part))
        size = PROMPTS_TRAINED if trained else PROMPTS_ASIDE
        for number, one in enumerate(made_pairs(min(size, limit or size), seed + _PROMPTS_SEED, held_out=not trained)):
            part = "train" if trained else "calibration" if number % 2 else "aside"
            found.append(Labelled(one.a, one.b, one.duplicate, "prompts", part))
    return [_perhaps_reformed(one, rng) for one in found]


def _perhaps_reformed(one: Labelled, rng: random.Random) -> Labelled:
    """Not what is there for its form already, nor what measures."""
    if one.part != "train" or one.kind not in ("questions", "made") or (one.kind == "made" and one.duplicate):
        return one
    if rng.random() >= REFORMED:
        return one
    if rng.random() < 0.5:
        return one._replace(a=in_other_form(one.a, rng) or one.a)
    return one._replace(b=in_other_form(one.b, rng) or one.b)


def _split(pairs: list[Pair], kind: str, limit: int | None, rng: random.Random) -> list[Labelled]:
    group = groups(pairs)
    if limit is not None and limit < len(pairs):
        pairs = rng.sample(pairs, limit)
    return [Labelled(*pair, kind, part_of(group[pair.a])) for pair in pairs]
