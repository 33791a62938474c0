"""Entries whose question has yet to be embedded: of an earlier run, or stored while the embedder had no room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from balancer.cache.keys import CacheKeys
from balancer.cache.store import CacheStore

WAITING_MAX: Final = 100_000
"""Beyond, the oldest answer equal questions alone."""
PER_TICK_MAX: Final = 16
"""Handed to the embedder at once: a few dozen a second, behind all lookups."""


class Waiting(NamedTuple):
    """One entry."""

    key: bytes
    scope: bytes
    """In which its vector shall lie."""
    embedder: str
    """Whose vectors lie there."""


class Unembedded:
    """The latest come first: those that are hit soonest, as a rule."""

    def __init__(self, store: CacheStore, most: int = WAITING_MAX) -> None:
        self._store = store
        self._waiting: deque[Waiting] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)

    def scopes(self) -> dict[bytes, bytes]:
        """By key of the entry."""
        return {each.key: each.scope for each in self._waiting}

    def advance(self, embedder: str | None, embed: Callable[[CacheKeys], bool]) -> None:
        """Hand a few on; ``embed`` is false where there is no room now. ``embedder``: who embeds, once that is known.

        What waits for another embedder, or has left the store meanwhile, waits no more.
        """
        if embedder is None:
            return
        for _ in range(min(PER_TICK_MAX, len(self._waiting))):
            key, scope, of = self._waiting.pop()
            entry = self._store.entry(key) if of == embedder else None
            if entry is None:
                continue
            if not embed(CacheKeys(entry.tenant, entry.model, key, scope, entry.question, None, None, None)):
                self._waiting.append(Waiting(key, scope, of))
                return
