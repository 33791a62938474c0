from __future__ import annotations

import math
from typing import Any

import pytest

from balancer.pool.breaker_limits import BreakerLimits


def test_the_defaults_are_what_operators_are_told() -> None:
    limits = BreakerLimits()
    assert (limits.failures, limits.outlier_ratio, limits.outlier_requests, limits.window_s) == (5, 5.0, 20, 30)
    assert (limits.ejection_s, limits.ejection_max_s, limits.ramp_from, limits.ramp_s) == (30.0, 300.0, 0.1, 30.0)
    assert limits.panic_share == 0.5


@pytest.mark.parametrize(
    "changes", [{"failures": 0}, {"ejection_s": -1.0}, {"ramp_s": math.inf}, {"ramp_from": 1.1}, {"panic_share": 2.0}]
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="breaker"):
        BreakerLimits(**changes)
