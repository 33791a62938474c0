"""From scores to probabilities, and from probabilities to the share of what is served that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHARES: Final = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2)
SERVED_MIN: Final = 100
_STEPS: Final = 50
_DRAWS: Final = 41

Numbers = NDArray[np.float64]


def platt(scores: Numbers, labels: Numbers, weights: Numbers) -> tuple[float, float]:
    """Slope and offset that make the logistic of a score a probability (Platt 1999, by Newton's method)."""
    design = np.stack([scores, np.ones_like(scores)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -60, 60)))
        gradient = design.T @ (weights * (p - labels))
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        found = found - np.linalg.solve(hessian, gradient)
    return float(found[0]), float(found[1])


def curve(
    probabilities: Numbers,
    labels: Numbers,
    kinds: list[str],
    passed: NDArray[np.bool_],
    traffic: Sequence[tuple[float, float]] = (),
) -> list[list[float]]:
    """For each of ``SHARES`` that can be kept, the least probability from which on each kind of pairs keeps it, and
    so does ``traffic``: probabilities, and which share of near hits is wrong from them on (`wrong_at_most`).

    Half of each kind are taken to be duplicates; what the gates refuse is not served. Each kind by itself, since
    nobody knows which of them the traffic will be. Where few are wrong, a few labels move the threshold far, so it is
    the median over pairs drawn again and again from these.
    """
    rng = np.random.default_rng(0)
    names = np.array(kinds)
    found = []
    for share in SHARES:
        most = min((level for level, wrong in traffic if wrong <= share), default=2.0 if traffic else 0.0)
        for kind in sorted(set(kinds)):
            rows = np.flatnonzero(names == kind)
            draws = (rng.choice(rows, len(rows)) for _ in range(_DRAWS))
            most = max(most, float(np.median([_least(probabilities, labels, draw, passed, share) for draw in draws])))
        if most <= 1:
            found.append([share, most])
    return found


def _least(
    probabilities: Numbers, labels: Numbers, rows: NDArray[np.int64], passed: NDArray[np.bool_], share: float
) -> float:
    """Above 1 where none keeps the share."""
    duplicates, others = (labels[rows] == 1).sum(), (labels[rows] == 0).sum()
    served = rows[passed[rows]]
    order = served[np.argsort(-probabilities[served], kind="stable")]
    right = np.cumsum(labels[order]) / max(1, duplicates)
    wrong = np.cumsum(1 - labels[order]) / max(1, others)
    good = np.flatnonzero((wrong <= share * (right + wrong)) & (np.arange(1, len(order) + 1) >= SERVED_MIN))
    return float(probabilities[order[good[-1]]]) if len(good) else 2.0


def balanced(labels: Numbers, kinds: list[str], shares: dict[str, float]) -> Numbers:
    """Weights that give each kind of pairs its share, and in each as much to duplicates as to others."""
    weights = np.zeros(len(labels))
    names = np.array(kinds)
    for kind, share in shares.items():
        for label in (0, 1):
            rows = (names == kind) & (labels == label)
            if rows.any():
                weights[rows] = share / 2 / rows.sum()
    weights *= len(labels) / weights.sum()
    return weights
