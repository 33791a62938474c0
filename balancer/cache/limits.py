"""The bounds of one store, and what a vector counts towards them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from balancer.cache.verdict import THRESHOLD

VECTOR_OVERHEAD_BYTES: Final = 300
"""What a vector costs beside its place in a matrix (measured, rounded up)."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Bounds of one store."""

    max_entries: int = 10_000
    max_bytes: int = 256 << 20
    """Texts, vectors and what holds them."""
    max_entry_bytes: int = 1 << 20
    """An entry larger than this is not stored; never more than ``max_bytes``."""
    scope_rows_max: int = 100_000
    """Vectors in one scope: a search of that many takes half a millisecond. A new one replaces the oldest."""
    candidates: int = 4
    """Nearest entries that the verdict is asked about."""
    threshold: float = THRESHOLD
    """The simple verdict's."""

    def __post_init__(self) -> None:
        for name in ("max_entries", "max_bytes", "max_entry_bytes", "scope_rows_max", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


def vector_bytes(dimension: int) -> int:
    """What one vector counts: float32, and as much again since a matrix has up to twice the rows in use.

    A vector alone in its scope has no spare row, but the scope's own 650 bytes to bear, which is less.
    """
    return 2 * 4 * dimension + VECTOR_OVERHEAD_BYTES
