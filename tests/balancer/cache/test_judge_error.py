from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.judge_error import BY_WORDS, RATE_MAX, UNMEASURED, JudgeError, judge_error, wilson

counts = st.integers(0, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(counts)
def test_wilsons_interval_holds_the_share(count: tuple[int, int]) -> None:
    wrong, of = count
    share, low, high = wilson(wrong, of)
    assert 0 <= low <= share <= high <= 1


def test_wilsons_interval_of_known_counts() -> None:
    share, low, high = wilson(10, 100)
    assert (round(low, 4), share, round(high, 4)) == (0.0552, 0.1, 0.1744)
    assert wilson(0, 0) == (0.0, 0.0, 1.0)


def test_a_perfect_judge_leaves_what_was_seen() -> None:
    found = JudgeError(0.0, 0.0, 1_000_000).corrected(20, 100)
    seen = wilson(20, 100)
    assert found.share == 0.2
    assert (found.low, found.high) == pytest.approx((seen.low, seen.high), abs=1e-3)


def test_what_the_judge_calls_wrong_by_mistake_is_taken_off() -> None:
    judge = JudgeError(0.1, 0.1, 1000)
    assert judge.corrected(100, 1000).share == 0.0
    assert judge.corrected(260, 1000).share == pytest.approx(0.2)


@given(counts, st.floats(0, 0.3), st.floats(0, 0.3), st.integers(1, 1000))
def test_the_corrected_interval_holds_its_share_and_fewer_labels_widen_it(
    count: tuple[int, int], yes: float, no: float, labels: int
) -> None:
    sure, unsure = JudgeError(yes, no, 4 * labels).corrected(*count), JudgeError(yes, no, labels).corrected(*count)
    for found in (sure, unsure):
        assert 0 <= found.low <= found.high <= 1
    if labels >= 20:
        assert unsure.high - unsure.low >= sure.high - sure.low - 0.05


@given(st.floats(0, 0.44), st.floats(0, 0.44), st.integers(1, 100_000))
def test_points_are_rates_whose_weights_sum_to_one(yes: float, no: float, labels: int) -> None:
    points = JudgeError(yes, no, labels).points()
    assert sum(weight for _, _, weight in points) == pytest.approx(1)
    assert all(0 < rate <= RATE_MAX for point in points for rate in point[:2])


@pytest.mark.parametrize("text", ["", "0.1", "0.1,0.1", "0.5,0.1,10", "0.1,-1,10", "nan,0.1,10", "0.1,0.1,0", "a,b,c"])
def test_what_tells_no_rates_is_none(text: str) -> None:
    assert judge_error(text) is None


def test_rates_are_read() -> None:
    assert judge_error("0.02, 0.05,200") == JudgeError(0.02, 0.05, 200)


@pytest.mark.parametrize("assumed", [UNMEASURED, BY_WORDS])
def test_what_is_assumed_is_taken_as_it_is_and_lets_nearly_every_no_count(assumed: JudgeError) -> None:
    assert len(assumed.points()) == 1 and assumed.false_no <= 0.01
    assert assumed.corrected(20, 100).share >= 0.19
