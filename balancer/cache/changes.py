"""What came into the store and what left it, in order, for whoever keeps the entries elsewhere."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from balancer.cache.entry import Entry

UNTAKEN_MAX: Final = 20_000


class Came(NamedTuple):
    """An entry was stored; ``scope``: near questions of it may be answered, too."""

    entry: Entry
    scope: bytes | None


Change: TypeAlias = Came | bytes
"""An entry that came, or the key of one that left."""


class StoreChanges:
    """Bounded: of too many that nobody took nothing is known but that all must be told anew."""

    __slots__ = ("_lost", "_most", "_untaken")

    def __init__(self, most: int = UNTAKEN_MAX) -> None:
        self._most = most
        self._untaken: list[Change] = []
        self._lost = False

    def note(self, change: Change) -> None:
        if len(self._untaken) >= self._most:
            self._untaken.clear()
            self._lost = True
        if not self._lost:
            self._untaken.append(change)

    def take(self) -> list[Change] | None:
        """Those since the last time; ``None``: there were too many."""
        lost, self._lost = self._lost, False
        found, self._untaken = self._untaken, []
        return None if lost else found
