"""What a calibrated score does on pairs that nothing was learned from: the figures in the file's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scripts.measures import drawn_reach, reach
from scripts.train_verdict_parts.calibration import balanced, curve, platt
from scripts.train_verdict_parts.collecting import Labelled

MIX: Final = {"questions": 0.4, "prompts": 0.2, "negation": 0.2, "made": 0.2}
"""What calibration takes traffic to be."""
POINTS: Final = (0.02, 0.05, 0.1)
_REACHES: Final = (0.02, 0.05, 0.1)
_DIGITS: Final = 4

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]


def fitted(pairs: Sequence[Labelled], scores: Numbers) -> tuple[float, float]:
    """How scores become probabilities: slope and offset."""
    labels, kinds = _labels(pairs), [one.kind for one in pairs]
    return platt(scores, labels, balanced(labels, kinds, MIX))


def thresholds(
    pairs: Sequence[Labelled],
    probabilities: Numbers,
    passed: Mask,
    traffic: Sequence[tuple[float, float]],
) -> list[list[float]]:
    """From which probability on which share is wrong: `curve`. Questions speak through ``traffic``."""
    rows = np.array([one.kind != "questions" for one in pairs])
    kinds = [one.kind for one in pairs if one.kind != "questions"]
    return curve(probabilities[rows], _labels(pairs)[rows], kinds, passed[rows], traffic)


def measured(
    pairs: Sequence[Labelled], probabilities: Numbers, passed: Mask, found_curve: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """For each kind of pairs what the score reaches, and what is served at the operating points."""
    labels, kinds = _labels(pairs), np.array([one.kind for one in pairs])
    least = {point: min((told[1] for told in found_curve if told[0] <= point), default=2.0) for point in POINTS}
    found: dict[str, Any] = {}
    for kind in sorted(set(kinds.tolist())):
        rows = kinds == kind
        found[kind] = {
            "pairs": int(rows.sum()),
            "duplicates": int(labels[rows].sum()),
            "reach": {str(share): _round(reach(labels[rows], probabilities[rows], share)) for share in _REACHES},
            "reach_half_duplicates": {
                str(share): [_round(one) for one in drawn_reach(labels[rows], probabilities[rows], share)]
                for share in _REACHES
            },
            "served": {
                str(point): _at_point(labels[rows], (passed & (probabilities >= least[point]))[rows])
                for point in POINTS
            },
        }
    return found


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
