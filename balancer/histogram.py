"""A histogram with fixed buckets: one bisection and two additions an observation, whatever is read out is made then."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise


class Histogram:
    """Counts observations by the smallest bound they do not exceed.

    ``bounds`` ascend strictly and are finite; above the last is one more bucket. Raises `ValueError` otherwise.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        if not bounds or not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
            raise ValueError(f"expected finite bounds that ascend, not {bounds!r}")
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Of each bucket alone, the open one last."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value that is not NaN."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound, the last infinite, with how many observations do not exceed it."""
        return list(zip((*self.bounds, math.inf), accumulate(self.counts), strict=True))
