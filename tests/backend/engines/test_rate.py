from __future__ import annotations

import pytest

from backend.engines.rate import WINDOW_S, RateMeter


def test_a_steady_rate_is_told_as_it_is() -> None:
    meter = RateMeter(0.0)
    for step in range(1, 10_001):
        meter.add(4, step * 0.01)
    assert meter.per_s(100.0) == pytest.approx(400, rel=0.01)


def test_an_engine_that_stops_fades_to_nothing() -> None:
    meter = RateMeter(0.0)
    meter.add(1000, 1.0)
    assert meter.per_s(1.0 + 10 * WINDOW_S) < 0.01 * meter.per_s(1.0)


def test_before_anything_it_is_0() -> None:
    assert RateMeter(5.0).per_s(5.0) == 0.0
