from __future__ import annotations

from collections import Counter

import pytest

from balancer.routing.policy import FEW
from tests.balancer.routing.pools import Pool


@pytest.mark.parametrize("size", [2, 8, FEW + 8])
def test_the_fullest_is_never_chosen(size: int) -> None:
    pool = Pool("power-of-two")
    pool.add_many(size, slots=1000)
    for _ in range(10):
        pool.ledger.lease(1)
    assert "b1" not in {pool.choose() for _ in range(20 * size)}


def test_of_two_the_emptier_is_chosen() -> None:
    pool = Pool("power-of-two")
    pool.add_many(2, slots=1000)
    given = Counter(pool.lease().spec.name for _ in range(41))
    assert sorted(given.values()) == [20, 21]


def test_leases_are_counted_by_weight() -> None:
    pool = Pool("power-of-two")
    pool.add("large", weight=3, slots=1000)
    pool.add("small", weight=1, slots=1000)
    given = Counter(pool.lease().spec.name for _ in range(40))
    assert given["large"] == pytest.approx(30, abs=3)


def test_the_fullest_holds_hardly_more_than_the_mean_where_random_holds_far_more() -> None:
    size = 10 * FEW
    fullest = {}
    for policy in ("power-of-two", "random"):
        pool = Pool(policy)
        pool.add_many(size, slots=1000)
        fullest[policy] = max(Counter(pool.lease().spec.name for _ in range(20 * size)).values())
    assert fullest["power-of-two"] <= 23 < 28 < fullest["random"]


def test_one_that_is_eased_in_gets_its_part_of_requests_that_end_at_once() -> None:
    pool = Pool("power-of-two")
    pool.add_many(4, slots=1000)
    pool.ledger.set_share(2, 0.1)
    given = Counter(pool.choose() for _ in range(3100))
    assert given["b2"] == pytest.approx(100, abs=40)
