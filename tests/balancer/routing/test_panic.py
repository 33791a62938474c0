from __future__ import annotations

import pytest

from balancer.pool.ledger import ON_TRIAL, SHUT
from balancer.routing.need import RouteNeed
from balancer.routing.panic import is_panic, only_ejected
from balancer.routing.policy import FEW
from tests.balancer.routing.pools import CHAT, Pool


def panics(pool: Pool) -> bool:
    return is_panic(pool.registry.view.group("m", "chat"), pool.ledger)


@pytest.mark.parametrize(("size", "half"), [(1, 0), (2, 1), (3, 1), (4, 2), (2 * FEW, FEW)])
def test_a_panic_is_more_than_half_ejected_or_on_trial(size: int, half: int) -> None:
    pool = Pool("round-robin")
    pool.add_many(size)
    for index in range(half):
        pool.ledger.set_gate(index, SHUT, 130.0)
    assert not panics(pool)
    pool.ledger.set_gate(half, ON_TRIAL)
    assert panics(pool)


def test_only_those_count_who_could_serve_the_model() -> None:
    pool = Pool("round-robin")
    pool.add_many(3)
    pool.add("other", model="n")
    pool.ledger.set_gate(0, SHUT, 130.0)
    pool.ledger.set_gate(3, SHUT, 130.0)
    assert not panics(pool)
    pool.registry.drain("b1", 0.0)
    assert not panics(pool)
    pool.registry.drain("b2", 0.0)
    assert panics(pool)


def test_the_share_is_the_operators() -> None:
    pool = Pool("round-robin")
    pool.add_many(4)
    pool.ledger.panic_share = 0.2
    pool.ledger.set_gate(0, SHUT, 130.0)
    assert panics(pool)


def test_a_request_may_have_nobody_left_but_the_ejected() -> None:
    pool = Pool("round-robin")
    pool.add("small", max_prompt_bytes=10)
    pool.add("large")
    group = pool.registry.view.group("m", "chat")
    long = RouteNeed("m", "chat", 11)
    assert not only_ejected(group, pool.ledger, long)
    pool.ledger.set_gate(1, SHUT, 130.0)
    assert only_ejected(group, pool.ledger, long)
    assert not only_ejected(group, pool.ledger, CHAT)


def test_a_trial_is_worth_waiting_for() -> None:
    pool = Pool("round-robin")
    pool.add("a")
    group = pool.registry.view.group("m", "chat")
    pool.ledger.set_gate(0, ON_TRIAL)
    assert not only_ejected(group, pool.ledger, CHAT)
    pool.ledger.lease(0)
    assert not only_ejected(group, pool.ledger, CHAT)
