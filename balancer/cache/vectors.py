"""The embedded questions of one scope, and which of them lie nearest to another.

A search reads the clusters nearest to it (:mod:`balancer.cache.clusters`) until what it found is near enough. A scope
of 2,000 is read whole; of 100,000 real questions the nearest is found in 994 of 1,000 cases where it lies at a cosine
of 0.6 or more, as it must to be served, and in 98 of 100 of all. One scope's lookups neither cost nor show another's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from balancer.cache.clusters import ROWS_MAX, Cluster, Clusters
from balancer.cache.clusters import Vector as Vector

ENOUGH: Final = ((2048, 0.0, 0.85), (4096, 0.55, 0.75))
"""After so many rows a search ends unless its best cosine lies between the two: a near one is hardly ever missed by
then, and where nothing is near, nothing nearer is to come."""
READ_MAX: Final = 12_288
"""Rows that a search reads; the last cluster it reads may go over that."""


def unit_vector(vector: NDArray[Any]) -> Vector | None:
    """The vector as float32 of length one; ``None`` if it is not one-dimensional, is zero or holds NaN or infinity."""
    if vector.ndim != 1 or not vector.size:
        return None
    single = vector.astype(np.float32, copy=False)
    length = float(np.linalg.norm(single))
    if not (length > 0 and np.isfinite(length)):
        return None
    return single / np.float32(length)


class VectorIndex:
    """Unit vectors by key, at most ``rows_max``; a new one beyond that takes the place of the oldest."""

    __slots__ = ("_clusters", "dimension", "rows_max")

    def __init__(self, dimension: int, rows_max: int) -> None:
        self.dimension = dimension
        self.rows_max = rows_max
        self._clusters = Clusters(dimension)

    def __len__(self) -> int:
        return len(self._clusters.home)

    def __contains__(self, key: bytes) -> bool:
        return key in self._clusters.home

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._clusters.home)

    @property
    def capacity(self) -> int:
        """Rows allocated: never more than twice the rows in use."""
        return self._clusters.capacity

    def add(self, key: bytes, vector: Vector) -> bytes | None:
        """Add or replace ``key``'s unit vector; returns the key whose vector had to go for it, if any."""
        victim = None
        if key in self._clusters.home:
            self._clusters.remove(key)
        elif len(self._clusters.home) >= self.rows_max:
            victim = next(iter(self._clusters.home))
            self._clusters.remove(victim)
        self._clusters.add(key, vector)
        return victim

    def remove(self, key: bytes) -> bool:
        """Forget ``key``; false if it was not here."""
        if key not in self._clusters.home:
            return False
        self._clusters.remove(key)
        return True

    def nearest(self, vector: Vector, count: int) -> list[tuple[bytes, float]]:
        """Up to ``count`` keys with their cosine to a unit vector, the nearest first.

        Of more than 2,048 rows a near one can be missed, the less likely the nearer it is.
        """
        if not self._clusters.home or count < 1:
            return []
        cosines, read, ends = self._read(vector)
        if len(cosines) > count:
            top = np.argpartition(cosines, len(cosines) - count)[len(cosines) - count :]
            top = top[np.argsort(-cosines[top])]
        else:
            top = np.argsort(-cosines)
        found = []
        for place in top.tolist():
            cluster = read[at := bisect_right(ends, place)]
            found.append((cluster.keys[place - ends[at] + len(cluster.keys)], float(cosines[place])))
        return found

    def _read(self, vector: Vector) -> tuple[Vector, list[Cluster], list[int]]:
        """The cosines of all rows that are read, the clusters they are in, and where each of those ends."""
        cosines: Vector = np.empty(min(READ_MAX + ROWS_MAX, len(self._clusters.home)), np.float32)
        read: list[Cluster] = []
        ends: list[int] = []
        stops = iter(ENOUGH)
        stop, least, most = next(stops)
        end = 0
        for cluster in self._clusters.by_nearness(vector):
            start, end = end, end + len(cluster.keys)
            np.vecdot(cluster.matrix[: end - start], vector, out=cosines[start:end])
            read.append(cluster)
            ends.append(end)
            if end >= stop:
                if not least <= cosines[:end].max() < most:
                    break
                stop, least, most = next(stops, (READ_MAX, 0.0, 0.0))
        return cosines[:end], read, ends
