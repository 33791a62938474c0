"""Unit vectors in small clusters of what is alike, so that a search reads only the clusters nearest to it.

A cluster that grows too large is split in two; then rows that the split left nearer to another centre move there (as
in SPFresh, Xu and others, arXiv 2410.14452). Every change touches few rows: nothing is ever trained or rebuilt, so
none takes long enough to be felt. No matrix product on purpose: OpenBLAS spreads those over threads, which on a busy
machine wait 10 to 30 ms for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

ROWS_MAX: Final = 128
"""Of a cluster; one that reaches more is split when the next row comes."""
_ROWS_MIN: Final = 8
_NEIGHBOURS: Final = 8
_ROUNDS: Final = 4


class Cluster:
    """Rows that lie near each other, by key."""

    __slots__ = ("at", "keys", "matrix")

    def __init__(self, at: int, keys: list[bytes], rows: Vector) -> None:
        self.at = at
        """Its place among the clusters."""
        self.keys = keys
        self.matrix: Vector = rows
        """Never more than twice the rows in use."""

    @property
    def rows(self) -> Vector:
        """Those in use."""
        return self.matrix[: len(self.keys)]

    def add(self, key: bytes, vector: Vector) -> None:
        row = len(self.keys)
        if row == len(self.matrix):
            self._resize(max(2 * row, 1))
        self.keys.append(key)
        self.matrix[row] = vector

    def remove(self, key: bytes) -> Vector:
        """Take a row out; the last one takes its place."""
        row, last = self.keys.index(key), len(self.keys) - 1
        vector: Vector = self.matrix[row].copy()
        moved = self.keys.pop()
        if row != last:
            self.keys[row] = moved
            self.matrix[row] = self.matrix[last]
        if last and 2 * last < len(self.matrix):
            self._resize(last + last // 2)  # room for half as many again, so that resizes stay rare
        return vector

    def _resize(self, capacity: int) -> None:
        matrix: Vector = np.empty((capacity, self.matrix.shape[1]), dtype=np.float32)
        matrix[: len(self.keys)] = self.rows
        self.matrix = matrix


class Clusters:
    """All clusters, and a centre for each."""

    __slots__ = ("_all", "_centres", "home")

    def __init__(self, dimension: int) -> None:
        self._all: list[Cluster] = []
        self._centres: Vector = np.empty((0, dimension), dtype=np.float32)  # of a lone cluster nobody asks
        self.home: dict[bytes, Cluster] = {}
        """Where each key is, in the order in which they came."""

    def __len__(self) -> int:
        return len(self._all)

    @property
    def capacity(self) -> int:
        """Rows allocated, without the centres."""
        return sum(len(cluster.matrix) for cluster in self._all)

    def by_nearness(self, vector: Vector) -> Iterator[Cluster]:
        """All, the one with the nearest centre first."""
        if len(self._all) < 2:
            return iter(self._all)
        order = np.argsort(np.vecdot(self._centres[: len(self._all)], vector))[::-1]
        return map(self._all.__getitem__, order.tolist())

    def add(self, key: bytes, vector: Vector) -> None:
        """Put a key that is not here into the cluster nearest to its vector."""
        if not self._all:
            self._found([key], vector[None, :].copy())
            return
        cluster = self._all[0]
        if len(self._all) > 1:
            cluster = self._all[int(np.argmax(np.vecdot(self._centres[: len(self._all)], vector)))]
        cluster.add(key, vector)
        self.home[key] = cluster
        if len(cluster.keys) > ROWS_MAX:
            self._split(cluster)

    def remove(self, key: bytes) -> None:
        """Take a key out."""
        cluster = self.home.pop(key)
        cluster.remove(key)
        if len(cluster.keys) < _ROWS_MIN and (len(self._all) > 1 or not cluster.keys):
            rest = list(zip(cluster.keys, cluster.rows, strict=True))
            self._drop(cluster)
            for other, vector in rest:
                self.add(other, vector)

    def _found(self, keys: list[bytes], rows: Vector) -> Cluster:
        """A new cluster, its centre not known yet."""
        cluster = Cluster(len(self._all), keys, rows)
        self._all.append(cluster)
        self.home.update(dict.fromkeys(keys, cluster))
        return cluster

    def _drop(self, cluster: Cluster) -> None:
        last = self._all.pop()
        if last is not cluster:
            self._all[cluster.at] = last
            self._centres[cluster.at] = self._centres[last.at]
            last.at = cluster.at
        if 4 * len(self._all) < len(self._centres):
            self._centres = self._centres[: 2 * len(self._all)].copy()

    def _split(self, cluster: Cluster) -> None:
        around = [cluster]
        if len(self._all) > 1:
            around = list(islice(self.by_nearness(self._centres[cluster.at]), _NEIGHBOURS + 1))
        rows, keys = cluster.rows, cluster.keys
        left = _halves(rows)
        stay, go = np.flatnonzero(left), np.flatnonzero(~left)
        other = self._found([keys[row] for row in go.tolist()], rows[go])
        cluster.keys, cluster.matrix = [keys[row] for row in stay.tolist()], rows[stay]
        if len(self._all) > len(self._centres):
            centres: Vector = np.empty((2 * len(self._all), rows.shape[1]), dtype=np.float32)
            centres[: len(self._centres)] = self._centres
            self._centres = centres
        self._recentre([cluster, other])
        neighbours = [near for near in around if near is not cluster]
        if neighbours:
            self._settle(cluster, neighbours)
            self._settle(other, neighbours)
            for near in neighbours:
                self._settle(near, [cluster, other])
            self._recentre([cluster, other, *neighbours])

    def _recentre(self, clusters: list[Cluster]) -> None:
        for cluster in clusters:
            self._centres[cluster.at] = _centre(cluster.rows)

    def _settle(self, cluster: Cluster, others: list[Cluster]) -> None:
        """Move the rows that are nearer to another centre there, as long as there is room."""
        rows = cluster.rows
        own = np.vecdot(rows, self._centres[cluster.at])
        theirs = np.array([np.vecdot(rows, self._centres[other.at]) for other in others])
        best = theirs.argmax(axis=0)
        going = np.flatnonzero(theirs.max(axis=0) > own)
        moves = [(cluster.keys[row], others[best[row]]) for row in going.tolist()]
        for key, target in moves:
            if len(target.keys) < ROWS_MAX and len(cluster.keys) > _ROWS_MIN:
                target.add(key, cluster.remove(key))
                self.home[key] = target


def _halves(rows: Vector) -> NDArray[np.bool_]:
    """Two groups of rows, by k-means from two rows that lie far apart; true for the first group's."""
    right = rows[np.argmin(np.vecdot(rows, rows[0]))]
    left = rows[np.argmin(np.vecdot(rows, right))]
    group: NDArray[np.bool_] = np.arange(len(rows)) % 2 == 0
    for _ in range(_ROUNDS):
        found = np.vecdot(rows, left - right) > 0
        if not _ROWS_MIN <= found.sum() <= len(rows) - _ROWS_MIN:
            break  # nothing to tell them by, or one far away: any split will do
        group = found
        left, right = _centre(rows[group]), _centre(rows[~group])
    return group


def _centre(rows: Vector) -> Vector:
    mean: Vector = rows.mean(axis=0)
    length = np.float32(np.linalg.norm(mean))
    return mean / length if length > 0 else mean
