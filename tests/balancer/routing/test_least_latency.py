from __future__ import annotations

from collections import Counter

import pytest

from balancer.routing.least_latency import DECAY_S, FAILED_S
from balancer.routing.policy import FEW
from tests.balancer.routing.pools import Pool


def a_pool(size: int) -> Pool:
    pool = Pool("least-latency")
    pool.add_many(size, slots=1000)
    return pool


def answered(pool: Pool, seconds: dict[str, float], now: float) -> str:
    """Whom a request went to that got its first token after so long, 0.1 s where nothing is said."""
    lease = pool.lease(now=now)
    pool.first_token(lease, now + seconds.get(lease.spec.name, 0.1))
    pool.end(lease, now + 1.0)
    return lease.spec.name


@pytest.mark.parametrize("size", [2, 6, FEW + 6])
def test_who_answers_ten_times_later_is_hardly_asked(size: int) -> None:
    pool = a_pool(size)
    slow = {"b1": 1.0}
    for step in range(20 * size):
        answered(pool, slow, 0.01 * step)
    given = Counter(answered(pool, slow, 1.0 + 0.01 * step) for step in range(20 * size))
    assert given["b1"] <= 2


def test_a_slow_answer_counts_at_once_and_is_outlived_in_time() -> None:
    pool = a_pool(2)
    for step in range(20):
        answered(pool, {}, 0.1 * step)
    while answered(pool, {"b1": 5.0}, 10.0) != "b1":
        pass
    assert "b1" not in {answered(pool, {}, 15.0) for _ in range(20)}
    later = 15.0 + 6 * DECAY_S
    for step in range(60):
        answered(pool, {}, later - 6.0 + 0.1 * step)
    assert {answered(pool, {}, later + step) for step in range(5)} == {"b0", "b1"}


def test_leases_count_beside_the_time() -> None:
    pool = a_pool(2)
    for step in range(40):
        answered(pool, {}, 0.1 * step)
    held = Counter(pool.lease(now=5.0).spec.name for _ in range(40))
    assert held["b0"] == pytest.approx(20, abs=4)


def test_a_newcomer_is_tried() -> None:
    pool = a_pool(3)
    for step in range(30):
        answered(pool, {}, 0.1 * step)
    pool.add("new", slots=1000)
    assert "new" in {answered(pool, {}, 3.0 + 0.1 * step) for step in range(10)}


def test_a_new_process_does_not_inherit_the_time_of_the_old() -> None:
    pool = a_pool(2)
    for step in range(40):
        answered(pool, {"b1": 60.0}, 0.01 * step)
    pool.add("b1", instance="another", slots=1000, port=2)
    assert "b1" in {answered(pool, {}, 1.0 + 0.01 * step) for step in range(10)}


@pytest.mark.parametrize("size", [2, 6, FEW + 6])
def test_who_fails_at_once_does_not_look_quick(size: int) -> None:
    pool = a_pool(size)
    for step in range(20 * size):
        answered(pool, {}, 0.1 * step)
    now = 2.0 * size
    given: Counter[str] = Counter()
    for step in range(20 * size):
        lease = pool.lease(now=now + 0.01 * step)
        given[lease.spec.name] += 1
        if lease.spec.name == "b1":
            pool.router.failed(lease, pool.ledger, now + 0.01 * step + 0.001)
        else:
            pool.first_token(lease, now + 0.01 * step + 0.1)
        pool.end(lease, now + 1.0)
    assert given["b1"] <= 2


def test_what_fails_later_than_a_failure_counts_counts_for_as_long_as_it_took() -> None:
    pool = a_pool(1)
    lease = pool.lease(now=0.0)
    pool.router.failed(lease, pool.ledger, 3 * FAILED_S)
    pool.end(lease, 3 * FAILED_S)
    assert pool.parts(now=3 * FAILED_S)[0]["expected_ttft_s"] == pytest.approx(3 * FAILED_S)
