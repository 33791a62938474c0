from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.adapters.embedder.estimate import BatchTimes


def times() -> BatchTimes:
    return BatchTimes(single_s=0.010, full_s=0.040, batch_max=16)


def test_a_batch_takes_between_one_text_and_a_full_batch() -> None:
    assert [times().batch_s(n) for n in (1, 6, 16)] == pytest.approx([0.010, 0.020, 0.040])


def test_an_idle_child_needs_one_batch_of_one() -> None:
    assert times().wait_s(0, 0, 0.0) == pytest.approx(0.010)


def test_those_ahead_share_batches() -> None:
    assert times().wait_s(5, 0, 0.0) == pytest.approx(0.020)
    assert times().wait_s(16, 0, 0.0) == pytest.approx(0.040 + 0.010)
    assert times().wait_s(32, 0, 0.0) == pytest.approx(0.080 + 0.010)


def test_a_running_batch_takes_what_is_left_of_it() -> None:
    assert times().wait_s(0, 16, 0.030) == pytest.approx(0.010 + 0.010)


def test_an_overdue_batch_is_expected_to_take_as_long_again() -> None:
    waits = [times().wait_s(0, 1, late) for late in (0.010, 0.110, 2.010)]
    assert waits == pytest.approx([0.010, 0.110, 2.010])


def test_slower_batches_are_learned_and_forgotten() -> None:
    learned = times()
    for _ in range(30):
        learned.observe(1, 0.100)
    assert learned.batch_s(1) == pytest.approx(0.100, rel=0.01)
    assert learned.batch_s(16) == pytest.approx(0.400, rel=0.01)
    for _ in range(30):
        learned.observe(16, 0.040)
    assert learned.batch_s(1) == pytest.approx(0.010, rel=0.02)


@given(
    st.floats(0, 10), st.floats(0, 10), st.integers(1, 32), st.lists(st.tuples(st.integers(1, 32), st.floats(0, 1e9)))
)
def test_nothing_learned_makes_a_wait_negative_or_endless(
    single_s: float, full_s: float, batch_max: int, batches: list[tuple[int, float]]
) -> None:
    learned = BatchTimes(single_s, full_s, batch_max)
    for texts, took_s in batches:
        learned.observe(min(texts, batch_max), took_s)
    assert 0 < learned.batch_s(1) <= learned.batch_s(batch_max) <= 1000.1
    assert learned.wait_s(3, 0, 0.0) <= learned.wait_s(3 + batch_max, 0, 0.0)
