"""Least tokens: where the first token will come soonest.

The expected time is the prefill that waits and runs there, this request's and a constant, over the speed at which the
backend was seen to do it, and a term that grows as its memory or slots fill up (`work.py`). Divided by the weight, so
that one that is eased in gets its part; otherwise weights should stay at 1: that one is faster is found out.

Those that cost nearly the same take turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.alike import alike_to, next_of_least
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed
from balancer.routing.policy import Candidates, Parts
from balancer.routing.work import ByWork, Work


class LeastTokens(ByWork):
    """An `AttentivePolicy`."""

    name = "least-tokens"
    wants_blocks = False

    def __init__(self) -> None:
        super().__init__()
        self._last = -1

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        work = self._work
        if work is None or work.version != view.version:
            work = self._follow(view, ledger)
        self._last = soonest(candidates, work, ledger, need.prompt_bytes // BYTES_A_TOKEN, self._last)
        return self._last

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        assert self._work is not None
        self._work.leased(lease, need.prompt_tokens, now)

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        work = self._follow(view, ledger)
        indexes = list(candidates)
        costs = costs_of(indexes, work, ledger, need.prompt_tokens)
        return [{**work.parts(index, ledger), "cost": cost} for index, cost in zip(indexes, costs, strict=True)]

    def _follow(self, view: PoolView, ledger: Ledger) -> Work:
        work = self._work
        if work is None:
            work = self._work = Work(ledger)
        work.follow(view, ledger)
        return work


def soonest(candidates: Candidates, work: Work, ledger: Ledger, tokens: int, last: int) -> int:
    """The one after `last` of those where the first token of a prompt that no cache has is expected soonest."""
    if not isinstance(candidates, list):
        return next_of_least(candidates, costs_of(candidates, work, ledger, tokens), last)
    # As `next_of_least` of `costs_of`, without a list of costs: it is what most requests pay.
    work.settle(ledger)
    waits, speeds, weights = work.wait_s, work.s_per_token, ledger.weight
    least = math.inf
    for index in candidates:
        cost = (waits[index] + tokens * speeds[index]) / weights[index]
        if cost < least:
            least = cost
    most, first = alike_to(least), -1
    for index in candidates:
        if (waits[index] + tokens * speeds[index]) / weights[index] <= most:
            if index > last:
                return index
            if first < 0:
                first = index
    return first


def costs_of(candidates: Candidates, work: Work, ledger: Ledger, tokens: int) -> list[float] | npt.NDArray[np.float64]:
    """Expected seconds to the first token of a prompt of so many tokens that no cache has, over the weight."""
    work.settle(ledger)
    if isinstance(candidates, list):
        waits, speeds, weights = work.wait_s, work.s_per_token, ledger.weight
        return [(waits[index] + tokens * speeds[index]) / weights[index] for index in candidates]
    costs: npt.NDArray[np.float64] = work.s_per_token_np[candidates]
    costs *= tokens
    costs += work.wait_s_np[candidates]
    costs /= ledger.weight_np[candidates]
    return costs
