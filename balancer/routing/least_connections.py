"""Weighted least connections: to whom would have the fewest leases for its weight; ties in turn.

Counts what a backend would have with this request, as HAProxy does, so that an idle backend of greater weight
comes before an idle one of smaller weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from balancer.pool.ledger import Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.need import RouteNeed
from balancer.routing.policy import Candidates, Parts


class LeastConnections:
    """Remembers only whom it chose last: among equals the next one in the pool's order is chosen."""

    name = "least-connections"

    def __init__(self) -> None:
        self._last = -1

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        if isinstance(candidates, list):
            self._last = self._choose_of_few(candidates, ledger)
            return self._last
        cost = (ledger.in_flight_np[candidates] + 1) / ledger.weight_np[candidates]
        equals = candidates[cost == cost.min()]
        position = int(np.searchsorted(equals, self._last, side="right"))
        self._last = int(equals[position % len(equals)])
        return self._last

    def _choose_of_few(self, candidates: list[int], ledger: Ledger) -> int:
        in_flight = ledger.in_flight
        weights = ledger.weight
        last = self._last
        chosen = candidates[0]
        least = float("inf")
        for index in candidates:
            cost = (in_flight[index] + 1) / weights[index]
            if cost < least:
                least = cost
                chosen = index
            elif cost == least and chosen <= last < index:
                chosen = index
        return chosen

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        in_flight, weights = ledger.in_flight, ledger.weight
        return [
            {
                "in_flight": float(in_flight[index]),
                "weight": weights[index],
                "cost": (in_flight[index] + 1) / weights[index],
            }
            for index in candidates
        ]
