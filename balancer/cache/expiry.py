"""When to look for expired entries, and at which: a walk through all keys, a few at a time, begun when one may be due.

Nothing is noted for an entry but the earliest time that any of them has. A walk finds that anew as it goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable


class ExpiryWalk:
    """The earliest time that an entry may expire at, and the keys that the present walk has yet to visit."""

    __slots__ = ("_due", "_keys")

    def __init__(self) -> None:
        self._due = math.inf
        self._keys: list[bytes] = []

    @property
    def due(self) -> float:
        """No entry that was noted, or visited in the present walk, expires before."""
        return self._due

    def note(self, expires_at: float) -> None:
        """There is an entry that expires then: of every new one, and of every one that a walk has visited and left."""
        if expires_at < self._due:
            self._due = expires_at

    def next(self, now: float, limit: int, keys: Callable[[], list[bytes]]) -> list[bytes]:
        """Up to ``limit`` keys to be visited now: those of the walk under way, or of a new one if any entry is due."""
        if not self._keys:
            if now < self._due:
                return []
            self._keys = keys()
            self._due = math.inf
        visited = self._keys[-limit:]
        del self._keys[-limit:]
        return visited
