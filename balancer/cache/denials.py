"""Which entries may not answer which requests again, because somebody said that they had answered them wrongly.

Who says so names the entry alone, so it is remembered whom each entry was near enough to answer. Both memories are
bounded: what is forgotten is judged by the verdict again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cachetools import LRUCache

PAIRS_MAX: Final = 10_000
ENTRIES_MAX: Final = 10_000
"""Whose last near answers are remembered."""
ASKED_MAX: Final = 8
"""Requests remembered of one entry."""


class Denials:
    """Pairs of exact keys: of a request and of an entry. 9 MB at most."""

    def __init__(self, pairs_max: int = PAIRS_MAX, entries_max: int = ENTRIES_MAX) -> None:
        self._denied: LRUCache[bytes, None] = LRUCache(pairs_max)
        self.count = 0
        """Pairs that were ever denied: another number tells that there is something new."""
        self._answered: LRUCache[bytes, tuple[bytes, ...]] = LRUCache(entries_max)

    def __len__(self) -> int:
        return len(self._denied)

    def served(self, asked: bytes, entry: bytes) -> None:
        """The entry answers this request, which is near to its own."""
        before = self._answered.get(entry, ())
        if asked not in before:
            self._answered[entry] = (*before, asked)[-ASKED_MAX:]

    def deny(self, entry: bytes) -> int:
        """The entry's answer was wrong for whom it answered; returns how many those were."""
        asked: tuple[bytes, ...] = self._answered.pop(entry, ())
        for each in asked:
            self._denied[each + entry] = None
        self.count += len(asked)
        return len(asked)

    def denies(self, asked: bytes, entry: bytes) -> bool:
        """Whether the entry may not answer this request."""
        return asked + entry in self._denied

    def pairs(self) -> list[bytes]:
        """Each pair as one string of bytes, the oldest first."""
        return list(self._denied)

    def restore(self, pairs: Iterable[bytes]) -> None:
        """Take in what `pairs` gave earlier."""
        for pair in pairs:
            self._denied[pair] = None
