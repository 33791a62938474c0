from __future__ import annotations

from collections import Counter

import pytest

from balancer.pool.load import Load
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed
from balancer.routing.policy import FEW
from tests.balancer.routing.pools import Pool


def tokens(count: int) -> RouteNeed:
    return RouteNeed("m", "chat", count * BYTES_A_TOKEN)


def a_pool(size: int) -> Pool:
    pool = Pool("least-tokens")
    pool.add_many(size, slots=1000)
    return pool


@pytest.mark.parametrize("size", [2, FEW + 2])
def test_a_long_prompt_counts_for_as_much_as_it_is(size: int) -> None:
    pool = a_pool(size)
    pool.lease(tokens(100_000))
    given = Counter(pool.lease(tokens(100)).spec.name for _ in range(10 * (size - 1)))
    assert "b0" not in given
    assert set(given.values()) == {10}


@pytest.mark.parametrize("size", [3, FEW + 3])
def test_between_two_beats_nobody_is_run_over(size: int) -> None:
    """All report nothing to do a moment ago: what is given since counts."""
    pool = a_pool(size)
    pool.choose()
    for number in range(size):
        pool.beat(f"b{number}", Load(prefill_tokens_waiting=1, slots=1000))
    given = Counter(pool.lease(tokens(500)).spec.name for _ in range(4 * size))
    assert set(given.values()) == {4}


@pytest.mark.parametrize("size", [3, FEW + 3])
def test_work_that_others_gave_is_seen_in_the_beats(size: int) -> None:
    pool = a_pool(size)
    pool.choose()
    pool.beat("b1", Load(prefill_tokens_waiting=50_000, slots=1000))
    assert "b1" not in {pool.lease(tokens(100)).spec.name for _ in range(5 * size)}


@pytest.mark.parametrize("size", [3, FEW + 3])
def test_full_memory_is_avoided(size: int) -> None:
    pool = a_pool(size)
    pool.choose()
    pool.beat("b1", Load(kv_tokens_used=90, kv_tokens_total=100, slots=1000))
    assert "b1" not in {pool.lease(tokens(100)).spec.name for _ in range(5 * size)}


def test_a_backend_three_times_slower_gets_a_third_of_the_others_without_being_told() -> None:
    pool = a_pool(3)
    given: Counter[str] = Counter()
    for step in range(600):
        now = float(step)
        leases = [pool.lease(tokens(2000), now) for _ in range(7)]
        given.update(lease.spec.name for lease in leases)
        done: Counter[str] = Counter()
        for lease in leases:
            done[lease.spec.name] += 3 if lease.spec.name == "b0" else 1
            pool.first_token(lease, now + 0.1 * done[lease.spec.name])
            pool.end(lease, now + 0.9)
    assert given["b1"] == pytest.approx(given["b2"], rel=0.1)
    assert given["b0"] == pytest.approx(given["b1"] / 3, rel=0.25)


def test_one_that_is_eased_in_gets_less() -> None:
    pool = a_pool(3)
    pool.ledger.set_share(0, 0.1)
    given = Counter(pool.lease(tokens(1000)).spec.name for _ in range(210))
    assert given["b0"] == pytest.approx(10, abs=2)
