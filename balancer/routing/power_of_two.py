"""Power of two choices: of two drawn by weight, the one with fewer leases for its weight.

Nearly as even as asking who has the least of all, and without its herd: balancers side by side, each with an old
picture of the others' requests, do not all choose the same backend.

Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing (2001).
"""

from __future__ import annotations

from collections.abc import Sequence

from balancer.pool.ledger import Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.draw import draw_two
from balancer.routing.need import RouteNeed
from balancer.routing.policy import Candidates, Parts


class PowerOfTwo:
    """Two draws among equals without load are one draw: then the shares are the weights."""

    name = "power-of-two"

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        first, second = draw_two(candidates, ledger, rng)
        in_flight, weights = ledger.in_flight, ledger.weight
        return first if in_flight[first] * weights[second] <= in_flight[second] * weights[first] else second

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        """Of all who might be drawn; the one of the two with less."""
        in_flight, weights = ledger.in_flight, ledger.weight
        return [
            {
                "in_flight": float(in_flight[index]),
                "weight": weights[index],
                "leases_by_weight": in_flight[index] / weights[index],
            }
            for index in candidates
        ]
