"""How much of the requests each backend was given lately, for its speed: so that conversations are dealt out evenly.

A conversation comes back to where it began, so what a backend will have to do was decided when they began, long before
it shows as work. Counts fade over `REMEMBERED_S`. They are kept as sums that grow by more and more, instead of being
faded each time: only their proportions are ever used.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from balancer.routing.policy import Candidates

REMEMBERED_S = 60.0
CALM = 16.0
"""Requests added to every backend's count, so that a few do not decide."""
_EPOCH_S = 20 * REMEMBERED_S
_STEP_S = 0.1
"""In steps of so long counts grow."""


class Spread:
    """By the ledger's indexes."""

    def __init__(self, size: int) -> None:
        self.given: list[float] = [0.0] * size
        self._given = array("d", bytes(8 * size))
        self.given_np: npt.NDArray[np.float64] = np.frombuffer(self._given, dtype=np.float64)
        self.since = 0.0
        """When the unit that `given` is told in began; there is another one now and then."""
        self._known = 0
        self._total = 0.0
        """Of those that are known."""
        self._at = 0.0
        self._unit = 1.0
        """What one request that is given now counts."""

    def advance(self, now: float) -> None:
        """To be called before any other, with each new time."""
        if now - self._at < _STEP_S:
            return
        self._at = now
        elapsed_s = now - self.since
        if elapsed_s > _EPOCH_S:
            faded = math.exp(-elapsed_s / REMEMBERED_S)
            for index, given in enumerate(self.given):
                self._put(index, given * faded)
            self._total *= faded
            self.since, elapsed_s = now, 0.0
        self._unit = math.exp(elapsed_s / REMEMBERED_S)

    def gave(self, index: int, s_per_token: float) -> None:
        """A request goes there; on a slow backend it counts for more."""
        part = s_per_token * self._unit
        self.given[index] = self._given[index] = self.given[index] + part
        self._total += part

    def forget(self, index: int, peers: list[int]) -> None:
        """A new process is there: it was given as much as the others, so that it isn't given everything now."""
        self._put(index, sum(self.given[peer] for peer in peers) / len(peers) if peers else 0.0)

    def know(self, indexes: Collection[int]) -> None:
        """These are there now, and nobody else."""
        self._known, self._total = len(indexes), sum(self.given[index] for index in indexes)

    def per_share(self, candidates: Candidates, s_per_token: float) -> float:
        """What `given` is to be multiplied with, so that 1 is the fair share of these, who are known."""
        count = len(candidates)
        if count == self._known:
            total = self._total
        elif isinstance(candidates, list):
            total = sum(map(self.given.__getitem__, candidates))
        else:
            total = float(self.given_np[candidates].sum())
        return 1.0 / (total / count + CALM * s_per_token * self._unit)

    def _put(self, index: int, given: float) -> None:
        self.given[index] = self._given[index] = given
