"""Which entries have expired, without looking at the others: a heap by time.

Entries also leave in other ways, and nothing is searched in the heap for them: what it says is checked against the
entry, and it is built anew when more than half of it is stale.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import Final

_SLACK: Final = 64


class ExpiryHeap:
    """(time, key) pairs, the earliest first. The same key may be in it more than once."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, expires_at: float, key: bytes) -> None:
        """Note when ``key`` expires; one that never does is not noted."""
        if expires_at < math.inf:
            heapq.heappush(self._heap, (expires_at, key))

    def is_due(self, now: float) -> bool:
        """Whether `due` would give anything."""
        return bool(self._heap) and self._heap[0][0] <= now

    def due(self, now: float, limit: int) -> Iterator[tuple[float, bytes]]:
        """Take out up to ``limit`` pairs whose time has come."""
        while limit > 0 and self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)
            limit -= 1

    def overgrown(self, living: int) -> bool:
        """Whether it is more than twice as long as there are ``living`` entries, so time to ``rebuild``."""
        return len(self._heap) > 2 * living + _SLACK

    def rebuild(self, pairs: Iterable[tuple[float, bytes]]) -> None:
        """Start anew from the pairs of all living entries."""
        self._heap = [pair for pair in pairs if pair[0] < math.inf]
        heapq.heapify(self._heap)
