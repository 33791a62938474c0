from __future__ import annotations

from balancer import errors
from balancer.exchange.recovery import (
    ATTEMPTS_MAX,
    BUSY_AVOID_MAX_S,
    BUSY_AVOID_MIN_S,
    LOSSES_MAX,
    RESUMES_MAX,
    Recovery,
    avoid_s,
)

FAILED = errors.backend_failed("a", "status 500")
LOST = errors.backend_lost("a")


class Budget:
    """So many retries."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self) -> bool:
        self.left -= 1
        return self.left >= 0


def test_a_failure_is_worth_three_attempts_within_the_budget() -> None:
    recovery, budget = Recovery(), Budget(9)
    allowed = [recovery.may_retry(FAILED, attempts, budget) for attempts in (1, 2, 3)]
    assert allowed == [True] * (ATTEMPTS_MAX - 1) + [False]
    assert budget.left == 9 - (ATTEMPTS_MAX - 1)
    assert not Recovery().may_retry(FAILED, 1, Budget(0))


def test_moving_away_from_a_dead_backend_costs_neither_budget_nor_attempt() -> None:
    recovery, budget = Recovery(), Budget(2)
    assert [recovery.may_retry(LOST, n, budget) for n in (1, 2, 3)] == [True] * 3
    assert budget.left == 2
    assert [recovery.may_retry(FAILED, n, budget) for n in (4, 5, 6)] == [True, True, False]


def test_nor_is_it_done_for_ever() -> None:
    recovery = Recovery()
    allowed = [recovery.may_retry(LOST, n + 1, Budget(0)) for n in range(LOSSES_MAX + 1)]
    assert allowed == [True] * LOSSES_MAX + [False]


def test_what_another_backend_would_refuse_too_is_not_asked_again() -> None:
    assert not Recovery().may_retry(errors.rejected("no", None, 400), 1, Budget(1))


def test_an_answer_is_gone_on_with_eight_times() -> None:
    recovery = Recovery()
    assert [recovery.may_resume() for _ in range(RESUMES_MAX + 1)] == [True] * RESUMES_MAX + [False]


def test_a_busy_backend_is_left_alone_for_what_it_says_within_bounds() -> None:
    said = {told: avoid_s(errors.backend_busy("a", told)) for told in (0.0, 0.01, 0.3, 60.0)}
    assert said == {0.0: BUSY_AVOID_MAX_S, 0.01: BUSY_AVOID_MIN_S, 0.3: 0.3, 60.0: BUSY_AVOID_MAX_S}
