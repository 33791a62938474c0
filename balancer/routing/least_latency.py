"""Least latency: of two drawn by weight, the one with the smaller product of recent time to first token and leases.

The time is a peak EWMA: a longer one than expected counts at once, shorter ones bring it down over `DECAY_S`, and so
does silence, so that who was slow is tried again. A failure counts as `FAILED_S`, or who fails at once would look quick
and get everything. Answers in one piece show no first token and teach nothing. It follows anything that makes a backend
slow, also what no beat tells. It doesn't know how long a prompt is, so where lengths differ much `least-tokens` does
better.

Source: the Peak EWMA balancer of Finagle (Twitter), also Linkerd's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.draw import draw_two
from balancer.routing.need import RouteNeed
from balancer.routing.policy import Candidates, Parts

DECAY_S = 10.0
FAILED_S = 10.0
"""Or as long as it took, if that is longer."""
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
        first, second = draw_two(candidates, ledger, rng)
        return first if self._cost(first, ledger, now) <= self._cost(second, ledger, now) else second

    def leased(self, lease: Lease, ledger: Ledger, need: RouteNeed, now: float) -> None:
        self._asked_at[lease] = now

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        asked_at = self._asked_at.pop(lease, None)
        if asked_at is not None and lease.current:
            self._took(lease, now - asked_at, now)

    def failed(self, lease: Lease, ledger: Ledger, now: float) -> None:
        asked_at = self._asked_at.pop(lease, now)
        if lease.current:
            self._took(lease, max(FAILED_S, now - asked_at), now)

    def ended(self, lease: Lease, ledger: Ledger, now: float) -> None:
        self._asked_at.pop(lease, None)

    def beat(self, index: int, ledger: Ledger, now: float) -> None:
        """Only its answers count."""

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        """Of all who might be drawn; the one of the two with less."""
        return [
            {
                "expected_ttft_s": self._seconds(index, ledger, now),
                "in_flight": float(ledger.in_flight[index]),
                "weight": ledger.weight[index],
                "by_leases_s": self._cost(index, ledger, now),
            }
            for index in candidates
        ]

    def _took(self, lease: Lease, taken_s: float, now: float) -> None:
        generation, expected_s, as_of = self._expected.get(lease.index, (lease.generation, taken_s, now))
        if generation == lease.generation and taken_s < expected_s:
            kept = math.exp((as_of - now) / DECAY_S)
            taken_s = kept * expected_s + (1.0 - kept) * taken_s
        self._expected[lease.index] = (lease.generation, taken_s, now)

    def _cost(self, index: int, ledger: Ledger, now: float) -> float:
        return (self._seconds(index, ledger, now) + LEAST_S) * (ledger.in_flight[index] / ledger.weight[index] + 1)

    def _seconds(self, index: int, ledger: Ledger, now: float) -> float:
        """Least of those who have not answered yet: newcomers are tried first."""
        generation, expected_s, as_of = self._expected.get(index, (0, 0.0, now))
        if generation != ledger.generation[index]:
            return 0.0
        return expected_s * math.exp((as_of - now) / DECAY_S)
