"""The contract that every policy keeps, over pools for both forms of candidates."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from balancer.pool.ledger import Lease
from balancer.routing.alike import ALIKE, ALIKE_S
from balancer.routing.need import RouteNeed
from balancer.routing.policy import FEW, Candidates
from balancer.routing.select import NoSlot
from tests.balancer.pool.specs import READY
from tests.balancer.routing.pools import BY_CHANCE, BY_COST, EVERY, Pool

SIZES = [1, 3, FEW, FEW + 1, 3 * FEW]
BY_TURNS = sorted(EVERY.keys() - {*BY_CHANCE, *BY_COST})


@pytest.fixture(params=sorted(EVERY))
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("size", SIZES)
def test_every_slot_can_be_leased_and_none_twice(policy: str, size: int) -> None:
    pool = Pool(policy)
    pool.add_many(size, slots=3)
    leases = [pool.lease() for _ in range(3 * size)]
    assert Counter(lease.index for lease in leases) == dict.fromkeys(range(size), 3)
    assert pool.route() == NoSlot(None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("turns", [*BY_TURNS, *BY_COST])
def test_equal_backends_get_equal_shares_to_one_request(turns: str, size: int) -> None:
    pool = Pool(turns)
    pool.add_many(size, slots=1000)
    given = Counter({f"b{number}": 0 for number in range(size)})
    for _ in range(5 * size + 2):
        given[pool.lease().spec.name] += 1
        assert max(given.values()) - min(given.values()) <= 1


@pytest.mark.parametrize("size", [4, 3 * FEW])
@pytest.mark.parametrize("turns", BY_TURNS)
def test_shares_follow_the_weights(turns: str, size: int) -> None:
    pool = Pool(turns)
    for number in range(size):
        pool.add(f"b{number}", slots=1000, weight=[0.5, 1.0, 1.5, 3.0][number % 4])
    given = Counter(pool.lease().spec.name for _ in range(12 * size))
    assert [given[f"b{number}"] for number in range(4)] == pytest.approx([4, 8, 12, 24], abs=1)


@pytest.mark.parametrize("size", [4, 3 * FEW])
@pytest.mark.parametrize("idle", [*BY_CHANCE, "round-robin"])
def test_shares_of_requests_that_end_at_once_follow_the_weights_in_the_long_run(idle: str, size: int) -> None:
    pool = Pool(idle)
    for number in range(size):
        pool.add(f"b{number}", weight=[0.5, 1.0, 1.5, 3.0][number % 4])
    given = Counter(int(pool.choose()[1:]) % 4 for _ in range(6000))
    assert [given[rest] for rest in range(4)] == pytest.approx([500, 1000, 1500, 3000], rel=0.15)


@pytest.mark.parametrize("size", [2, 3 * FEW])
def test_a_removed_backend_is_never_chosen(policy: str, size: int) -> None:
    pool = Pool(policy)
    pool.add_many(size, slots=1000)
    for _ in range(size + 1):
        pool.lease()
    pool.remove("b1")
    assert "b1" not in {pool.lease().spec.name for _ in range(3 * size)}


@pytest.mark.parametrize("size", [2, 3 * FEW])
def test_a_newcomer_is_chosen_without_being_flooded(policy: str, size: int) -> None:
    pool = Pool(policy)
    pool.add_many(size, slots=1000)
    for _ in range(10 * size):
        pool.choose()
    pool.add("new", slots=1000)
    given = Counter(pool.choose() for _ in range(20 * (size + 1)))
    spread = 10 if policy in BY_CHANCE else 1
    assert given["new"] == pytest.approx(20, abs=spread)


@pytest.mark.parametrize("size", [2, 3 * FEW])
def test_excluded_backends_are_not_chosen(policy: str, size: int) -> None:
    pool = Pool(policy)
    pool.add_many(size, slots=1000)
    without = RouteNeed("m", "chat", exclude=frozenset({"b0 b0-1", "nobody"}))
    assert "b0" not in {pool.choose(without) for _ in range(3 * size)}


@pytest.mark.parametrize("size", [3, 2 * FEW])
def test_ten_thousand_random_ends_leave_nothing_in_flight(policy: str, size: int) -> None:
    rng = random.Random(7)
    pool = Pool(policy)
    for number in range(size):
        pool.add(f"b{number}", slots=1 + number % 4, weight=1.0 + number % 3)
    open_leases: list[Lease] = []
    for step in range(10_000):
        if open_leases and rng.random() < 0.5:
            lease = open_leases.pop(rng.randrange(len(open_leases)))
            if rng.random() < 0.5:
                pool.first_token(lease, float(step))
            pool.end(lease, float(step))
            if rng.random() < 0.1:
                lease.release()
        else:
            need = RouteNeed("m", "chat", rng.randrange(1000), session=str(step % 5), blocks=range(step % 9))
            answer = pool.route(need, float(step))
            if isinstance(answer, Lease):
                open_leases.append(answer)
            else:
                assert pool.ledger.total_in_flight() == pool.ledger.slots_np.sum()
        if step % 500 == 250:
            name = f"b{rng.randrange(size)}"
            pool.add(name, slots=2, instance=f"{name}-{step}", port=1 + int(name[1:]))
        assert (pool.ledger.in_flight_np <= pool.ledger.slots_np).all()
    for lease in open_leases:
        lease.release()
    assert pool.ledger.total_in_flight() == 0
    assert (pool.ledger.in_flight_np == 0).all()


def test_a_policy_may_take_over_while_requests_of_another_run(policy: str) -> None:
    pool = Pool("least-connections")
    pool.add_many(3)
    running = [pool.lease() for _ in range(6)]
    pool.router.policy = EVERY[policy]()
    pool.first_token(running[0], 1.0)
    pool.end(running[0], 1.0)
    pool.beat("b1", READY, 1.0)
    assert pool.lease(now=1.0).current
    for lease in running[1:]:
        pool.first_token(lease, 2.0)
        pool.end(lease, 2.0)
    assert pool.ledger.total_in_flight() == 1
    assert pool.router.policy.name == policy


@pytest.mark.parametrize("size", [3, 2 * FEW])
def test_the_parts_of_a_score_explain_the_choice_and_change_nothing(policy: str, size: int) -> None:
    """Who is chosen has the least cost, or one that counts as equal; chance and turns are not explained."""
    told, untold = Pool(policy), Pool(policy)
    for pool in (told, untold):
        pool.add_many(size, slots=1000)
        pool.beat("b0", READY, 0.0)
    for step in range(4 * size):
        need = RouteNeed("m", "chat", 100 * (step % 7), session=str(step % 5), blocks=range(step % 9))
        parts = told.parts(need, float(step))
        assert len(parts) == size
        lease = told.lease(need, float(step))
        assert lease.index == untold.lease(need, float(step)).index
        if policy not in BY_CHANCE:
            least = min(part["cost"] for part in parts)
            assert parts[lease.index]["cost"] <= least + min(ALIKE * abs(least), ALIKE_S) + 1e-9


def test_a_policy_that_cannot_tell_explains_nothing() -> None:
    class First:
        name = "first"

        def choose(self, candidates: Candidates, *_: object) -> int:
            return int(candidates[0])

    pool = Pool("random")
    pool.add_many(2)
    pool.router.policy = First()
    assert pool.parts() == [{}, {}]
