from __future__ import annotations

import numpy as np
import pytest

from balancer.pool.pace import LEAST_S, Pace


def means(pace: Pace, now: float, *indexes: int) -> list[tuple[float, int]]:
    """Rounded: logarithms are not exact."""
    values, counts = pace.means(np.array(indexes, dtype=np.intp), now)
    return [(round(float(value), 9), int(count)) for value, count in zip(values, counts, strict=True)]


def test_each_backend_has_its_own_mean() -> None:
    pace = Pace(4, 30)
    pace.add(1, 0.02, 100.0)
    pace.add(1, 0.08, 100.5)
    pace.add(3, 0.5, 101.0)
    assert means(pace, 101.0, 3, 0, 1) == [(0.5, 1), (0.0, 0), (0.04, 2)]


def test_one_that_took_a_thousand_times_as_long_hardly_counts() -> None:
    pace = Pace(1, 30)
    for _ in range(19):
        pace.add(0, 0.1, 5.0)
    pace.add(0, 100.0, 5.0)
    ((mean, count),) = means(pace, 5.0, 0)
    assert mean == pytest.approx(0.1 * 1000 ** (1 / 20))
    assert count == 20


def test_what_is_older_than_the_window_is_over() -> None:
    pace = Pace(1, 30)
    pace.add(0, 1.0, 10.9)
    pace.add(0, 4.0, 11.0)
    assert means(pace, 39.9, 0) == [(2.0, 2)]
    assert means(pace, 40.0, 0) == [(4.0, 1)]
    assert means(pace, 41.0, 0) == [(0.0, 0)]


def test_a_long_silence_leaves_nothing() -> None:
    pace = Pace(1, 3)
    pace.add(0, 1.0, 10.0)
    pace.add(0, 5.0, 1000.0)
    assert means(pace, 1000.0, 0) == [(5.0, 1)]


def test_one_can_be_forgotten_and_so_can_all() -> None:
    pace = Pace(3, 30)
    for index in range(3):
        pace.add(index, 1.0, 7.0)
    pace.forget(1)
    assert means(pace, 7.0, 0, 1, 2) == [(1.0, 1), (0.0, 0), (1.0, 1)]
    pace.clear()
    assert means(pace, 7.0, 0, 1, 2) == [(0.0, 0)] * 3


def test_no_time_at_all_is_a_very_short_one() -> None:
    pace = Pace(1, 30)
    pace.add(0, 0.0, 7.0)
    assert means(pace, 7.0, 0) == [(LEAST_S, 1)]


def test_where_all_have_too_few_there_are_no_means() -> None:
    pace = Pace(2, 30)
    pace.add(0, 1.0, 7.0)
    values, counts = pace.means(np.array([0, 1], dtype=np.intp), 7.0, least=2)
    assert (list(values), list(counts)) == ([0.0, 0.0], [1.0, 0.0])
