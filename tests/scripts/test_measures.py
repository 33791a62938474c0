from __future__ import annotations

import math

import numpy as np
import pytest

from scripts.measures import drawn_reach, reach, served

LABELS = np.array([1.0, 1, 0, 1, 0, 1])
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


@pytest.mark.parametrize(("wrong_max", "found"), [(0.0, 0.5), (0.25, 0.75), (0.34, 1.0)])
def test_reach_is_the_largest_share_that_some_threshold_serves(wrong_max: float, found: float) -> None:
    assert reach(LABELS, SCORES, wrong_max, served_min=1) == found


def test_equal_scores_are_served_together_or_not_at_all() -> None:
    assert reach(LABELS, np.ones(6), 0.3, served_min=1) == 0.0
    assert reach(LABELS, np.ones(6), 0.34, served_min=1) == 1.0


def test_too_few_served_are_no_reach() -> None:
    assert reach(LABELS, SCORES, 0.0, served_min=3) == 0.0


def test_served_counts_what_is_right_and_wrong() -> None:
    found = served(LABELS, SCORES > 0.55)
    assert found[:3] == (4, 0.75, 0.25)
    assert math.isnan(served(LABELS, SCORES > 1).wrong)


def test_draws_have_as_many_duplicates_as_others() -> None:
    labels = np.r_[np.ones(10), np.zeros(1000)]
    mean, least, most = drawn_reach(labels, np.ones(1010), 0.5)
    assert (mean, least, most) == (1.0, 1.0, 1.0)
