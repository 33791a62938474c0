"""Least latency: of two drawn by weight, the one with the smaller product of recent time to first token and leases.

The time is a peak EWMA: a longer one than expected counts at once, shorter ones bring it down over `DECAY_S`, and so
does silence, so that who was slow is tried again. It follows anything that makes a backend slow, also what no beat
tells. It doesn't know how long a prompt is, so where lengths differ much `least-tokens` does better.

Source: the Peak EWMA balancer of Finagle (Twitter), also Linkerd's.
"""

from __future__ import annotations

import math

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.routing.draw import draw, draw_another, ends_of
from balancer.routing.policy import Candidates, Rng, RouteNeed

DECAY_S = 10.0
LEAST_S = 1e-3
"""Nobody is faster: or the leases of one that has not answered yet would not count."""


class LeastLatency:
    """An `AttentivePolicy`."""

    name = "least-latency"
    wants_blocks = False

    def __init__(self) -> None:
        self._asked_at: dict[Lease, float] = {}
        self._expected: dict[int, tuple[int, float, float]] = {}
        """By index: generation, seconds, as of when."""

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        if len(candidates) == 1:
            return int(candidates[0])
        ends = ends_of(candidates, ledger)
        at = draw(ends, rng)
        first, second = int(candidates[at]), int(candidates[draw_another(ends, at, rng)])
        return first if self._cost(first, ledger, now) <= self._cost(second, ledger, now) else second

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        self._asked_at[lease] = now

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        asked_at = self._asked_at.pop(lease, None)
        if asked_at is None or not lease.current:
            return
        taken_s = now - asked_at
        generation, expected_s, as_of = self._expected.get(lease.index, (lease.generation, taken_s, now))
        if generation == lease.generation and taken_s < expected_s:
            kept = math.exp((as_of - now) / DECAY_S)
            taken_s = kept * expected_s + (1.0 - kept) * taken_s
        self._expected[lease.index] = (lease.generation, taken_s, now)

    def ended(self, lease: Lease, ledger: Ledger, now: float) -> None:
        self._asked_at.pop(lease, None)

    def beat(self, index: int, ledger: Ledger, now: float) -> None:
        """Only its answers count."""

    def _cost(self, index: int, ledger: Ledger, now: float) -> float:
        """Least of those who have not answered yet: newcomers are tried first."""
        generation, expected_s, as_of = self._expected.get(index, (0, 0.0, now))
        if generation != ledger.generation[index]:
            expected_s = 0.0
        seconds = expected_s * math.exp((as_of - now) / DECAY_S)
        return (seconds + LEAST_S) * (ledger.in_flight[index] / ledger.weight[index] + 1)
