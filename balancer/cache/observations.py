"""What is known of near answers once they were told: counts by what the verdict had claimed of them.

A claim is the share of wrong answers that the verdict expects: one minus its probability. Claims fall into bins of
equal width in their logarithm. Counts instead of single observations keep a pool's memory the same however long it
learns, and everything that is concluded is a function of them.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

EDGES: Final = tuple(0.001 * 1.5**step for step in range(15))
"""Between two bins. No verdict is known to claim less than the first in earnest."""
BINS: Final = len(EDGES) + 1
CLAIMS: Final = np.array([0.001 * 1.5 ** (step - 0.5) for step in range(BINS)])
"""What stands for a bin: its middle."""

Counts = NDArray[np.float64]

OFFERED: Final = 0
"""The verdict allowed them, whether they were served or not."""
SERVED: Final = 1
REPORTED: Final = 2
"""Served, and somebody said they were wrong."""
EQUAL: Final = 3
"""Checked: the backend's answer has the same words, which leaves nothing to judge."""
RIGHT: Final = 4
"""Checked, and judged right."""
WRONG: Final = 5
"""Checked, and judged wrong."""
ROWS: Final = 6

COUNTS_MAX: Final = 4096.0
"""Beyond so many of a kind all are halved: what is old says less than what is new."""


def bin_of(claim: float) -> int:
    """The bin of an expected wrong share."""
    return bisect_right(EDGES, claim)


class Tally:
    """Counts of one pool of entries, or of one entry."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counts = np.zeros((ROWS, BINS))

    def add(self, row: int, at: int) -> None:
        """Count one more in a bin."""
        counts = self.counts
        counts[row, at] += 1.0
        if counts[row, at] >= COUNTS_MAX:
            counts *= 0.5

    def fade(self, share: float) -> None:
        """Keep this share of all counts."""
        self.counts *= share

    @property
    def checks(self) -> float:
        return float(self.counts[EQUAL:].sum())

    @property
    def wrong(self) -> float:
        """Checked, and judged wrong."""
        return float(self.counts[WRONG].sum())

    @property
    def reports(self) -> float:
        return float(self.counts[REPORTED].sum())
