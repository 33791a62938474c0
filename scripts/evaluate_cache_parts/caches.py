"""What answers a stream: our cache as the balancer runs it, plain cosine, and GPTCache's rule. One answer a group.

Each asks its exact tier first (a table of texts), so they differ in the near tier alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from balancer.cache.entry import entry_for
from balancer.cache.keys import CacheKeys, derive
from balancer.cache.learned import LearnedVerdict
from balancer.cache.reading import Reading
from balancer.cache.store import CacheLimits, CacheStore

MODEL: Final = "model"
GPTCACHE_THRESHOLD: Final = 0.8
_GPTCACHE_RANGE: Final = 4.0
_ENTRIES_MAX: Final = 100_000


Vector = NDArray[np.float32]


class Asked(NamedTuple):
    """A request with what the embedder says of it."""

    text: str
    group: int
    """Only what a backend's answer would tell: caches look at it when they store, never when they serve."""
    vector: Vector
    reading: Reading | None


class Served(NamedTuple):
    """An answer from the cache."""

    exact: bool
    group: int
    """Whose answer it is."""


class Cache(Protocol):
    """Asked once for each request; told the group of those that it did not answer."""

    def serve(self, asked: Asked) -> Served | None: ...

    def store(self, asked: Asked) -> None: ...


class Nearest:
    """Unit vectors by text, compared with all of them: no approximation stands in the others' way."""

    def __init__(self, dimension: int) -> None:
        self._matrix: Vector = np.empty((1024, dimension), np.float32)
        self._texts: list[str] = []

    def add(self, text: str, vector: Vector) -> None:
        if len(self._texts) == len(self._matrix):
            self._matrix = np.concatenate((self._matrix, np.empty_like(self._matrix)))
        self._matrix[len(self._texts)] = vector
        self._texts.append(text)

    def of(self, vector: Vector) -> tuple[str, float] | None:
        """The nearest text and its cosine."""
        if not self._texts:
            return None
        cosines = np.vecdot(self._matrix[: len(self._texts)], vector)
        row = int(cosines.argmax())
        return self._texts[row], float(cosines[row])


class Ours:
    """The balancer's store with its verdict, through its own keys."""

    def __init__(self, verdict: LearnedVerdict) -> None:
        limits = CacheLimits(max_entries=_ENTRIES_MAX, max_bytes=1 << 30, scope_rows_max=_ENTRIES_MAX)
        self._store = CacheStore(limits, verdict)
        self._embedder_id = verdict.embedder_id

    def serve(self, asked: Asked) -> Served | None:
        keys = self._keys(asked)
        hit = self._store.lookup_exact(keys, 0.0)
        if hit is None:
            hit = self._store.lookup_near(keys, asked.vector, 0.0, asked.reading)
        return Served(hit.kind == "exact", int(hit.entry.text)) if hit is not None else None

    def store(self, asked: Asked) -> None:
        keys = self._keys(asked)
        entry = entry_for(
            keys,
            text=str(asked.group),
            finish_reason="stop",
            answered_by=MODEL,
            backend="b",
            prompt_tokens=None,
            completion_tokens=None,
            now=0.0,
        )
        self._store.put(keys, entry, asked.vector, 0.0, asked.reading)

    def _keys(self, asked: Asked) -> CacheKeys:
        body = {"messages": [{"role": "user", "content": asked.text}]}
        return derive(body, tenant="t", model=MODEL, endpoint="chat", embedder_id=self._embedder_id)


class Cosine:
    """Whatever is nearest answers, from a cosine on."""

    def __init__(self, dimension: int, least: float) -> None:
        self._least = least
        self._groups: dict[str, int] = {}
        self._nearest = Nearest(dimension)

    def serve(self, asked: Asked) -> Served | None:
        if asked.text in self._groups:
            return Served(True, self._groups[asked.text])
        nearest = self._nearest.of(asked.vector)
        if nearest is None or nearest[1] < self._least:
            return None
        return Served(False, self._groups[nearest[0]])

    def store(self, asked: Asked) -> None:
        self._groups[asked.text] = asked.group
        self._nearest.add(asked.text, asked.vector)


def gptcache(dimension: int) -> Cosine:
    """GPTCache as it comes (0.1.44): its distance evaluation on unit vectors, at its similarity threshold of 0.8.

    The score is 4 minus the squared distance, which is 2 - 2 cos, and has to reach 0.8 of 4: a cosine of 0.6.
    """
    least_score = GPTCACHE_THRESHOLD * _GPTCACHE_RANGE
    return Cosine(dimension, 1 - (_GPTCACHE_RANGE - least_score) / 2)
