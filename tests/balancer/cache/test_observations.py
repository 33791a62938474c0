from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.observations import BINS, CLAIMS, COUNTS_MAX, EDGES, EQUAL, REPORTED, RIGHT, WRONG, Tally, bin_of


@given(st.floats(-1.0, 2.0))
def test_every_claim_has_a_bin(claim: float) -> None:
    assert 0 <= bin_of(claim) < BINS


def test_bins_go_up_with_the_claim_and_their_middle_lies_in_them() -> None:
    assert [bin_of(claim) for claim in CLAIMS] == list(range(BINS))
    assert bin_of(EDGES[0] / 2) == 0 and bin_of(1.0) == BINS - 1
    assert bool(np.all(np.diff(CLAIMS) > 0)) and CLAIMS[-1] < 0.5


def test_counts_are_told_by_kind() -> None:
    tally = Tally()
    for row in (EQUAL, RIGHT, WRONG, WRONG, REPORTED):
        tally.add(row, 3)
    assert (tally.checks, tally.wrong, tally.reports) == (4, 2, 1)
    tally.fade(0.5)
    assert (tally.checks, tally.wrong, tally.reports) == (2, 1, 0.5)


def test_counts_never_outgrow_their_bound_and_keep_their_proportions() -> None:
    tally = Tally()
    for _ in range(5000):
        tally.add(RIGHT, 0)
        tally.add(RIGHT, 0)
        tally.add(WRONG, 0)
    assert tally.counts.max() <= COUNTS_MAX
    assert abs(tally.wrong / tally.checks - 1 / 3) < 0.01
