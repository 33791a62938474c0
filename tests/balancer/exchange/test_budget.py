from __future__ import annotations

import random

from balancer.exchange.budget import ALWAYS, SHARE, WINDOW_S, RetryBudget


def test_a_few_retries_are_always_allowed() -> None:
    budget = RetryBudget()
    assert [budget.spend(active=1) for _ in range(5)] == [True, True, True, False, False]


def test_a_fifth_of_the_requests_may_be_tried_again() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.asked()
    assert sum(budget.spend(active=0) for _ in range(100)) == 20


def test_requests_under_way_count_however_long_ago_they_began() -> None:
    budget = RetryBudget()
    assert sum(budget.spend(active=50) for _ in range(50)) == 10


def test_what_is_older_than_the_window_is_forgotten() -> None:
    budget = RetryBudget()
    for _ in range(3):
        budget.asked()
        assert budget.spend(active=0)
    budget.advance(100.0)
    assert not budget.spend(active=0)
    budget.advance(100.0 + WINDOW_S)
    assert budget.spend(active=0)


def test_in_any_ten_seconds_there_are_never_more_retries_than_the_share_allows() -> None:
    rng, budget = random.Random(5), RetryBudget()
    log: list[tuple[float, bool]] = []
    for step in range(2000):
        now = step * 0.25
        for _ in range(rng.randrange(6)):
            budget.asked()
            log.append((now, False))
            if rng.random() < 0.8 and budget.spend(active=0):
                log.append((now, True))
        budget.advance(now)
        retried = sum(is_retry for at, is_retry in log if at > now - WINDOW_S)
        # When the last of them was spent, what counted had been asked within the window before it.
        asked = sum(not is_retry for at, is_retry in log if at > now - 2 * WINDOW_S)
        assert retried <= max(ALWAYS, SHARE * asked) + 1
