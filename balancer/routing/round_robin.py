"""Smooth weighted round robin: in turn, each as often as its weight, and never in bursts.

Source: the algorithm of nginx's upstream module (Sysoev, 2012): every candidate earns its weight, the richest is
chosen and pays what all earned together. With equal weights it is plain round robin.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from balancer.pool.ledger import Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.need import RouteNeed
from balancer.routing.policy import Candidates, Parts


class RoundRobin:
    """What a backend has earned stays with it while it isn't eligible, and ends when it is replaced."""

    name = "round-robin"

    def __init__(self) -> None:
        self._earned: array[float] = array("d")
        self._earned_np = np.frombuffer(self._earned, dtype=np.float64)
        self._generation: array[int] = array("q")
        self._version = -1

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        if view.version != self._version:
            self._follow(view, ledger)
        if isinstance(candidates, list):
            return self._choose_of_few(candidates, ledger)
        self._earned_np[candidates] += ledger.weight_np[candidates]
        chosen = int(candidates[self._earned_np[candidates].argmax()])
        self._earned[chosen] -= float(ledger.weight_np[candidates].sum())
        return chosen

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        """`cost` is what it has earned by this request, negative."""
        if view.version != self._version:
            self._follow(view, ledger)
        weights = ledger.weight
        return [{"weight": weights[index], "cost": -(self._earned[index] + weights[index])} for index in candidates]

    def _choose_of_few(self, candidates: list[int], ledger: Ledger) -> int:
        earned = self._earned
        weights = ledger.weight
        total = 0.0
        chosen = candidates[0]
        most = float("-inf")
        for index in candidates:
            weight = weights[index]
            total += weight
            earned[index] = mine = earned[index] + weight
            if mine > most:
                most = mine
                chosen = index
        earned[chosen] -= total
        return chosen

    def _follow(self, view: PoolView, ledger: Ledger) -> None:
        """Newcomers start in the middle: at nothing, and so does the mean of all others.

        Without that, what those who left had not paid would stay with the others, and each newcomer would wait
        longer than the one before.
        """
        if not self._earned:
            self._earned = array("d", bytes(8 * len(ledger.generation)))
            self._earned_np = np.frombuffer(self._earned, dtype=np.float64)
            self._generation = array("q", bytes(8 * len(ledger.generation)))
        stayed = [b.index for b in view.backends if self._generation[b.index] == b.generation]
        mean = sum(self._earned[index] for index in stayed) / max(1, len(stayed))
        for index in stayed:
            self._earned[index] -= mean
        for backend in view.backends:
            if self._generation[backend.index] != backend.generation:
                self._generation[backend.index] = backend.generation
                self._earned[backend.index] = 0.0
        self._version = view.version
