"""Eases backends in that come back: cold caches, or the cause of their trouble, may still be there.

The weight alone does it: a policy that goes by weights sends such a backend a growing part of its share, and nothing
is refused where others have no slot. Source: the slow start of HAProxy.
"""

from __future__ import annotations

from typing import NamedTuple

from balancer.pool.ledger import Ledger


class _Ramp(NamedTuple):
    generation: int
    began_at: float


class Ramps:
    """From `first` (a part of 1) to all of a backend's weight, linearly over `seconds`."""

    def __init__(self, ledger: Ledger, first: float, seconds: float) -> None:
        self._ledger = ledger
        self._first = first
        self._seconds = seconds
        self._ramps: dict[int, _Ramp] = {}  # by index

    def begin(self, index: int, now: float) -> None:
        self._ramps[index] = _Ramp(self._ledger.generation[index], now)
        self._ledger.set_share(index, self._first)

    def end(self, index: int) -> None:
        """It has its whole weight again, at once."""
        ramp = self._ramps.pop(index, None)
        if ramp is not None and ramp.generation == self._ledger.generation[index]:
            self._ledger.set_share(index, 1.0)

    def until(self, index: int) -> float | None:
        """When it will have its whole weight (monotonic s); None: it has."""
        ramp = self._ramps.get(index)
        if ramp is None or ramp.generation != self._ledger.generation[index]:
            return None
        return ramp.began_at + self._seconds

    def advance(self, now: float) -> None:
        for index, ramp in list(self._ramps.items()):
            done = (now - ramp.began_at) / self._seconds
            if done >= 1 or ramp.generation != self._ledger.generation[index]:
                self.end(index)
            else:
                self._ledger.set_share(index, self._first + (1 - self._first) * done)

    def extend(self, stall_s: float, now: float) -> None:
        """Time passed in which nobody could be asked anything."""
        self._ramps = {i: _Ramp(r.generation, min(r.began_at + stall_s, now)) for i, r in self._ramps.items()}
