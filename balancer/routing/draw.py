"""Draws among candidates, each as likely as its weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import cast

from balancer.pool.ledger import Ledger
from balancer.rng import Rng
from balancer.routing.policy import Candidates


def ends_of(candidates: Candidates, ledger: Ledger) -> Sequence[float]:
    """Where the part of each candidate ends when all are laid end to end, each as long as its weight."""
    if isinstance(candidates, list):
        return list(accumulate(map(ledger.weight.__getitem__, candidates)))
    return cast(Sequence[float], ledger.weight_np[candidates].cumsum())


def draw(ends: Sequence[float], rng: Rng) -> int:
    """The position of one candidate."""
    return _at(ends, rng.random() * ends[-1])


def draw_another(ends: Sequence[float], first: int, rng: Rng) -> int:
    """The position of one that is not `first`, of at least two."""
    begin, end = (ends[first - 1] if first else 0.0), ends[first]
    point = rng.random() * (ends[-1] - (end - begin))
    return _at(ends, point if point < begin else point + (end - begin))


def draw_two(candidates: Candidates, ledger: Ledger, rng: Rng) -> tuple[int, int]:
    """Two of them, or the only one twice."""
    if len(candidates) == 1:
        only = int(candidates[0])
        return only, only
    ends = ends_of(candidates, ledger)
    at = draw(ends, rng)
    return int(candidates[at]), int(candidates[draw_another(ends, at, rng)])


def _at(ends: Sequence[float], point: float) -> int:
    return min(bisect_right(ends, point), len(ends) - 1)
