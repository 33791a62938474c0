"""How fast backends were lately: a sum of logarithms per second and backend.

Strategy: what matters is the ratio to others, and one request that took a hundred times as long as the rest should
not decide. The geometric mean has both: for times as they occur (about log-normal) it is the median, and it can be
kept as two sums. A request costs two additions; nobody looks at single requests again.

Rejected: keeping the last n requests of each backend. At a hundred requests a second they tell of one second only.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import numpy.typing as npt

LEAST_S = 1e-6
"""Shorter times count as this: a logarithm needs a positive number."""


class Pace:
    """One kind of time of each backend, over the last `window_s` seconds, by the ledger's index."""

    __slots__ = ("_capacity", "_count", "_count_np", "_log", "_log_np", "_row", "_second", "_turns_at", "_window_s")

    def __init__(self, capacity: int, window_s: int) -> None:
        self._capacity = capacity
        self._window_s = window_s
        # Rows are seconds. A memory view reads and writes single numbers faster than an array of numpy does.
        self._count_np: npt.NDArray[np.float64] = np.zeros((window_s, capacity))
        self._log_np: npt.NDArray[np.float64] = np.zeros((window_s, capacity))
        self._count = cast("memoryview[float]", self._count_np.reshape(-1).data)
        self._log = cast("memoryview[float]", self._log_np.reshape(-1).data)
        self._second = 0
        self._turns_at = 1.0
        self._row = 0

    def add(self, index: int, seconds: float, now: float) -> None:
        """A request of this backend took so long."""
        if now >= self._turns_at:
            self._turn(int(now))
        at = self._row + index
        self._count[at] += 1.0
        self._log[at] += math.log(seconds if seconds > LEAST_S else LEAST_S)

    def means(
        self, indexes: npt.NDArray[np.intp], now: float, least: int = 1
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Of each of these backends the geometric mean (s; 0 where there is nothing), and how many it is of. Where all
        have fewer than `least`, no means are made: most often nobody has been asked anything."""
        if now >= self._turns_at:
            self._turn(int(now))
        counts = self._count_np[:, indexes].sum(axis=0)
        if not (counts >= least).any():
            return np.zeros(len(indexes)), counts
        logs = self._log_np[:, indexes].sum(axis=0)
        return np.where(counts > 0, np.exp(logs / np.maximum(counts, 1.0)), 0.0), counts

    def forget(self, index: int) -> None:
        """Nothing is known of this backend."""
        self._count_np[:, index] = 0.0
        self._log_np[:, index] = 0.0

    def clear(self) -> None:
        """Nothing is known of anyone."""
        self._count_np[:] = 0.0
        self._log_np[:] = 0.0

    def _turn(self, second: int) -> None:
        """Empty the rows of the seconds that begin now."""
        for passed in range(max(self._second + 1, second - self._window_s + 1), second + 1):
            row = passed % self._window_s
            self._count_np[row] = 0.0
            self._log_np[row] = 0.0
        self._second = second
        self._turns_at = second + 1.0
        self._row = (second % self._window_s) * self._capacity
