"""An LRU of entries, bounded in number and in bytes, that tells when one leaves.

cachetools' ``LRUCache`` counts the bytes and keeps the order. Its evictions go through ``__delitem__`` (checked on
8.0), so that is the one place where a leaving entry is told of; its ``clear`` does not, so it is taken apart here.
Entries carry their own expiry: ``TTLCache`` costs 3 to 8 us more a request and drops expired ones untold.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple

from cachetools import LRUCache

from balancer.cache.counters import Counters
from balancer.cache.entry import Entry
from balancer.cache.reading import Reading


class Record(NamedTuple):
    """An entry as the store holds it."""

    entry: Entry
    scope: bytes | None
    """The scope whose matrix holds its vector; ``None``: it has none."""
    size_bytes: int
    """With its vector and its reading."""
    reading: Reading | None = None
    """What the learned verdict compares; ``None``: it has none, or no vector either."""


class EntryLRU(LRUCache[bytes, Record]):
    """Records by exact key; ``on_leave`` hears of every one that leaves, whatever the reason."""

    def __init__(
        self, max_entries: int, max_bytes: int, counters: Counters, on_leave: Callable[[bytes, Record], None]
    ) -> None:
        super().__init__(max_bytes, getsizeof=attrgetter("size_bytes"))
        self._max_entries = max_entries
        self._counters = counters
        self._on_leave = on_leave
        self._records: dict[bytes, Record] = {}
        """The same once more, to be looked at without a word to the order: the way through the base is five calls."""

    def __contains__(self, key: object) -> bool:
        return key in self._records

    def __len__(self) -> int:
        return len(self._records)

    def peek(self, key: bytes) -> Record | None:
        """The record, without making it the most recently used one."""
        return self._records.get(key)

    def touch(self, key: bytes) -> None:
        """Make a record the most recently used one: the last to leave."""
        self[key]

    def amend(self, key: bytes, record: Record) -> None:
        """Replace a record by one no larger, without making it the most recently used one."""
        super(LRUCache, self).__setitem__(key, record)
        self._records[key] = record

    def __setitem__(self, key: bytes, record: Record) -> None:
        """Add or replace; the least recently used leave for it. :class:`ValueError` if it is larger than all room."""
        if key in self._records:
            self.touch(key)  # so that it stays while others make room for it
        elif len(self._records) >= self._max_entries:
            self.popitem()
        super().__setitem__(key, record)
        self._records[key] = record

    def __delitem__(self, key: bytes) -> None:
        super().__delitem__(key)
        self._on_leave(key, self._records.pop(key))

    def popitem(self) -> tuple[bytes, Record]:
        """Evict the least recently used record."""
        self._counters.evictions += 1
        return super().popitem()

    def clear(self) -> None:
        for key in list(self):
            del self[key]
