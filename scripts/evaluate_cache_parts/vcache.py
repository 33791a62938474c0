"""vCache (Schroeder and others, arXiv 2502.03771), after the published description of its algorithm.

Each entry keeps what it saw: (cosine, would its answer have been right). A logistic curve in the cosine is fitted to
it, and an answer is served unless a draw says to explore: with a probability high enough that what is served and
what is asked anew together are right in a share of at least ``1 - delta``, whatever the fit's own uncertainty. A
question that was asked anew is observed, and becomes an entry itself if the nearest one's answer was wrong.
"""

from __future__ import annotations

import math
import random
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.evaluate_cache_parts.caches import Asked, Nearest, Served

_OBSERVED_MIN: Final = 2
_RISKS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""That the true curve lies beyond its confidence bound; the best of them is taken."""
_NORMAL: Final = (3.090, 2.878, 2.576, 2.326, 2.054, 1.645, 1.282, 0.842, 0.524, 0.253, 0.0)
"""Of the normal distribution, the point that is exceeded with each of them."""
_STEPS: Final = 30
_PRIOR: Final = 1e-3
"""Curvature that keeps the slope finite where the observations can be parted cleanly."""


class Curve(NamedTuple):
    """P(right) is the logistic of ``slope * (cosine - middle)``."""

    middle: float
    middle_error: float
    """Its standard error."""
    slope: float


class VCache:
    """Exact tier and near tier; told the truth about what it explores, which in life a judge would have to guess."""

    def __init__(self, dimension: int, delta: float, seed: int) -> None:
        self._delta = delta
        self._rng = random.Random(seed)
        self._groups: dict[str, int] = {}
        self._nearest = Nearest(dimension)
        self._seen: dict[str, list[tuple[float, bool]]] = {}
        self._explored: tuple[str, float] | None = None

    def serve(self, asked: Asked) -> Served | None:
        self._explored = None
        if asked.text in self._groups:
            return Served(True, self._groups[asked.text])
        nearest = self._nearest.of(asked.vector)
        if nearest is None:
            return None
        name, cosine = nearest
        if self._rng.random() >= explores(cosine, self._seen[name], self._delta):
            return Served(False, self._groups[name])
        self._explored = (name, cosine)
        return None

    def store(self, asked: Asked) -> None:
        right = False
        if self._explored is not None:
            name, cosine = self._explored
            right = self._groups[name] == asked.group
            self._seen[name].append((cosine, right))
        self._groups[asked.text] = asked.group
        if not right:
            self._seen[asked.text] = []
            self._nearest.add(asked.text, asked.vector)


def explores(cosine: float, seen: list[tuple[float, bool]], delta: float) -> float:
    """The probability with which a question is asked anew."""
    if len(seen) < _OBSERVED_MIN:
        return 1.0
    curve = fitted(seen)
    least = 1.0
    for risk, beyond in zip(_RISKS, _NORMAL, strict=True):
        middle = curve.middle + beyond * curve.middle_error
        right = (1 - risk) / (1 + math.exp(-max(-60.0, min(60.0, curve.slope * (cosine - middle)))))
        if right >= 1 - delta:
            return 0.0
        least = min(least, (1 - delta - right) / (1 - right))
    return least


def fitted(seen: list[tuple[float, bool]]) -> Curve:
    """The likeliest curve (by Newton's method), and how sure its middle is."""
    cosines = np.array([cosine for cosine, _ in seen])
    labels = np.array([float(right) for _, right in seen])
    design = np.stack([cosines, np.ones_like(cosines)], axis=1)
    found: NDArray[np.float64] = np.zeros(2)
    hessian = np.eye(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -60, 60)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + _PRIOR * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (labels - p) - _PRIOR * found)
        found = found + step
        if float(np.abs(step).max()) < 1e-6:
            break
    slope, offset = float(found[0]), float(found[1])
    if slope <= 0:
        return Curve(1.0, 1.0, 0.0)
    # The middle is -offset / slope; its error by the delta method.
    gradient = np.array([offset / slope**2, -1 / slope])
    return Curve(-offset / slope, math.sqrt(max(0.0, float(gradient @ np.linalg.inv(hessian) @ gradient))), slope)
