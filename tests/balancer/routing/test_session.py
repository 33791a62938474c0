from __future__ import annotations

from collections import Counter

import pytest

from balancer.routing.need import RouteNeed
from balancer.routing.policy import FEW
from balancer.routing.session import BOUND, number_of
from tests.balancer.routing.pools import Pool

SIZES = [5, FEW + 5]


def of(session: int) -> RouteNeed:
    return RouteNeed("m", "chat", session=f"user-{session}")


def a_pool(size: int) -> Pool:
    pool = Pool("session")
    pool.add_many(size, slots=1000)
    return pool


@pytest.mark.parametrize("size", SIZES)
def test_a_session_stays(size: int) -> None:
    pool = a_pool(size)
    for session in range(50):
        assert len({pool.choose(of(session)) for _ in range(5)}) == 1


@pytest.mark.parametrize("size", SIZES)
def test_sessions_are_spread_by_weight(size: int) -> None:
    pool = a_pool(size)
    pool.add("large", weight=3.0, slots=1000)
    given = Counter(pool.choose(of(session)) for session in range(300 * (size + 3)))
    assert given.pop("large") == pytest.approx(900, rel=0.2)
    assert min(given.values()) > 200 and max(given.values()) < 400


@pytest.mark.parametrize("size", SIZES)
def test_when_one_leaves_only_its_own_sessions_move_and_they_come_back(size: int) -> None:
    pool = a_pool(size)
    before = [pool.choose(of(session)) for session in range(200)]
    pool.remove("b2")
    after = [pool.choose(of(session)) for session in range(200)]
    assert all(now == then for then, now in zip(before, after, strict=True) if then != "b2")
    assert len({now for then, now in zip(before, after, strict=True) if then == "b2"}) > 1
    pool.add("b2", slots=1000, port=999)
    assert [pool.choose(of(session)) for session in range(200)] == before


@pytest.mark.parametrize("size", SIZES)
def test_one_busy_session_drowns_nobody(size: int) -> None:
    pool = a_pool(size)
    for _ in range(40 * size):
        pool.lease(of(1))
        loads = [pool.ledger.in_flight[index] for index in range(size)]
        assert max(loads) <= BOUND * sum(loads) / size + 1


def test_two_balancers_agree() -> None:
    one, other = a_pool(5), Pool("session", seed=9)
    other.add("elsewhere", model="n")
    other.add_many(5, slots=1000)
    for session in range(50):
        assert one.choose(of(session)) == other.choose(of(session))


def test_without_a_key_the_emptiest_is_chosen() -> None:
    pool = a_pool(3)
    assert Counter(pool.lease().spec.name for _ in range(9)) == {"b0": 3, "b1": 3, "b2": 3}


def test_a_number_is_the_same_everywhere() -> None:
    assert number_of("user-1") == 9863422088627006618
    assert number_of("\ud800") != number_of("")
