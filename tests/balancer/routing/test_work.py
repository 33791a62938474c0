from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.pool.ledger import Lease
from balancer.pool.load import Load
from balancer.routing.policy import FEW
from balancer.routing.work import (
    FIRST_GUESS_TOKENS_PER_S,
    HELD_UP_PRICE,
    MISS_PRICE,
    PRESSURE_S,
    RUNNING_TOKENS,
    Work,
)
from tests.balancer.routing.pools import Pool


class Desk:
    """The work of a pool, its beats and leases told by name."""

    def __init__(self, backends: int = 1) -> None:
        self.pool = Pool("round-robin")
        self.pool.add_many(backends, slots=1000)
        self.work = Work(self.pool.ledger)
        self.work.follow(self.pool.registry.view, self.pool.ledger)

    def lease(self, tokens: float, now: float = 0.0, index: int = 0) -> Lease:
        lease = self.pool.ledger.lease(index)
        self.work.leased(lease, tokens, now)
        return lease

    def answers(self, lease: Lease, now: float = 0.0) -> None:
        self.work.first_token(lease, now)

    def end(self, lease: Lease) -> None:
        self.work.ended(lease)
        lease.release()

    def beat(self, tokens: int = 0, **load: Any) -> None:
        self.pool.ledger.record(0, Load(prefill_tokens_waiting=tokens, slots=1000, **load))
        self.work.beat(0, self.pool.ledger)

    @property
    def pending(self) -> float:
        self.work.settle(self.pool.ledger)
        return self.work.pending[0]

    @property
    def rate(self) -> float:
        return self.rate_of(0)

    @property
    def wait_s(self) -> float:
        self.work.settle(self.pool.ledger)
        return self.work.wait_s[0]

    def rate_of(self, index: int) -> float:
        self.work.settle(self.pool.ledger)
        return 1.0 / self.work.s_per_token[index]


def test_what_was_leased_since_the_beat_counts_at_once() -> None:
    desk = Desk()
    desk.beat(500)
    desk.lease(100)
    desk.lease(200)
    assert desk.pending == 800


def test_a_beat_takes_the_place_of_what_was_known() -> None:
    desk = Desk()
    desk.beat(1)
    desk.lease(100)
    desk.beat(90)
    assert desk.pending == 90


def test_a_first_token_takes_its_prompt_away_once_from_whichever_sum_holds_it() -> None:
    desk = Desk()
    desk.beat(1)
    before = desk.lease(100)
    desk.beat(120)
    since = desk.lease(50)
    desk.answers(before, 1.0)
    assert desk.pending == 70
    desk.answers(since, 1.0)
    assert desk.pending == 20
    desk.end(before)
    desk.end(since)
    assert desk.pending == 20


def test_an_engine_whose_cache_spared_it_work_owes_no_less_than_nothing() -> None:
    desk = Desk()
    lease = desk.lease(1000)
    desk.beat(10)
    desk.answers(lease, 1.0)
    assert desk.pending == 0
    desk.lease(40)
    assert desk.pending == 40


def test_who_reports_nothing_is_known_by_what_we_gave_it() -> None:
    desk = Desk()
    first, second = desk.lease(100), desk.lease(200)
    desk.beat(0)
    desk.beat(0)
    assert desk.pending == 300
    desk.answers(first, 1.0)
    desk.end(second)
    assert desk.pending == 0


def test_the_speed_is_learned_from_the_time_to_the_first_token() -> None:
    desk = Desk()
    assert desk.rate == FIRST_GUESS_TOKENS_PER_S
    for step in range(60):
        desk.answers(desk.lease(2000 - RUNNING_TOKENS, float(step)), step + 1.0)
    assert desk.rate == pytest.approx(2000, rel=0.05)


def test_those_who_waited_for_others_do_not_make_a_backend_look_slow() -> None:
    desk = Desk()
    for step in range(0, 100, 10):
        first, second = (desk.lease(4000, float(step)) for _ in range(2))
        desk.answers(first, step + 0.5)
        desk.answers(second, step + 1.0)
    assert desk.rate == pytest.approx(8000, rel=0.1)


def test_newcomers_are_as_fast_as_the_others_until_they_are_known() -> None:
    desk = Desk()
    for step in range(300):
        desk.answers(desk.lease(1000 - RUNNING_TOKENS, float(step)), step + 1.0)
    desk.pool.add("new", slots=1000)
    desk.work.follow(desk.pool.registry.view, desk.pool.ledger)
    assert desk.rate_of(1) == pytest.approx(1000, rel=0.1)


def test_of_a_new_process_nothing_is_known_and_old_leases_change_nothing() -> None:
    desk = Desk()
    old = desk.lease(700)
    desk.beat(300)
    desk.pool.add("b0", instance="another", slots=1000, port=1)
    desk.work.follow(desk.pool.registry.view, desk.pool.ledger)
    assert desk.pending == 0
    desk.lease(40)
    desk.answers(old, 5.0)
    desk.end(old)
    assert desk.pending == 40
    assert desk.rate == pytest.approx(FIRST_GUESS_TOKENS_PER_S)


def test_a_lease_of_one_that_had_left_before_ends_without_a_trace() -> None:
    """A policy that a reload puts in place hears of the end of leases that it did not give."""
    pool = Pool("round-robin")
    pool.add_many(2, slots=1000)
    leases = [pool.lease() for _ in range(2)]
    gone = next(lease for lease in leases if lease.spec.name == "b0")
    pool.remove("b0")
    work = Work(pool.ledger)
    work.follow(pool.registry.view, pool.ledger)
    work.ended(gone)
    work.settle(pool.ledger)
    assert work.pending[gone.index] == 0


def test_the_wait_is_the_work_those_under_way_and_itself_over_the_speed_and_the_price_of_memory() -> None:
    desk = Desk()
    lease = desk.lease(8000)
    desk.answers(lease, 0.0)
    assert desk.wait_s == pytest.approx(2 * RUNNING_TOKENS / 8000)
    desk.beat(4000, kv_tokens_used=500, kv_tokens_total=1000)
    assert desk.wait_s == pytest.approx((4000 + 2 * RUNNING_TOKENS) / 8000 + PRESSURE_S)
    desk.beat(4000, kv_tokens_used=750, kv_tokens_total=1000)
    assert desk.wait_s == pytest.approx((4000 + 2 * RUNNING_TOKENS) / 8000 + 3 * PRESSURE_S)
    desk.end(lease)
    assert desk.wait_s == pytest.approx((4000 + RUNNING_TOKENS) / 8000 + 3 * PRESSURE_S)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_when_all_is_over_and_told_nothing_is_left(seed: int, reports: bool) -> None:
    rng = random.Random(seed)
    desk = Desk()
    leases: list[Lease] = []
    for step in range(200):
        drawn = rng.random()
        if drawn < 0.4:
            leases.append(desk.lease(rng.randrange(1000), float(step)))
        elif drawn < 0.6 and leases:
            desk.answers(rng.choice(leases), float(step))
        elif drawn < 0.9 and leases:
            desk.end(leases.pop(rng.randrange(len(leases))))
        else:
            desk.beat(rng.randrange(5000) if reports else 0)
        assert desk.pending >= 0.0
    for lease in leases:
        desk.end(lease)
    desk.beat(0)
    assert desk.pending == 0.0


def test_to_compute_something_costs_more_where_others_are_under_way() -> None:
    desk = Desk()
    desk.work.settle(desk.pool.ledger)
    assert desk.work.miss_s[0] == pytest.approx(MISS_PRICE / 8000)
    lease = desk.lease(0)
    desk.work.settle(desk.pool.ledger)
    assert desk.work.miss_s[0] == pytest.approx((MISS_PRICE + HELD_UP_PRICE) / 8000)
    assert desk.work.token_s[0] == pytest.approx(MISS_PRICE / 8000)
    desk.end(lease)
    desk.work.settle(desk.pool.ledger)
    assert desk.work.miss_s[0] == pytest.approx(MISS_PRICE / 8000)


def test_numpy_sees_the_same_where_there_are_many() -> None:
    desk = Desk(FEW)
    desk.lease(500, index=1)
    desk.work.settle(desk.pool.ledger)
    desk.pool.add("one more", slots=1000)
    desk.work.follow(desk.pool.registry.view, desk.pool.ledger)
    desk.lease(700, index=FEW)
    work = desk.work
    work.settle(desk.pool.ledger)
    for plain, seen in (
        (work.wait_s, work.wait_s_np),
        (work.hit_wait_s, work.hit_wait_s_np),
        (work.s_per_token, work.s_per_token_np),
        (work.token_s, work.token_s_np),
        (work.miss_s, work.miss_s_np),
    ):
        assert plain[: FEW + 1] == list(seen[: FEW + 1])
