from __future__ import annotations

from balancer.routing.adaptive import BARREN, SAMPLED
from balancer.routing.need import RouteNeed
from tests.balancer.routing.pools import Pool


def a_pool() -> Pool:
    pool = Pool("adaptive")
    pool.add_many(4, slots=1000)
    return pool


def asked(pool: Pool, number: int, *, blocks: int = 16, shared: int = 0) -> str:
    """A prompt of so many blocks, hashed only if the policy wants it."""
    chain = [*range(shared), *(1000 * (number + 1) + at for at in range(shared, blocks))]
    wants = pool.router.wants_blocks
    return pool.choose(RouteNeed("m", "chat", 256 * blocks, blocks=chain if wants else ()), 0.1 * number)


def test_a_conversation_stays_where_it_began() -> None:
    pool = a_pool()
    home = asked(pool, 0, blocks=64)
    assert {asked(pool, 0, blocks=64 + turn) for turn in range(5)} == {home}


def test_without_shared_beginnings_it_is_least_tokens() -> None:
    adaptive, plain = a_pool(), Pool("least-tokens")
    plain.add_many(4, slots=1000)
    for number in range(50):
        need = RouteNeed("m", "chat", 997 * (number % 13), blocks=range(100 * number, 100 * number + 5))
        assert adaptive.lease(need).index == plain.lease(need).index


def test_where_nothing_is_shared_few_prompts_are_hashed_until_one_is() -> None:
    pool = a_pool()
    wanted = 0
    for number in range(BARREN + 20 * SAMPLED):
        wanted += pool.router.wants_blocks
        asked(pool, number)
    assert wanted == BARREN + 20
    number = BARREN + 20 * SAMPLED
    while not pool.router.wants_blocks:
        asked(pool, number, shared=8)
        number += 1
    for _ in range(2 * SAMPLED):
        asked(pool, number, shared=8)
        number += 1
    assert all(pool.router.wants_blocks for _ in range(3) if asked(pool, number, shared=8))
