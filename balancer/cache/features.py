"""What the words of two texts have in common and what not, as numbers for the learned score.

All features are the same whichever text is the new one, and lie about between 0 and 1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from balancer.cache import gates
from balancer.cache.lexicon import Lexis

COUNT: Final = 36
"""Features of a pair."""


def features(new: Lexis, old: Lexis, cosine: float) -> NDArray[np.float32]:
    """``COUNT`` numbers for two texts and the cosine of their embeddings."""
    a, b = new.content, old.content
    only_a, only_b = [s for s in a if s not in b], [s for s in b if s not in a]
    near = _near(only_a, only_b)
    if near:
        gone_a, gone_b = {x for x, _ in near}, {y for _, y in near}
        only_a, only_b = [s for s in only_a if s not in gone_a], [s for s in only_b if s not in gone_b]
    wa, wb = [a[s] for s in only_a], [b[s] for s in only_b]
    common = [s for s in a if s in b]
    shared = sum(a[s] for s in common) + sum(a[x] for x, _ in near)
    sum_a, sum_b = sum(wa), sum(wb)
    most, least = max(max(wa, default=0.0), max(wb, default=0.0)), min(max(wa, default=0.0), max(wb, default=0.0))
    na, nb = new.signature.numbers, old.signature.numbers
    missing = sum(1 for n in na if n not in nb) + sum(1 for n in nb if n not in na)
    negations, opposites = gates.flips(new, old)
    ma, mb = len(new.names.difference(old.stems)), len(old.names.difference(new.stems))
    la, lb = len(new.words), len(old.words)
    pa, pb = set(pairwise(new.words)), set(pairwise(old.words))
    fa, fb = set(new.words), set(old.words)
    union = len(fa | fb)
    return np.array(
        (
            cosine,
            max(0.0, cosine - 0.8) * 5,
            most,
            least,
            max(sum_a, sum_b) / 3,
            min(sum_a, sum_b) / 3,
            shared / 4,
            shared / (shared + (sum_a + sum_b) / 2 + 0.1),
            2 * (len(common) + len(near)) / (len(a) + len(b) + 0.1),
            max(len(only_a), len(only_b)) / 6,
            min(len(only_a), len(only_b)) / 6,
            abs(la - lb) / 10,
            (la + lb) / 40,
            min(la, lb) / max(la, lb, 1),
            sorted(na) != sorted(nb),
            missing / 3,
            sum(1 for n in na if n in nb) / 3,
            negations % 2,
            min(negations, 3) / 3,
            min(opposites, 3) / 3,
            (negations + opposites) % 2,
            negations % 2 and opposites % 2,
            max(ma, mb) / 3,
            min(ma, mb) / 3,
            len(new.names & old.names) / 3,
            any(part not in old.lower for part in new.exact) or any(part not in new.lower for part in old.exact),
            new.times != old.times,
            new.asks == old.asks != "",
            new.asks != old.asks and new.asks != "" and old.asks != "",
            gates.turned(new, old),
            _inversions(new, old, common),
            2 * len(pa & pb) / (len(pa) + len(pb) + 0.1),
            not only_a and not only_b,
            len(near) / 3,
            min(sum_a, sum_b) == 0,
            len(fa & fb) / max(union, 1),
        ),
        np.float32,
    )


def _near(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Stems that are written nearly alike: one begins with the other, or two of one letter's difference."""
    found = []
    for word in left:
        for other in right:
            if len(word) > 3 and len(other) > 3 and word[:3] == other[:3] and _alike(word, other):
                found.append((word, other))
                break
    return found


def _alike(word: str, other: str) -> bool:
    if word.startswith(other) or other.startswith(word):
        return abs(len(word) - len(other)) <= 4
    return (
        len(word) > 4
        and word[-2:] == other[-2:]
        and abs(len(word) - len(other)) <= 1
        and not any(map(str.isdigit, word + other))
    )


def _inversions(new: Lexis, old: Lexis, common: list[str]) -> float:
    """Share of the common words' neighbours that stand the other way round."""
    if len(common) < 2:
        return 0.0
    place = {s: at for at, s in enumerate(old.stems)}
    places = [place[s] for s in common]
    return sum(1 for left, right in pairwise(places) if left > right) / (len(places) - 1)
