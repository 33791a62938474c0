"""Keeps the leases of backends whose control connection closed, for the case that the same process comes back.

A lost connection doesn't stop an engine: what it was generating it still is. If its slots were counted from
zero when it registers again, it would be given more than it has slots for.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancer.pool.backend import BackendSpec
from balancer.pool.ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Parked:
    index: int
    spec: BackendSpec
    until: float


class Parking:
    """Indexes that belong to nobody in the pool, each for at most `keep_s`. All that are here were opened."""

    def __init__(self, ledger: Ledger, keep_s: float) -> None:
        self._ledger = ledger
        self._keep_s = keep_s
        self._parked: dict[str, _Parked] = {}  # by name, in the order of coming

    def park(self, index: int, now: float) -> None:
        """A backend left; its index is closed at once when nothing can be counted on it."""
        spec = self._ledger.specs[index]
        if spec is None or spec.instance == "" or self._ledger.in_flight[index] == 0:
            self._ledger.close(index)
            return
        self._parked[spec.name] = _Parked(index, spec, now + self._keep_s)

    def take_back(self, spec: BackendSpec) -> int | None:
        """The index this same process left with, its leases still counted; another process's are forgotten."""
        parked = self._parked.pop(spec.name, None)
        if parked is None:
            return None
        if parked.spec.instance == spec.instance and parked.spec.address == spec.address:
            self._ledger.resume(parked.index, spec)
            return parked.index
        self._ledger.close(parked.index)
        return None

    def evict(self) -> bool:
        """Close the index that is here longest, to make room; False when there is none."""
        if not self._parked:
            return False
        self._ledger.close(self._parked.pop(next(iter(self._parked))).index)
        return True

    def advance(self, now: float) -> None:
        """Close what was kept long enough."""
        while self._parked and next(iter(self._parked.values())).until <= now:
            self.evict()
