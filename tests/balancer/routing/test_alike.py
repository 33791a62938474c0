from __future__ import annotations

import numpy as np
import pytest

from balancer.routing.alike import next_of_least


def chosen(costs: list[float], last: int) -> int:
    """Of candidates 10, 20, 30, ...: both forms agree."""
    candidates = [10 * (at + 1) for at in range(len(costs))]
    few = next_of_least(candidates, costs, last)
    assert next_of_least(np.array(candidates, dtype=np.intp), np.array(costs), last) == few
    return few


@pytest.mark.parametrize(
    ("costs", "last", "expected"),
    [
        ([3.0, 1.0, 2.0], -1, 20),
        ([3.0, 1.0, 2.0], 20, 20),
        ([1.0, 1.0, 1.0], -1, 10),
        ([1.0, 1.0, 1.0], 10, 20),
        ([1.0, 1.0, 1.0], 30, 10),
        ([1.0, 5.0, 1.0], 10, 30),
        ([0.010, 0.0115, 0.013], 10, 20),
        ([0.010, 0.0115, 0.013], 20, 10),
        ([1.0, 1.009, 1.02], 10, 20),
        ([1.0, 1.02, 1.009], 10, 30),
        ([0.0, 0.0, 1e-9], 20, 10),
    ],
)
def test_those_that_cost_nearly_the_least_take_turns(costs: list[float], last: int, expected: int) -> None:
    assert chosen(costs, last) == expected
