"""What a calibrated score does on pairs that it was not trained on: the figures in the file's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scripts.measures import drawn_reach, reach
from scripts.verdict_training.calibration import balanced, curve, platt
from scripts.verdict_training.collecting import Labelled

MIX: Final = {"questions": 0.4, "prompts": 0.2, "negation": 0.2, "made": 0.2}
"""What calibration takes traffic to be."""
POINTS: Final = (0.02, 0.05, 0.1)
_REACHES: Final = (0.02, 0.05, 0.1)
_DIGITS: Final = 4

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]


def calibrated(pairs: Sequence[Labelled], scores: Numbers, passed: Mask) -> dict[str, Any]:
    """How scores become probabilities, and from which probability on which share is wrong."""
    labels, kinds = _labels(pairs), [one.kind for one in pairs]
    slope, offset = platt(scores, labels, balanced(labels, kinds, MIX))
    probabilities = 1 / (1 + np.exp(-(slope * scores + offset)))
    return {"calibration": [slope, offset], "curve": curve(probabilities, labels, kinds, passed)}


def measured(pairs: Sequence[Labelled], scores: Numbers, passed: Mask) -> dict[str, Any]:
    """For each kind of pairs what the score reaches, and what is served at the operating points.

    Points are measured crosswise: half of the pairs (by their first text) calibrate, the other half is measured, and
    the other way round, so that no pair is judged by a threshold that it helped to find.
    """
    labels, kinds = _labels(pairs), np.array([one.kind for one in pairs])
    serves = {point: _served_crosswise(pairs, scores, passed, point) for point in POINTS}
    found: dict[str, Any] = {}
    for kind in sorted(set(kinds.tolist())):
        rows = kinds == kind
        found[kind] = {
            "pairs": int(rows.sum()),
            "duplicates": int(labels[rows].sum()),
            "reach": {str(share): _round(reach(labels[rows], scores[rows], share)) for share in _REACHES},
            "reach_half_duplicates": {
                str(share): [_round(one) for one in drawn_reach(labels[rows], scores[rows], share)]
                for share in _REACHES
            },
            "served": {str(point): _at_point(labels[rows], mask[rows]) for point, mask in serves.items()},
        }
    return found


def _served_crosswise(pairs: Sequence[Labelled], scores: Numbers, passed: Mask, share: float) -> Mask:
    half = np.array([blake2b(one.a.encode(), digest_size=1).digest()[0] % 2 == 0 for one in pairs])
    served = np.zeros(len(pairs), bool)
    for rows in (half, ~half):
        found = calibrated([one for one, use in zip(pairs, ~rows, strict=True) if use], scores[~rows], passed[~rows])
        slope, offset = found["calibration"]
        least = min((probability for told, probability in found["curve"] if told <= share), default=2.0)
        served[rows] = passed[rows] & (1 / (1 + np.exp(-(slope * scores[rows] + offset))) >= least)
    return served


def _at_point(labels: Numbers, served: Mask) -> dict[str, Any]:
    ones, zeros = labels == 1, labels == 0
    right, wrong = served[ones].mean() if ones.any() else 0.0, served[zeros].mean() if zeros.any() else 0.0
    return {
        "of_duplicates": _round(right),
        "of_others": _round(wrong),
        "others": int(served[zeros].sum()),
        "wrong_if_half_duplicates": _round(wrong / (right + wrong)) if right + wrong else None,
    }


def _labels(pairs: Sequence[Labelled]) -> Numbers:
    return np.array([float(one.duplicate) for one in pairs])


def _round(number: float) -> float:
    return round(float(number), _DIGITS)
