from __future__ import annotations

from collections import Counter

import pytest

from balancer.routing.policy import FEW
from tests.balancer.routing.pools import Pool


@pytest.mark.parametrize("size", [2, FEW + 2])
def test_load_is_not_looked_at(size: int) -> None:
    pool = Pool("random")
    pool.add_many(size, slots=1000)
    for _ in range(900):
        pool.ledger.lease(0)
    given = Counter(pool.choose() for _ in range(100 * size))
    assert given["b0"] == pytest.approx(100, abs=30)


def test_the_same_seed_chooses_the_same() -> None:
    orders = []
    for _ in range(2):
        pool = Pool("random", seed=5)
        pool.add_many(5)
        orders.append([pool.choose() for _ in range(50)])
    assert orders[0] == orders[1]
    assert len(set(orders[0])) == 5
