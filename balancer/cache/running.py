"""Questions whose answers are being made, by scope: who asks one that means the same may wait for that answer."""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import CacheKeys
from balancer.cache.learned import LearnedVerdict
from balancer.cache.reading import Reading
from balancer.cache.vectors import Vector, unit_vector

Who = TypeVar("Who")

LEAST_SIMILARITY: Final = 0.8
"""Below this cosine hardly a question in a hundred may be served, and each that is judged takes 0.2 ms."""
JUDGED_MAX: Final = 2
COMPARED_MAX: Final = 64
"""Questions of a scope that are kept: the latest."""


class Side(NamedTuple):
    """What is known of a question once it was embedded."""

    vector: Vector
    reading: Reading


class Match(NamedTuple, Generic[Who]):
    """A question under way whose answer may serve."""

    who: Who
    keys: CacheKeys
    similarity: float
    probability: float

    def entry(self, now: float) -> Entry:
        """What its answer will be once it is made, as far as it is known."""
        return entry_for(
            self.keys,
            text="",
            finish_reason="",
            answered_by="",
            backend="",
            prompt_tokens=None,
            completion_tokens=None,
            now=now,
        )


class _Asked(NamedTuple, Generic[Who]):
    who: Who
    keys: CacheKeys
    unit: Vector
    reading: Reading


class Running(Generic[Who]):
    """``Who``: whoever gets the answer first; hashable."""

    def __init__(self) -> None:
        self._scopes: dict[bytes, dict[Who, _Asked[Who]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._scopes.values()))

    def holds(self, scope: bytes | None) -> bool:
        """Whether any question of this scope is under way."""
        return scope in self._scopes

    def add(self, keys: CacheKeys, side: Side, who: Who) -> None:
        unit = unit_vector(side.vector)
        if keys.scope is None or unit is None:
            return
        asked = self._scopes.setdefault(keys.scope, {})
        asked[who] = _Asked(who, keys, unit, side.reading)
        if len(asked) > COMPARED_MAX:
            del asked[next(iter(asked))]

    def remove(self, keys: CacheKeys, who: Who) -> None:
        if keys.scope is None or (asked := self._scopes.get(keys.scope)) is None:
            return
        asked.pop(who, None)
        if not asked:
            del self._scopes[keys.scope]

    def match(self, keys: CacheKeys, side: Side, verdict: LearnedVerdict) -> Match[Who] | None:
        """The nearest question under way whose answer the verdict allows for this one, under the same token limit."""
        unit = unit_vector(side.vector)
        if keys.scope is None or unit is None:
            return None
        near: list[tuple[float, _Asked[Who]]] = []
        for asked in self._scopes.get(keys.scope, {}).values():
            if asked.keys.max_tokens == keys.max_tokens and asked.unit.size == unit.size:
                similarity = float(np.dot(asked.unit, unit))
                if similarity >= LEAST_SIMILARITY:
                    near.append((similarity, asked))
        near.sort(key=lambda pair: -pair[0])
        for similarity, asked in near[:JUDGED_MAX]:
            found = verdict.judge(side.reading, asked.reading, similarity)
            if found.serve and found.probability is not None:
                return Match(asked.who, asked.keys, similarity, found.probability)
        return None
