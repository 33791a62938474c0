"""Entries by key, the least recently used first, bounded in number and in bytes; one way out for all that leave.

The last in line leaves, unless it has *credit*: what took longer to make than most answers comes with some, and each
hit earns some, in proportion to the seconds it saved; it is spent in being passed over. That is a second chance (clock)
weighted by cost, after the idea of GreedyDual (Young 1994), without its priority queue.

An ordered dictionary and the entries in it are all there is: on a live daemon what a stored answer costs is the memory
that it touches. cachetools' ``LRUCache`` keeps each entry in three dictionaries and passes ten calls to replace one:
the same bounds at two to three times the time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from balancer.cache.changes import Came, StoreChanges
from balancer.cache.counters import Counters
from balancer.cache.entry import Entry
from balancer.cache.reading import Reading

CREDIT_AT_FIRST: Final = 0.5
"""For an answer that took as long to make as the mean; less than 1 is none."""
CREDIT_A_HIT: Final = 2.0
"""As much again for each hit, in the same measure."""
CREDIT_MAX: Final = 8.0
PASSED_OVER_MAX: Final = 8
"""At one eviction."""
_MEAN_STEP: Final = 0.001


class NearPart(NamedTuple):
    """What an entry that may answer near questions has beside itself."""

    scope: bytes
    """The scope whose matrix holds its vector."""
    size_bytes: int
    """Of the vector and the reading."""
    reading: Reading | None
    """What the learned verdict compares; ``None``: only the simple one may judge it."""


class EntryLRU:
    """Entries by exact key; ``on_leave`` hears of every near part whose entry leaves, whatever the reason."""

    __slots__ = (
        "_counters", "_credits", "_entries", "_max_bytes", "_max_entries", "_mean_s", "_on_leave", "changes", "near",
        "size_bytes",
    )  # fmt: skip

    def __init__(
        self, max_entries: int, max_bytes: int, counters: Counters, on_leave: Callable[[bytes, NearPart], None]
    ) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._counters = counters
        self._on_leave = on_leave
        self._credits: dict[bytes, float] = {}
        """Of those that have any."""
        self._mean_s = 0.0
        """That the answers of late took to make."""
        self.near: dict[bytes, NearPart] = {}
        """To be read; `extend` and `shrink` change it."""
        self.changes: StoreChanges | None = None
        """Hears of every entry that comes or leaves, if anybody wants to know."""
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def in_order(self) -> list[bytes]:
        """All keys, the least recently used first."""
        return list(self._entries)

    def entries(self) -> Iterable[Entry]:
        """All entries, the least recently used first; nothing may change meanwhile."""
        return self._entries.values()

    def get(self, key: bytes) -> Entry | None:
        """The entry, without making it the most recently used one."""
        return self._entries.get(key)

    def used(self, entry: Entry) -> None:
        """An entry of these answered: it is the most recently used one, and earns credit."""
        self._entries.move_to_end(entry.key)
        if entry.made_s > 0:
            earned = self._credits.get(entry.key, 0.0) + CREDIT_A_HIT * entry.made_s / self._mean_s
            self._credits[entry.key] = min(earned, CREDIT_MAX)

    def add(self, entry: Entry, scope: bytes | None = None) -> None:
        """Put an entry in, in place of an earlier one; the least recently used leave for it.

        It must not be larger than all room. ``scope``: the one that it may get a near part in.
        """
        key, entries = entry.key, self._entries
        if key in entries:
            self.remove(key)
        entries[key] = entry
        self.size_bytes += entry.size_bytes
        if self.changes is not None:
            self.changes.note(Came(entry, scope))
        if entry.made_s > 0:
            self._count_cost(entry)
        if len(entries) > self._max_entries or self.size_bytes > self._max_bytes:
            self._make_room(key)

    def _count_cost(self, entry: Entry) -> None:
        self._mean_s += _MEAN_STEP * (entry.made_s - self._mean_s) if self._mean_s else entry.made_s
        credit = CREDIT_AT_FIRST * entry.made_s / self._mean_s
        if credit >= 1:
            self._credits[entry.key] = min(credit, CREDIT_MAX)

    def extend(self, key: bytes, part: NearPart) -> None:
        """Give an entry its near part and make it the most recently used one; others leave for it."""
        self._entries.move_to_end(key)
        self.near[key] = part
        self.size_bytes += part.size_bytes
        self._make_room(key)

    def put_last(self, key: bytes) -> None:
        """Make an entry the least recently used one."""
        self._entries.move_to_end(key, last=False)

    def shrink(self, key: bytes) -> None:
        """Take an entry's near part, without a word to ``on_leave`` or to the order."""
        part = self.near.pop(key, None)
        if part is not None:
            self.size_bytes -= part.size_bytes

    def remove(self, key: bytes) -> bool:
        """Take an entry out; false if it was not in."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._gone(key, entry)
        return True

    def _make_room(self, newest: bytes) -> None:
        """For the newest, which stays."""
        entries, credits, passed_over = self._entries, self._credits, 0
        while len(entries) > self._max_entries or self.size_bytes > self._max_bytes:
            key, entry = entries.popitem(last=False)
            if key == newest:
                entries[key] = entry
                continue
            if credits and passed_over < PASSED_OVER_MAX and (credit := credits.get(key, 0.0)) >= 1:
                entries[key] = entry
                credits[key] = credit - 1
                passed_over += 1
                continue
            self._counters.evictions += 1
            self._gone(key, entry)

    def _gone(self, key: bytes, entry: Entry) -> None:
        """The one way out."""
        self.size_bytes -= entry.size_bytes
        if self._credits:
            self._credits.pop(key, None)
        if self.changes is not None:
            self.changes.note(key)
        if self.near and (part := self.near.pop(key, None)) is not None:
            self.size_bytes -= part.size_bytes
            self._on_leave(key, part)
