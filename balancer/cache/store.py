"""Entries in LRU order within bounds, and the vectors of their questions in step with them.

Every way out of the store (eviction, replacement, expiry, purge, clear) goes through :class:`EntryLRU`'s one
``__delitem__``, and that takes the vector along: the index holds a vector if and only if the store holds the entry.
Vectors lie in one matrix per scope, created with the first and dropped with the last of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from numpy.typing import NDArray

from balancer.cache.counters import Counters
from balancer.cache.entry import Entry
from balancer.cache.expiry import ExpiryHeap
from balancer.cache.keys import CacheKeys
from balancer.cache.learned import LearnedVerdict
from balancer.cache.lru import EntryLRU, Record
from balancer.cache.reading import Reading
from balancer.cache.vectors import VectorIndex, unit_vector
from balancer.cache.verdict import THRESHOLD, Verdict, judge

VECTOR_OVERHEAD_BYTES: Final = 300
"""What a vector costs beside its place in a matrix (measured, rounded up)."""

LEAST_SIMILARITY: Final = 0.6
"""Below this cosine the learned verdict is not asked: it takes 0.2 ms, of the questions it serves hardly one in a
thousand lies there, and what it serves of the few words that lie farther apart is too often wrong."""

_EXPIRED_PER_PUT: Final = 4  # more than one a put, so that expired entries leave faster than new ones come


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Bounds of one store."""

    max_entries: int = 10_000
    max_bytes: int = 256 << 20
    """Texts, vectors and what holds them."""
    max_entry_bytes: int = 1 << 20
    """An entry larger than this is not stored; never more than ``max_bytes``."""
    scope_rows_max: int = 10_000
    """Vectors in one scope: a search of that many takes a quarter of a millisecond. A new one replaces an old one."""
    candidates: int = 4
    """Nearest entries that the verdict is asked about."""
    threshold: float = THRESHOLD
    """The simple verdict's."""

    def __post_init__(self) -> None:
        for name in ("max_entries", "max_bytes", "max_entry_bytes", "scope_rows_max", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


class Hit(NamedTuple):
    """An entry that answers."""

    kind: Literal["exact", "semantic"]
    entry: Entry
    similarity: float | None
    """Cosine of the questions' embeddings; ``None`` for an exact hit."""
    probability: float | None = None
    """That the answer is right, where the learned verdict judged."""


class CacheStore:
    """The entries of all tenants and models. Not for use from several threads.

    One request asks ``lookup_exact``, then perhaps ``lookup_near``, and ends in a hit (counted here) or in
    ``count_miss`` or ``count_skip``. ``now`` is monotonic seconds everywhere.
    """

    def __init__(self, limits: CacheLimits = CacheLimits(), verdict: LearnedVerdict | None = None) -> None:
        """``verdict`` judges where both questions were read; without it, or without their readings, the simple one."""
        self.limits = limits
        self.verdict = verdict
        self.counters = Counters()
        self._entries = EntryLRU(limits.max_entries, limits.max_bytes, self.counters, self._left)
        self._scopes: dict[bytes, VectorIndex] = {}
        self._expiries = ExpiryHeap()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return int(self._entries.currsize)

    # Lookup

    def lookup_exact(self, keys: CacheKeys, now: float) -> Hit | None:
        """The entry of an equal request, if there is one that still holds and fits the token limit."""
        if keys.exact is None:
            return None
        record = self._entries.peek(keys.exact)
        if record is None or self._dropped_if_expired(keys.exact, record, now):
            return None
        self._entries.touch(keys.exact)
        if not record.entry.fits(keys.max_tokens):
            return None
        self.counters.hits_exact += 1
        return Hit("exact", record.entry, None)

    def has_neighbours(self, keys: CacheKeys) -> bool:
        """Whether the request's scope holds any vector at all; if not, its embedding is not worth waiting for."""
        return keys.scope in self._scopes

    def lookup_near(
        self, keys: CacheKeys, vector: NDArray[Any], now: float, reading: Reading | None = None
    ) -> Hit | None:
        """The nearest entry of the scope that the verdict allows; ``vector`` embeds ``keys.text``.

        ``reading`` is of the same text, where the learned verdict is to judge: then entries without one are refused.
        """
        index = self._scopes.get(keys.scope) if keys.scope is not None else None
        if index is None:
            return None
        unit = self._checked(vector, index.dimension)
        if unit is None:
            return None
        for key, similarity in index.nearest(unit, self.limits.candidates):
            record = self._entries.peek(key)
            if record is None:
                continue
            if self._dropped_if_expired(key, record, now):
                found = Verdict(False, "expired")
            else:
                found = self._judged(keys, reading, record, similarity)
            if found.serve:
                self._entries.touch(key)
                self.counters.hits_semantic += 1
                return Hit("semantic", record.entry, similarity, found.probability)
            self.counters.near_refusals[found.reason] += 1
            if found.reason == "similarity":
                break  # the others are farther still
        return None

    def _judged(self, keys: CacheKeys, reading: Reading | None, record: Record, similarity: float) -> Verdict:
        if self.verdict is None or reading is None:
            found = judge(keys.text, record.entry.question, similarity, self.limits.threshold)
        elif not similarity >= LEAST_SIMILARITY:
            return Verdict(False, "similarity")
        elif record.reading is None:
            return Verdict(False, "unread")
        else:
            found = self.verdict.judge(reading, record.reading, similarity)
        return found if not found.serve or record.entry.fits(keys.max_tokens) else Verdict(False, "too_long")

    def count_miss(self, near_skip: str | None = None) -> None:
        """The request was looked up and not found; ``near_skip`` says why the near tier was not asked, if so."""
        self.counters.misses += 1
        if near_skip is not None:
            self.counters.near_skips[near_skip] += 1

    def count_skip(self, reason: str) -> None:
        """The request was not looked up: ``keys.skip``, or what the request's control says."""
        self.counters.skips[reason] += 1

    # Change

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
        if self._expiries.is_due(now):
            self.expire(now, limit=_EXPIRED_PER_PUT)
        refusal = self._put_refusal(keys, entry, now)
        if keys.exact is None or refusal is not None:
            self.counters.store_refusals[refusal or "uncacheable"] += 1
            return False
        if keys.exact in self._entries:
            del self._entries[keys.exact]
        self._entries[keys.exact] = Record(entry, None, entry.size_bytes)
        self._expiries.add(entry.expires_at, keys.exact)
        if self._expiries.overgrown(len(self._entries)):
            self._expiries.rebuild((record.entry.expires_at, key) for key, record in self._records())
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
        if entry.size_bytes > min(self.limits.max_entry_bytes, self.limits.max_bytes):
            return "too_large"
        return None

    def attach(self, keys: CacheKeys, vector: NDArray[Any], now: float, reading: Reading | None = None) -> bool:
        """Give a stored entry the embedding of its question, which came after its answer, and what the learned verdict
        keeps of it; false if it can't be used."""
        if keys.exact is None or keys.scope is None:
            return False
        record = self._entries.peek(keys.exact)
        if record is None or record.scope is not None or self._dropped_if_expired(keys.exact, record, now):
            return False
        index = self._scopes.get(keys.scope)
        unit = self._checked(vector, index.dimension if index is not None else vector.size)
        size_bytes = record.entry.size_bytes + vector_bytes(vector.size)
        if reading is not None:
            size_bytes += reading.size_bytes
        if unit is None or size_bytes > min(self.limits.max_entry_bytes, self.limits.max_bytes):
            self.counters.vector_refusals += 1
            return False
        # First the room, then the vector: making room may drop the scope's last entry, and the scope with it.
        self._entries[keys.exact] = Record(record.entry, keys.scope, size_bytes, reading)
        index = self._scopes.get(keys.scope)
        if index is None:
            index = self._scopes[keys.scope] = VectorIndex(unit.size, self.limits.scope_rows_max)
        victim = index.add(keys.exact, unit)
        if victim is not None and (loser := self._entries.peek(victim)) is not None:
            self._entries.amend(victim, Record(loser.entry, None, loser.entry.size_bytes))
        return True

    def expire(self, now: float, limit: int = 1000) -> int:
        """Drop up to ``limit`` expired entries; returns how many went. Lookups never serve an expired one anyway."""
        gone = 0
        for expires_at, key in self._expiries.due(now, limit):
            record = self._entries.peek(key)
            if record is not None and record.entry.expires_at == expires_at:
                gone += self._dropped_if_expired(key, record, now)
        return gone

    def purge(self, *, tenant: str | None = None, model: str | None = None) -> int:
        """Drop the entries of a tenant, of a model, of both, or all; returns how many went."""
        doomed = [
            key
            for key, record in self._records()
            if tenant in (None, record.entry.tenant) and model in (None, record.entry.model)
        ]
        for key in doomed:
            del self._entries[key]
        self.counters.purged += len(doomed)
        return len(doomed)

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "entries": len(self._entries),
            "max_entries": self.limits.max_entries,
            "bytes": self.size_bytes,
            "max_bytes": self.limits.max_bytes,
            "scopes": len(self._scopes),
            "vectors": sum(map(len, self._scopes.values())),
            **self.counters.as_dict(),
        }

    # Inside

    def _records(self) -> list[tuple[bytes, Record]]:
        peek = self._entries.peek
        return [(key, record) for key in self._entries if (record := peek(key)) is not None]

    def _left(self, key: bytes, record: Record) -> None:
        """An entry left the store: its vector leaves with it, and an empty scope as well."""
        index = self._scopes.get(record.scope) if record.scope is not None else None
        if index is not None and index.remove(key) and not index and record.scope is not None:
            del self._scopes[record.scope]

    def _dropped_if_expired(self, key: bytes, record: Record, now: float) -> bool:
        if not record.entry.expired(now):
            return False
        del self._entries[key]
        self.counters.expirations += 1
        return True

    def _checked(self, vector: NDArray[Any], dimension: int) -> NDArray[Any] | None:
        return unit_vector(vector) if vector.ndim == 1 and vector.size == dimension else None


def vector_bytes(dimension: int) -> int:
    """What one vector counts: float32, and as much again since a matrix has up to twice the rows in use.

    A vector alone in its scope has no spare row, but the scope's own 650 bytes to bear, which is less.
    """
    return 2 * 4 * dimension + VECTOR_OVERHEAD_BYTES
