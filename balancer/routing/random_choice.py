"""Random: each as likely as its weight, whatever its load. The yardstick that any other policy must beat."""

from __future__ import annotations

from collections.abc import Sequence

from balancer.pool.ledger import Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.draw import draw, ends_of
from balancer.routing.need import RouteNeed
from balancer.routing.policy import Candidates, Parts


class RandomChoice:
    """Remembers nothing, so any number of balancers side by side do as one would."""

    name = "random"

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        return int(candidates[draw(ends_of(candidates, ledger), rng)])

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        return [{"weight": ledger.weight[index]} for index in candidates]
