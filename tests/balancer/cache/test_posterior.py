from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.judge_error import UNMEASURED, JudgeError
from balancer.cache.observations import BINS, CLAIMS, EQUAL, OFFERED, REPORTED, RIGHT, SERVED, WRONG, Tally, bin_of
from balancer.cache.posterior import Posterior

GOOD = JudgeError(0.02, 0.01, 400)
AT = bin_of(0.01)


def tally(at: int = AT, **rows: int) -> Tally:
    found = Tally()
    names = {"equal": EQUAL, "right": RIGHT, "wrong": WRONG, "served": SERVED, "reported": REPORTED, "offered": OFFERED}
    for name, count in rows.items():
        found.counts[names[name], at] = count
    return found


def limit(posterior: Posterior, found: Tally) -> int:
    return posterior.limit(found.counts, posterior.weigh(found.counts))


def share(posterior: Posterior, found: Tally) -> float:
    return posterior.share(found.counts, posterior.weigh(found.counts))


@pytest.mark.parametrize(("allowed", "claim"), [(0.02, 0.0159), (0.05, 0.056), (0.1, 0.18)])
def test_before_anything_is_known_the_claims_of_the_shipped_verdict_are_served(allowed: float, claim: float) -> None:
    found = Tally()
    found.counts[OFFERED, : bin_of(claim) + 1] = 10
    assert limit(Posterior(allowed, UNMEASURED), found) > bin_of(claim)


def test_claims_that_hold_are_served_on() -> None:
    assert limit(Posterior(0.02, GOOD), tally(offered=2000, right=197, wrong=2)) > AT


def test_a_share_far_above_the_claim_stops_what_claims_it() -> None:
    found = tally(offered=400, right=16, wrong=4)
    assert limit(Posterior(0.02, GOOD), found) <= AT
    assert share(Posterior(0.02, GOOD), found) > 0.05


def test_the_expected_share_comes_to_what_was_seen_less_the_judges_errors() -> None:
    assert share(Posterior(0.02, GOOD), tally(offered=2000, right=800, wrong=200)) == pytest.approx(0.2, abs=0.04)
    noisy = JudgeError(0.1, 0.1, 1000)
    assert share(Posterior(0.02, noisy), tally(offered=2000, right=895, wrong=105)) < 0.03


def test_equal_words_leave_nothing_to_judge() -> None:
    posterior = Posterior(0.02, UNMEASURED)
    judged = share(posterior, tally(offered=100, right=60))
    assert share(posterior, tally(offered=100, equal=60)) <= judged


def test_reports_alone_speak_against_what_was_served_and_silence_says_nothing() -> None:
    posterior = Posterior(0.02, GOOD)
    silent = tally(offered=1000, served=1000)
    assert share(posterior, silent) == share(posterior, tally(offered=1000))
    assert share(posterior, tally(offered=1000, served=1000, reported=100)) > 0.08
    assert limit(posterior, tally(offered=1000, served=1000, reported=100)) <= AT


def test_an_entry_found_wrong_is_expected_to_be_wrong_again() -> None:
    posterior = Posterior(0.02, GOOD)
    fresh, _ = posterior.entry_share(Tally().counts)
    once, _ = posterior.entry_share(tally(wrong=1).counts)
    twice, _ = posterior.entry_share(tally(wrong=2).counts)
    often, _ = posterior.entry_share(tally(wrong=5).counts)
    assert fresh[AT] == pytest.approx(CLAIMS[AT], rel=0.25)
    assert 1.5 * fresh[AT] < once[AT] and 0.02 < twice[AT] < often[AT]


def test_an_entrys_own_record_can_stand_against_its_pool() -> None:
    posterior = Posterior(0.02, GOOD)
    pool = posterior.weigh(tally(offered=400, right=320, wrong=80).counts)
    _, unknown = posterior.entry_share(Tally().counts, pool)
    _, known = posterior.entry_share(tally(right=300).counts, pool)
    assert unknown[AT] > 0.1 and known[AT] < 0.02


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, BINS - 1), st.floats(0.001, 0.9))
def test_any_counts_give_weights_and_a_limit(equal: int, right: int, wrong: int, at: int, allowed: float) -> None:
    posterior = Posterior(allowed, UNMEASURED)
    found = tally(at, offered=equal + right + wrong, equal=equal, right=right, wrong=wrong)
    weights = posterior.weigh(found.counts)
    assert weights.sum() == pytest.approx(1) and bool(np.isfinite(weights).all())
    assert 0 <= posterior.limit(found.counts, weights) <= BINS


@given(st.integers(0, 100), st.integers(0, 20))
def test_one_more_wrong_answer_never_raises_the_limit(right: int, wrong: int) -> None:
    posterior = Posterior(0.02, GOOD)
    less, more = tally(offered=500, right=right, wrong=wrong), tally(offered=500, right=right, wrong=wrong + 1)
    assert limit(posterior, more) <= limit(posterior, less)
    assert share(posterior, more) >= share(posterior, less)
