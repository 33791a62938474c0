"""Session: requests of one conversation or user to the same backend, as long as it has not much more than its share.

Rendezvous hashing: every backend draws a number from the key and its own name, and the highest draw has it. When one
leaves, only its own sessions move, each to its second highest; several balancers agree without speaking. Draws are
raised by weight as in weighted rendezvous hashing. Bounded load: who has more than `BOUND` times its share of the
leases is passed over, so one busy user cannot drown a backend. Without a key it is weighted least connections.

Sources: Thaler and Ravishankar (1998); Schindelhauer and Schomaker (2005) for weights; Mirrokni, Thorup and
Zadimoghaddam (2018) for the bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Ledger
from balancer.pool.view import PoolView
from balancer.rng import Rng
from balancer.routing.least_connections import LeastConnections
from balancer.routing.need import RouteNeed
from balancer.routing.policy import Candidates, Parts

BOUND = 1.25

_MASK = 2**64 - 1
_LOG_ALL = 64 * log(2)
_MIX = 0xFF51AFD7ED558CCD
"""An odd number, so that nothing is lost; of the finalizer of MurmurHash3 (Appleby)."""


class Session:
    """Remembers only each backend's own number."""

    name = "session"

    def __init__(self) -> None:
        self._without_key = LeastConnections()
        self._version = -1
        self._salts: list[int] = []
        self._salts_np: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._alike = True
        """All have the same weight, so that draws need not be raised by it."""
        self._weights: list[float] = []
        self._weights_np: npt.NDArray[np.float64] = np.zeros(0)

    def choose(
        self, candidates: Candidates, view: PoolView, ledger: Ledger, need: RouteNeed, now: float, rng: Rng
    ) -> int:
        if not need.session:
            return self._without_key.choose(candidates, view, ledger, need, now, rng)
        if view.version != self._version:
            self._read(view, ledger)
        key = number_of(need.session)
        if isinstance(candidates, list):
            return self._choose_of_few(candidates, ledger, key)
        mixed = (self._salts_np[candidates] ^ np.uint64(key)) * np.uint64(_MIX)
        draws = (np.log(mixed.astype(np.float64) + 1) - _LOG_ALL) / self._weights_np[candidates]
        leases, weights = ledger.in_flight_np[candidates], ledger.weight_np[candidates]
        share = BOUND * (int(leases.sum()) + 1) / float(weights.sum())
        draws[leases >= share * weights] = -np.inf
        return int(candidates[int(draws.argmax())])

    def explain(
        self, candidates: Sequence[int], view: PoolView, ledger: Ledger, need: RouteNeed, now: float
    ) -> list[Parts]:
        """`cost` falls with the number drawn; who has as many leases as `leases_at_most` is passed over."""
        if not need.session:
            return self._without_key.explain(candidates, view, ledger, need, now)
        if view.version != self._version:
            self._read(view, ledger)
        key = number_of(need.session)
        in_flight, weights = ledger.in_flight, ledger.weight
        leases = sum(in_flight[index] for index in candidates)
        share = BOUND * (leases + 1) / sum(weights[index] for index in candidates)
        parts: list[Parts] = []
        for index in candidates:
            drawn = log(((self._salts[index] ^ key) * _MIX & _MASK) + 1)
            passed_over = in_flight[index] >= share * weights[index]
            parts.append(
                {
                    "in_flight": float(in_flight[index]),
                    "leases_at_most": share * weights[index],
                    "weight": self._weights[index],
                    "cost": math.inf if passed_over else (_LOG_ALL - drawn) / self._weights[index],
                }
            )
        return parts

    def _choose_of_few(self, candidates: list[int], ledger: Ledger, key: int) -> int:
        in_flight, weights, salts, own = ledger.in_flight, ledger.weight, self._salts, self._weights
        leases = sum([in_flight[index] for index in candidates])
        share = BOUND * (leases + 1) / sum([weights[index] for index in candidates])
        chosen, highest = candidates[0], -math.inf
        for index in candidates:
            # As many as the share rounded up: below that there is always somebody.
            if in_flight[index] < share * weights[index]:
                drawn: float = (salts[index] ^ key) * _MIX & _MASK
                if not self._alike:
                    drawn = (log(drawn + 1) - _LOG_ALL) / own[index]
                if drawn > highest:
                    chosen, highest = index, drawn
        return chosen

    def _read(self, view: PoolView, ledger: Ledger) -> None:
        """A backend's own weight ranks it; while it is eased in only the bound is lower, so its sessions come back."""
        self._salts = [0] * len(ledger.generation)
        self._weights = [1.0] * len(ledger.generation)
        for backend in view.backends:
            self._salts[backend.index] = number_of(backend.spec.name)
            self._weights[backend.index] = backend.spec.weight
        self._alike = len({backend.spec.weight for backend in view.backends}) <= 1
        self._salts_np = np.array(self._salts, dtype=np.uint64)
        self._weights_np = np.array(self._weights)
        self._version = view.version


@lru_cache(maxsize=4096)
def number_of(text: str) -> int:
    """The same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
