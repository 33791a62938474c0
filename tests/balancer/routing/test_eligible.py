from __future__ import annotations

import pytest

from balancer.pool.ledger import ON_TRIAL, SHUT
from balancer.pool.view import Tier
from balancer.routing.eligible import anyone_may, eligible, possible
from balancer.routing.need import RouteNeed
from balancer.routing.policy import FEW
from tests.balancer.routing.pools import CHAT, Pool

MANY = 2 * FEW


def a_pool(size: int) -> tuple[Pool, Tier]:
    """Backends b0, b1, ... of 2 slots, of which those with an odd number read prompts of up to 100 bytes."""
    pool = Pool("round-robin")
    for number in range(size):
        pool.add(f"b{number}", slots=2, max_prompt_bytes=100 if number % 2 else None)
    (tier,) = pool.registry.view.group("m", "chat").tiers
    return pool, tier


@pytest.mark.parametrize("size", [4, MANY])
def test_those_with_a_free_slot_are_eligible(size: int) -> None:
    pool, tier = a_pool(size)
    pool.ledger.lease(1)
    pool.ledger.lease(2)
    pool.ledger.lease(2)
    assert list(eligible(tier, pool.ledger, CHAT, 0.0)) == [i for i in range(size) if i != 2]


@pytest.mark.parametrize("size", [4, MANY])
def test_those_that_answered_busy_are_not_until_then(size: int) -> None:
    pool, tier = a_pool(size)
    pool.ledger.avoid(pool.ledger.lease(3), 105.0)
    assert list(eligible(tier, pool.ledger, CHAT, 104.9)) == [i for i in range(size) if i != 3]
    assert list(eligible(tier, pool.ledger, CHAT, 105.0)) == list(range(size))


@pytest.mark.parametrize("size", [4, MANY])
def test_those_that_are_shut_out_are_not_where_that_is_heeded(size: int) -> None:
    pool, tier = a_pool(size)
    pool.ledger.set_gate(1, SHUT, 130.0)
    pool.ledger.set_gate(2, ON_TRIAL)
    assert list(eligible(tier, pool.ledger, CHAT, 100.0, True)) == [i for i in range(size) if i != 1]
    assert list(eligible(tier, pool.ledger, CHAT, 100.0)) == list(range(size))


@pytest.mark.parametrize("size", [4, MANY])
def test_those_that_cannot_read_the_prompt_are_not(size: int) -> None:
    pool, tier = a_pool(size)
    assert list(eligible(tier, pool.ledger, RouteNeed("m", "chat", 100), 0.0)) == list(range(size))
    assert list(eligible(tier, pool.ledger, RouteNeed("m", "chat", 101), 0.0)) == list(range(0, size, 2))


@pytest.mark.parametrize("size", [4, MANY])
def test_those_excluded_are_not(size: int) -> None:
    pool, tier = a_pool(size)
    need = RouteNeed("m", "chat", exclude=frozenset({"b0 b0-1", "b2 b2-1", "gone"}))
    expected = [i for i in range(size) if i not in (0, 2)]
    assert list(eligible(tier, pool.ledger, need, 0.0)) == expected
    assert possible(tier, need) == expected


def test_few_are_a_list_and_many_an_array() -> None:
    pool, tier = a_pool(MANY)
    assert not isinstance(eligible(tier, pool.ledger, CHAT, 0.0), list)
    for index in range(MANY - FEW):
        pool.ledger.lease(index)
        pool.ledger.lease(index)
    found = eligible(tier, pool.ledger, CHAT, 0.0)
    assert found == list(range(MANY - FEW, MANY))


def test_nobody_is_an_empty_list() -> None:
    pool, tier = a_pool(1)
    need = RouteNeed("m", "chat", exclude=frozenset({"b0 b0-1"}))
    assert eligible(tier, pool.ledger, need, 0.0) == []


def test_full_backends_are_still_possible() -> None:
    pool, tier = a_pool(2)
    for _ in range(4):
        pool.lease()
    assert eligible(tier, pool.ledger, CHAT, 0.0) == []
    assert possible(tier, CHAT) == [0, 1]


def test_slots_alone_matter_where_nobody_is_limited_or_excluded() -> None:
    unlimited = Pool("round-robin")
    unlimited.add("a")
    (tier,) = unlimited.registry.view.group("m", "chat").tiers
    assert anyone_may(tier, CHAT)
    assert not anyone_may(tier, RouteNeed("m", "chat", exclude=frozenset({"b b-1"})))
    assert not anyone_may(a_pool(2)[1], CHAT)
