"""Among costs that are nearly equal, turns: what is only estimated should not decide between two that do as well.

Without it the one that looks a little faster would get everything while nobody has much to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from balancer.routing.policy import Candidates

ALIKE = 0.2
"""Costs count as equal that are above the least by no more than this part of it,"""
ALIKE_S = 0.01
"""nor by more seconds than this."""


def next_of_least(candidates: Candidates, costs: Sequence[float] | npt.NDArray[np.float64], last: int) -> int:
    """The index after `last` among those that cost least; `costs` in seconds, in step with the candidates."""
    if isinstance(candidates, list):
        most = alike_to(min(costs))
        first = -1
        for position, cost in enumerate(costs):
            if cost <= most:
                index = candidates[position]
                if index > last:
                    return index
                if first < 0:
                    first = index
        return first
    costs = cast(npt.NDArray[np.float64], costs)
    least = float(costs.min())
    alike = candidates[costs <= alike_to(least)]
    return int(alike[int(np.searchsorted(alike, last, side="right")) % len(alike)])


def alike_to(least: float) -> float:
    """The most that counts as equal to it."""
    margin = ALIKE * least
    return least + (margin if margin < ALIKE_S else ALIKE_S)
