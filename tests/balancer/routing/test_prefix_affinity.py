from __future__ import annotations

from collections import Counter

import pytest

from balancer.pool.ledger import Lease
from balancer.pool.load import Load
from balancer.routing.alike import ALIKE, ALIKE_S
from balancer.routing.need import BYTES_A_TOKEN, RouteNeed
from balancer.routing.policy import FEW
from balancer.routing.prefix_index import TOKENS_A_BLOCK
from tests.balancer.routing.pools import Pool

SIZES = [4, FEW + 4]


def a_pool(size: int) -> Pool:
    pool = Pool("prefix-affinity")
    pool.add_many(size, slots=1000)
    return pool


def chat(number: int, blocks: int, shared: int = 0) -> RouteNeed:
    """A prompt of so many blocks, of which the first are everybody's."""
    chain = [*range(shared), *(1000 * (number + 1) + at for at in range(shared, blocks))]
    return RouteNeed("m", "chat", blocks * TOKENS_A_BLOCK * BYTES_A_TOKEN, blocks=chain)


@pytest.mark.parametrize("size", SIZES)
def test_a_chat_that_grows_stays_where_it_began(size: int) -> None:
    pool = a_pool(size)
    first = {number: pool.choose(chat(number, 20)) for number in range(3 * size)}
    for turn in range(1, 5):
        for number, backend in first.items():
            assert pool.choose(chat(number, 20 + 5 * turn), float(turn)) == backend


@pytest.mark.parametrize("size", SIZES)
def test_a_chat_goes_on_where_its_answer_is_though_others_have_less_to_do(size: int) -> None:
    """Of what is known of it little is its own; another one that begins alike goes elsewhere."""
    pool = a_pool(size)
    for number in range(size):
        pool.choose(chat(number, 13, shared=12))
    home = pool.lease(chat(100, 14, shared=12)).spec.name
    pool.beat(home, Load(prefill_tokens_waiting=900, slots=1000))
    assert pool.choose(chat(100, 18, shared=12)) == home
    assert pool.choose(chat(101, 18, shared=12)) != home


@pytest.mark.parametrize("size", SIZES)
def test_new_chats_are_spread(size: int) -> None:
    pool = a_pool(size)
    given = Counter(pool.choose(chat(number, 20)) for number in range(5 * size))
    assert set(given.values()) == {5}


@pytest.mark.parametrize("size", SIZES)
def test_what_all_have_in_common_draws_nobody_to_one(size: int) -> None:
    pool = a_pool(size)
    given = Counter(pool.lease(chat(number, 40, shared=4)).spec.name for number in range(5 * size))
    assert max(given.values()) <= 7


@pytest.mark.parametrize("size", SIZES)
def test_a_backend_that_is_far_behind_is_left_and_the_next_one_then_holds_the_prefix_too(size: int) -> None:
    pool = a_pool(size)
    need = chat(0, 40)
    home = pool.choose(need)
    held: list[Lease] = []
    while not held or held[-1].spec.name == home:
        held.append(pool.lease(need))
        assert len(held) < 100
    assert len(held) > 5
    second = held[-1].spec.name
    for lease in held:
        pool.first_token(lease, 1.0)
        pool.end(lease, 1.0)
    assert pool.choose(need, 2.0) in (home, second)


@pytest.mark.parametrize("size", SIZES)
def test_who_is_far_behind_is_left_also_when_what_was_given_is_told_in_another_unit(size: int) -> None:
    """That unit changes every twenty minutes; what was looked up in the old one holds no more."""
    pool, need, now = a_pool(size), chat(0, 40), 1200.0
    home = pool.choose(need, now)
    for number in range(1, 4 * size):
        pool.choose(chat(number, 40), now)
    held = [pool.lease(need, now + 0.01)]
    now += 0.2  # within the time that the least costs are kept, and past the change
    while held[-1].spec.name == home:
        held.append(pool.lease(need, now))
        assert len(held) < 100


@pytest.mark.parametrize("size", SIZES)
def test_prompts_without_blocks_go_where_the_work_is_least(size: int) -> None:
    pool = a_pool(size)
    pool.lease(RouteNeed("m", "chat", 400_000))
    assert "b0" not in {pool.lease(RouteNeed("m", "chat", 400)).spec.name for _ in range(2 * size)}


@pytest.mark.parametrize("size", SIZES)
def test_a_cache_ends_with_its_process(size: int) -> None:
    pool = a_pool(size)
    home = pool.choose(chat(0, 20))
    pool.remove(home)
    second = pool.choose(chat(0, 20))
    assert second != home
    pool.add(home, slots=1000, instance="another", port=999)
    assert pool.choose(chat(0, 25)) == second


def test_what_was_in_the_cache_is_no_work() -> None:
    pool = a_pool(2)
    home = pool.choose(chat(0, 100))
    held = pool.lease(chat(0, 100))
    assert held.spec.name == home
    given = Counter(pool.lease(chat(number, 10)).spec.name for number in range(1, 21))
    assert given[home] == pytest.approx(10, abs=1)


@pytest.mark.parametrize("size", SIZES)
def test_the_least_cost_is_chosen_however_many_there_are(size: int) -> None:
    pool = a_pool(size)
    for step in range(8 * size):
        need = chat(step % 20, 4 + step // 20, shared=2)
        costs = [part["cost"] for part in pool.parts(need, float(step))]
        lease = pool.lease(need, float(step))
        assert costs[lease.index] <= min(costs) + min(ALIKE * min(costs), ALIKE_S) + 1e-9
        pool.first_token(lease, step + 0.1)
        if step % 3:
            pool.end(lease, step + 0.2)
