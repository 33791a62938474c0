"""Entries in LRU order within bounds, and the vectors of their questions in step with them.

Every way out of the store (eviction, replacement, expiry, purge) is one way out of `EntryLRU`, and that takes
the vector along: the index holds a vector if and only if the store holds the entry.
Vectors lie in one matrix per scope, created with the first and dropped with the last of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from numpy.typing import NDArray

from balancer.cache.changes import StoreChanges
from balancer.cache.counters import Counters
from balancer.cache.denials import Denials
from balancer.cache.entry import Entry
from balancer.cache.expiry import ExpiryWalk
from balancer.cache.hit import Hit as Hit
from balancer.cache.keys import CacheKeys
from balancer.cache.learned import LearnedVerdict
from balancer.cache.limits import CacheLimits as CacheLimits
from balancer.cache.limits import vector_bytes
from balancer.cache.lru import EntryLRU, NearPart
from balancer.cache.purge import Purge
from balancer.cache.reading import Reading
from balancer.cache.vectors import VectorIndex, unit_vector
from balancer.cache.verdict import Verdict, judge

LEAST_SIMILARITY: Final = 0.6
"""Below this cosine the learned verdict is not asked: it takes 0.2 ms, of the questions it serves hardly one in a
thousand lies there, and what it serves of the few words that lie farther apart is too often wrong."""


class CacheStore:
    """The entries of all tenants and models. Not for use from several threads.

    One request asks ``lookup_exact``, then perhaps ``lookup_near``, and ends in a hit (counted here) or in
    ``count_miss`` or ``count_skip``. ``now`` is monotonic seconds everywhere.
    """

    def __init__(self, limits: CacheLimits = CacheLimits(), verdict: LearnedVerdict | None = None) -> None:  # noqa: B008
        """``verdict`` judges where both questions were read; without it, or without their readings, the simple one."""
        self.limits = limits
        self.verdict = verdict
        self.counters = Counters()
        self._entries = EntryLRU(limits.max_entries, limits.max_bytes, self.counters, self._left)
        self._scopes: dict[bytes, VectorIndex] = {}
        self.denials = Denials()
        self._walk = ExpiryWalk()
        self._entry_bytes_max = min(limits.max_entry_bytes, limits.max_bytes)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: bytes) -> Entry | None:
        """The entry with this key, perhaps an expired one; nothing is counted."""
        return self._entries.get(key)

    @property
    def size_bytes(self) -> int:
        return self._entries.size_bytes

    # --- lookup

    def lookup_exact(self, keys: CacheKeys, now: float) -> Hit | None:
        """The entry of an equal request, if there is one that still holds and fits the token limit."""
        key = keys.exact
        if key is None:
            return None
        entry = self._entries.get(key)
        if entry is None or self._dropped_if_expired(entry, now):
            return None
        if not entry.fits(keys.max_tokens):
            return None
        self._entries.used(entry)
        self.counters.hits_exact += 1
        self._count_saved(entry)
        return Hit("exact", entry, None)

    def has_neighbours(self, keys: CacheKeys) -> bool:
        """Whether the request's scope holds any vector at all; if not, its embedding is not worth waiting for."""
        return keys.scope in self._scopes

    def lookup_near(
        self,
        keys: CacheKeys,
        vector: NDArray[Any],
        now: float,
        reading: Reading | None = None,
        admit: Callable[[Hit], str | None] | None = None,
    ) -> Hit | None:
        """The nearest entry of the scope that the verdict allows; ``vector`` embeds ``keys.text``.

        ``reading`` is of the same text, where the learned verdict is to judge: then entries without one are refused.
        ``admit`` may refuse what the verdict allows, and says why.
        """
        asked, index = keys.exact, self._scopes.get(keys.scope) if keys.scope is not None else None
        if asked is None or index is None:
            return None
        unit = self._checked(vector, index.dimension)
        if unit is None:
            return None
        for key, similarity in index.nearest(unit, self.limits.candidates):
            entry = self._entries.get(key)
            if entry is None:
                continue
            if self._dropped_if_expired(entry, now):
                found = Verdict(False, "expired")
            elif self.denials.denies(asked, key):
                found = Verdict(False, "denied")
            else:
                found = self._judged(keys, reading, entry, similarity)
            if found.serve:
                hit = Hit("semantic", entry, similarity, found.probability)
                refused = admit(hit) if admit is not None else None
                if refused is None:
                    self._entries.used(entry)
                    self.counters.hits_semantic += 1
                    self._count_saved(entry)
                    self.denials.served(asked, key)
                    return hit
                found = Verdict(False, refused)
            self.counters.near_refusals[found.reason] += 1
            if found.reason == "similarity":
                break  # the others are farther still
        return None

    def _judged(self, keys: CacheKeys, reading: Reading | None, entry: Entry, similarity: float) -> Verdict:
        if self.verdict is None or reading is None:
            found = judge(keys.text, entry.question, similarity, self.limits.threshold)
        elif not similarity >= LEAST_SIMILARITY:
            return Verdict(False, "similarity")
        elif (stored := self._entries.near[entry.key].reading) is None:
            return Verdict(False, "unread")
        else:
            found = self.verdict.judge(reading, stored, similarity)
        return found if not found.serve or entry.fits(keys.max_tokens) else Verdict(False, "too_long")

    def count_miss(self, near_skip: str | None = None) -> None:
        """The request was looked up and not found; ``near_skip`` says why the near tier was not asked, if so."""
        self.counters.misses += 1
        if near_skip is not None:
            self.counters.near_skips[near_skip] += 1

    def count_skip(self, reason: str) -> None:
        """The request was not looked up: ``keys.skip``, or what the request's control says."""
        self.counters.skips[reason] += 1

    # --- change

    def put(
        self,
        keys: CacheKeys,
        entry: Entry,
        vector: NDArray[Any] | None,
        now: float,
        reading: Reading | None = None,
    ) -> bool:
        """Store an answer, in place of an earlier one to the same request; false if it is refused.

        Only complete answers in plain text may be offered; ``vector`` and ``reading``, if known, are of ``keys.text``.
        """
        refusal = self._put_refusal(keys, entry, now)
        if refusal is not None:
            self.counters.store_refusals[refusal] += 1
            return False
        self._entries.add(entry, keys.scope)
        self._walk.note(entry.expires_at)
        self.counters.stores += 1
        if vector is not None:
            self.attach(keys, vector, now, reading)
        return True

    def _put_refusal(self, keys: CacheKeys, entry: Entry, now: float) -> str | None:
        if keys.exact is None or entry.key != keys.exact:
            return "uncacheable"
        if entry.finish_reason != "stop":
            return "incomplete"
        if not entry.text:
            return "empty"
        if entry.expired(now):
            return "expired"
        if entry.size_bytes > self._entry_bytes_max:
            return "too_large"
        return None

    def attach(self, keys: CacheKeys, vector: NDArray[Any], now: float, reading: Reading | None = None) -> bool:
        """Give a stored entry the embedding of its question, which came after its answer, and what the learned verdict
        keeps of it; false if it can't be used."""
        if keys.exact is None or keys.scope is None:
            return False
        entry = self._entries.get(keys.exact)
        if entry is None or keys.exact in self._entries.near or self._dropped_if_expired(entry, now):
            return False
        index = self._scopes.get(keys.scope)
        unit = self._checked(vector, index.dimension if index is not None else vector.size)
        size_bytes = vector_bytes(vector.size) + (reading.size_bytes if reading is not None else 0)
        if unit is None or entry.size_bytes + size_bytes > self._entry_bytes_max:
            self.counters.vector_refusals += 1
            return False
        # First the room, then the vector: making room may drop the scope's last entry, and the scope with it.
        self._entries.extend(keys.exact, NearPart(keys.scope, size_bytes, reading))
        index = self._scopes.get(keys.scope)
        if index is None:
            index = self._scopes[keys.scope] = VectorIndex(unit.size, self.limits.scope_rows_max)
        victim = index.add(keys.exact, unit)
        if victim is not None:
            self._entries.shrink(victim)
        return True

    def expire(self, now: float, limit: int = 1000) -> int:
        """Look at up to ``limit`` entries, if any may have expired, and drop those that have; returns how many went.

        Lookups never serve an expired one anyway.
        """
        gone = 0
        for key in self._walk.next(now, limit, self._entries.in_order):
            entry = self._entries.get(key)
            if entry is None:
                continue
            if self._dropped_if_expired(entry, now):
                gone += 1
            else:
                self._walk.note(entry.expires_at)
        return gone

    def purge(self, purge: Purge = Purge()) -> int:  # noqa: B008 - immutable
        """Drop entries, all where nothing is named; returns how many went."""
        doomed = [each.key for each in self._entries.entries() if purge.takes(each)]
        for key in doomed:
            self._entries.remove(key)
        self.counters.purged += len(doomed)
        return len(doomed)

    def wrong(self, key: bytes, tenant: str | None = None) -> Entry | None:
        """Somebody says that this entry answered wrongly: it goes, and never answers again whom it answered.

        Returns it; ``None`` if there is none, or none of this tenant.
        """
        entry = self._entries.get(key)
        if entry is None or tenant not in (None, entry.tenant):
            return None
        self.denials.deny(key)
        self._entries.remove(key)
        self.counters.reported_wrong += 1
        return entry

    def follow(self) -> StoreChanges:
        """From now on all that comes and leaves is told there."""
        self._entries.changes = changes = StoreChanges()
        return changes

    def restore(self, entry: Entry, now: float, *, oldest: bool = False) -> bool:
        """Take in an entry of an earlier run, as the most recently used one (or the least, where there is room); false
        if it holds or fits no more."""
        if entry.expired(now) or entry.size_bytes > self._entry_bytes_max:
            return False
        self._entries.add(entry)
        if oldest:
            self._entries.put_last(entry.key)
        self._walk.note(entry.expires_at)
        return True

    def entries(self) -> list[tuple[Entry, bytes | None]]:
        """All entries, the least recently used first, with the scope of those that answer near questions."""
        near = self._entries.near
        return [(entry, part.scope if (part := near.get(entry.key)) else None) for entry in self._entries.entries()]

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "entries": len(self._entries),
            "max_entries": self.limits.max_entries,
            "bytes": self.size_bytes,
            "max_bytes": self.limits.max_bytes,
            "scopes": len(self._scopes),
            "vectors": sum(map(len, self._scopes.values())),
            "denied_pairs": len(self.denials),
            **self.counters.as_dict(),
        }

    # --- inside

    def _count_saved(self, entry: Entry) -> None:
        self.counters.saved_tokens += entry.completion_tokens or 0
        self.counters.saved_s += entry.made_s

    def _left(self, key: bytes, part: NearPart) -> None:
        """An entry with a near part left the store: its vector leaves with it, and an empty scope as well."""
        index = self._scopes.get(part.scope)
        if index is not None and index.remove(key) and not index:
            del self._scopes[part.scope]

    def _dropped_if_expired(self, entry: Entry, now: float) -> bool:
        if now < entry.expires_at:
            return False
        self._entries.remove(entry.key)
        self.counters.expirations += 1
        return True

    def _checked(self, vector: NDArray[Any], dimension: int) -> NDArray[Any] | None:
        return unit_vector(vector) if vector.ndim == 1 and vector.size == dimension else None
