"""How much of a text stands word for word in one training story: shared 8-grams of words.

An 8-gram is eight words in a row, letters only and small; punctuation and paragraph ends do not break it. For a text,
each training story is compared by itself, and the largest share of the text's distinct 8-grams found in one of them
counts (not the share found somewhere among all of them).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
SIZE = 8


def grams(text: str) -> set[tuple[str, ...]]:
    """The distinct 8-grams of `text`; empty when it has fewer than eight words."""
    found = [word.lower() for word in _WORD.findall(text)]
    return {tuple(found[at : at + SIZE]) for at in range(len(found) - SIZE + 1)}


def largest_shares(texts: Sequence[str], training: Iterable[str]) -> list[float]:
    """For each text the largest share (0 to 1) of its 8-grams that stand in any one training story.

    Streams over `training`, so its size does not matter; memory grows with `texts` only.
    """
    wanted: dict[tuple[str, ...], list[int]] = {}
    sizes = []
    for number, text in enumerate(texts):
        own = grams(text)
        sizes.append(len(own))
        for gram in own:
            wanted.setdefault(gram, []).append(number)
    best = [0] * len(texts)
    for story in training:
        hits: Counter[int] = Counter()
        for gram in grams(story) & wanted.keys():
            hits.update(wanted[gram])
        for number, shared in hits.items():
            best[number] = max(best[number], shared)
    return [shared / size if size else 0.0 for shared, size in zip(best, sizes, strict=True)]
