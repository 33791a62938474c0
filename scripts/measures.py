"""How well a score tells duplicates from others: what is served at which wrong share. Labels are 1 and 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from balancer.cache.judge_error import wilson

Numbers = NDArray[np.floating]
DRAWS = 20
DRAW_PAIRS = 4000
SERVED_MIN = 100


class Served(NamedTuple):
    """What a rule serves."""

    served: int
    of_duplicates: float
    """Share of the duplicates that is served."""
    wrong: float
    """Share of what is served that is no duplicate; NaN where nothing is served."""
    wrong_upper: float
    """Upper end of its 95 % Wilson interval."""


def served(labels: Numbers, mask: NDArray[np.bool_]) -> Served:
    """What serving the pairs of ``mask`` means."""
    count, right = int(mask.sum()), int(labels[mask].sum())
    duplicates = int(labels.sum())
    wrong = (count - right) / count if count else float("nan")
    return Served(count, right / duplicates if duplicates else float("nan"), wrong, wilson(count - right, count).high)


def reach(labels: Numbers, scores: Numbers, wrong_max: float, served_min: int = SERVED_MIN) -> float:
    """The largest share of duplicates that a threshold serves with at most ``wrong_max`` of what it serves wrong."""
    order = np.argsort(-scores, kind="stable")
    ranked, values = labels[order], scores[order]
    right = np.cumsum(ranked)
    count = np.arange(1, len(ranked) + 1)
    ends = np.r_[values[1:] != values[:-1], True]  # equal scores are served together or not at all
    good = np.flatnonzero(ends & (count >= served_min) & (count - right <= wrong_max * count))
    return float(right[good[-1]] / right[-1]) if len(good) and right[-1] else 0.0


def drawn_reach(labels: Numbers, scores: Numbers, wrong_max: float, seed: int = 0) -> tuple[float, float, float]:
    """Mean, least and most of `reach` over draws of as many duplicates as others."""
    rng = np.random.default_rng(seed)
    ones, zeros = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    half = min(DRAW_PAIRS // 2, len(ones), len(zeros))
    found = []
    for _ in range(DRAWS):
        rows = np.r_[rng.choice(ones, half, replace=False), rng.choice(zeros, half, replace=False)]
        found.append(reach(labels[rows], scores[rows], wrong_max, min(SERVED_MIN, half)))
    return float(np.mean(found)), min(found), max(found)
