from __future__ import annotations

import numpy as np
import pytest

from balancer.pool.breaker_limits import BreakerLimits
from balancer.pool.outliers import Comparison, Outlier, Times, find_outlier
from balancer.pool.registry import Registry
from tests.balancer.pool.specs import a_spec, join, join_alive

LIMITS = BreakerLimits()


def find(values: list[float], counts: list[int]) -> Outlier | None:
    return find_outlier(np.array(values), np.array(counts, dtype=float), 0.002, LIMITS)


def test_the_greatest_is_an_outlier_above_five_times_the_median_of_the_others() -> None:
    assert find([0.02, 0.1001, 0.01, 0.03], [20] * 4) == Outlier(1, 0.1001, 0.02)
    assert find([0.02, 0.1, 0.01, 0.03], [20] * 4) is None


def test_two_others_are_needed_to_say_what_is_normal() -> None:
    assert find([0.02, 1.0], [20, 20]) is None
    assert find([0.02, 1.0, 0.02], [20, 20, 4]) is None
    assert find([0.02, 1.0, 0.02], [5, 20, 5]) == Outlier(1, 1.0, 0.02)


def test_nineteen_requests_are_too_few() -> None:
    assert find([0.02, 1.0, 0.02], [50, 19, 50]) is None
    assert find([], []) is None


def test_where_most_are_slow_none_is_too_slow() -> None:
    assert find([0.02, 0.2, 0.2], [20] * 3) is None


def test_no_peer_counts_as_faster_than_can_be_measured() -> None:
    assert find([0.0001, 0.0001, 0.009], [20] * 3) is None
    assert find([0.0001, 0.0001, 0.011], [20] * 3) == Outlier(2, 0.011, 0.002)


def a_pool(*models: str) -> Registry:
    """Backends b0, b1, ... at indexes 0, 1, ..., each with the models named by the letters."""
    registry = Registry()
    for number, letters in enumerate(models):
        join_alive(registry, a_spec(f"b{number}", model=letters))
    return registry


def filled(paces: list[Times]) -> Comparison:
    comparison = Comparison(8, LIMITS)
    for index, times in enumerate(paces):
        for _ in range(20):
            comparison.add(index, times, 50.0)
    return comparison


def test_a_slow_backend_is_found_with_the_reason_in_words() -> None:
    comparison = filled([Times(0.02, None), Times(0.02, 1.0), Times(0.2, 1.0)])
    (slow,) = comparison.find(a_pool("m", "m", "m").view, 51.0)
    assert (slow.backend, slow.kind) == (2, "itl")
    assert slow.bearable_s == pytest.approx(0.1)
    assert slow.reason == "200 ms a token, 10.0 times as long as its peers"


def test_the_time_to_the_first_token_is_compared_too() -> None:
    comparison = filled([Times(None, 0.2), Times(0.02, 6.0), Times(0.02, 0.2)])
    (slow,) = comparison.find(a_pool("m", "m", "m").view, 51.0)
    assert (slow.backend, slow.kind) == (1, "ttft")


def test_only_those_with_the_same_models_are_peers() -> None:
    paces = [Times(0.02, None), Times(0.02, None), Times(0.2, None), Times(0.2, None)]
    assert filled(paces).find(a_pool("small", "small", "large", "large").view, 51.0) == []
    assert [slow.backend for slow in filled(paces).find(a_pool("m", "m", "m", "n").view, 51.0)] == [2]


def test_the_peers_are_those_of_the_pool_as_it_is() -> None:
    registry, comparison = a_pool("m", "m", "m"), filled([Times(0.02, None), Times(0.02, None), Times(0.2, None)])
    registry.drain("b2", 50.0)
    assert comparison.find(registry.view, 51.0) == []
    join(registry, a_spec("joining"), 50.0)
    registry.undrain("b2", 50.0)
    assert len(comparison.find(registry.view, 51.0)) == 1
    comparison.forget(2)
    assert comparison.find(registry.view, 51.0) == []
    assert Comparison(8, LIMITS).find(Registry().view, 51.0) == []


def test_a_prompt_is_counted_by_the_thousand_and_a_short_one_as_fifty_tokens() -> None:
    comparison = Comparison(1, LIMITS)
    assert comparison.times(3.0, 2000, 0.02) == Times(0.02, 1.5)
    assert comparison.times(0.1, 4, None) == Times(None, 2.0)
    assert comparison.times(0.1, None, 0.02) == comparison.times(None, 100, 0.02) == Times(0.02, None)


def test_all_can_be_forgotten() -> None:
    comparison = filled([Times(0.02, 0.1), Times(0.02, 0.1), Times(0.2, 9.0)])
    comparison.clear()
    assert comparison.find(a_pool("m", "m", "m").view, 51.0) == []
