"""What the cache did, for people and for the status page. Every request ends in exactly one of
hits_exact, hits_semantic, misses and skips.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counters:
    """Counts since start. The reasons are our own words, so there are only so many of them."""

    hits_exact: int = 0
    hits_semantic: int = 0
    misses: int = 0
    skips: Counter[str] = field(default_factory=Counter)
    """Requests for which the cache was not asked, by reason: ``bypass``, ``temperature``, ``n``, ..."""

    saved_tokens: int = 0
    """Completion tokens that hits gave and no backend had to make."""
    saved_s: float = 0.0
    """Seconds that backends had worked on the answers that hits gave."""
    near_skips: Counter[str] = field(default_factory=Counter)
    """Requests asked of the exact tier alone, by reason: ``tools``, ``embedder_busy``, ``embedder_late``, ..."""
    near_refusals: Counter[str] = field(default_factory=Counter)
    """Near entries that did not serve, by the verdict's reason, ``too_long`` or ``expired``."""
    stores: int = 0
    store_refusals: Counter[str] = field(default_factory=Counter)
    """Answers that did not become entries, by reason: ``incomplete``, ``too_large``, ..."""
    vector_refusals: int = 0
    evictions: int = 0
    expirations: int = 0
    purged: int = 0
    reported_wrong: int = 0
    """Entries that left because somebody said that they had answered wrongly."""

    @property
    def hit_rate(self) -> float:
        """Of the requests that were looked up."""
        hits = self.hits_exact + self.hits_semantic
        return hits / (hits + self.misses) if hits else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "hits": {"exact": self.hits_exact, "semantic": self.hits_semantic},
            "hit_rate": round(self.hit_rate, 4),
            "saved": {"tokens": self.saved_tokens, "seconds": round(self.saved_s, 3)},
            "misses": self.misses,
            "skips": dict(self.skips),
            "near_skips": dict(self.near_skips),
            "near_refusals": dict(self.near_refusals),
            "stores": self.stores,
            "store_refusals": dict(self.store_refusals),
            "vector_refusals": self.vector_refusals,
            "evictions": self.evictions,
            "expirations": self.expirations,
            "purged": self.purged,
            "reported_wrong": self.reported_wrong,
        }
