"""Priority: the backends of the smallest number first, the next ones only when those are full or away.

An operator gives the number as the label `priority` (`label.priority=1`; without one, or with one that is no number,
it is 0): own machines at 0, a provider that costs money at 1. Within a number it is weighted least connections.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from balancer.pool.backend import BackendSpec
from balancer.pool.ledger import Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.least_connections import LeastConnections
from balancer.routing.need import RouteNeed
from balancer.routing.policy import FEW, Candidates, Parts

LABEL = "priority"
LARGEST = 1_000_000
"""Larger numbers, of either sign, count as this one."""


def priority_of(spec: BackendSpec) -> int:
    """The number of the label; 0 where there is none that can be read."""
    for key, value in spec.labels:
        if key == LABEL:
            try:
                return max(-LARGEST, min(LARGEST, int(value)))
            except ValueError:
                return 0
    return 0


class Priority:
    """Reads the labels once for each change of the pool."""

    name = "priority"

    def __init__(self) -> None:
        self._within = LeastConnections()
        self._version = -1
        self._numbers: list[int] = []
        self._numbers_np = np.zeros(0, dtype=np.int64)
        self._differ = False

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        if view.version != self._version:
            self._read(view, ledger)
        if self._differ:
            candidates = self._first_of(candidates)
        return self._within.choose(candidates, view, ledger, need, now, rng)

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        """`cost` is only compared within the smallest number."""
        if view.version != self._version:
            self._read(view, ledger)
        within = self._within.explain(candidates, view, ledger, need, now)
        return [
            {"priority": float(self._numbers[index]), **parts} for index, parts in zip(candidates, within, strict=True)
        ]

    def _first_of(self, candidates: Candidates) -> Candidates:
        if isinstance(candidates, list):
            numbers = self._numbers
            least = min([numbers[index] for index in candidates])
            return [index for index in candidates if numbers[index] == least]
        found = self._numbers_np[candidates]
        first = candidates[found == found.min()]
        return first if len(first) > FEW else [int(index) for index in first]

    def _read(self, view: PoolView, ledger: Ledger) -> None:
        self._numbers = [0] * len(ledger.generation)
        for backend in view.backends:
            self._numbers[backend.index] = priority_of(backend.spec)
        self._numbers_np = np.array(self._numbers, dtype=np.int64)
        self._differ = len({self._numbers[backend.index] for backend in view.backends}) > 1
        self._version = view.version
