"""What must happen when backends fail or become slow: the real router, ledger and breaker in virtual time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable

import pytest

from balancer.pool.ledger import Lease
from balancer.routing.policies import POLICIES
from tests.balancer.pool.specs import READY
from tests.balancer.routing.pools import BY_CHANCE, Pool

HEALTHY_S = 0.1 + 20 * 0.02
"""A tenth to the first token, twenty tokens in twenty milliseconds each."""
EJECTING = sorted(POLICIES.keys() - {"least-latency"})
"""With the others who fails is ejected; `least-latency` turns away from it before."""


class World:
    """Four backends of 16 slots, twenty requests a second, beats and ticks; each backend so many times too slow.

    A factor of 0 is a zombie: it beats, and every request to it fails at once.
    """

    def __init__(self, policy: str, slowness: Callable[[str, float], float]) -> None:
        self.pool = Pool(policy)
        self.pool.add_many(4, slots=16)
        self.slowness = slowness
        self.now = 0.0
        self.asked: list[tuple[float, str]] = []
        self.latencies: list[tuple[float, float]] = []
        self.trials = 0

    def run(self, seconds: float) -> None:
        ending: list[tuple[float, int, Lease, float]] = []
        for tick in range(int(seconds * 20)):
            self.now = tick / 20
            while ending and ending[0][0] <= self.now:
                self.end(*heapq.heappop(ending))
            if tick % 5 == 0:
                for lease_id in self.pool.lease_ids.values():
                    self.pool.registry.beat(lease_id, tick + 2, READY, self.now)
                self.pool.registry.advance(self.now)
            lease = self.pool.lease(now=self.now)
            self.asked.append((self.now, lease.spec.name))
            self.trials += lease.is_trial
            slow = self.slowness(lease.spec.name, self.now)
            heapq.heappush(ending, (self.now + slow * HEALTHY_S, tick, lease, slow))

    def end(self, at: float, tick: int, lease: Lease, slow: float) -> None:
        breaker, router, ledger = self.pool.registry.breaker, self.pool.router, self.pool.ledger
        with lease:
            if slow:
                router.first_token(lease, ledger, tick / 20 + 0.1 * slow)
                breaker.succeeded(lease, at, ttft_s=0.1 * slow, prompt_tokens=1000, itl_s=0.02 * slow)
                self.latencies.append((tick / 20, at - tick / 20))
            else:
                breaker.failed(lease, at)
                router.failed(lease, ledger, at)
            router.ended(lease, ledger, at)

    def shares(self, begin: float, end: float) -> Counter[str]:
        return Counter(name for at, name in self.asked if begin <= at < end)

    def p95(self, begin: float, end: float) -> float:
        latencies = sorted(taken for at, taken in self.latencies if begin <= at < end)
        return latencies[int(0.95 * len(latencies))]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_zombie_that_beats_is_left_alone_after_five_requests(policy: str) -> None:
    world = World(policy, lambda name, now: 0.0 if name == "b2" else 1.0)
    world.run(29.0)
    assert world.shares(0.0, 29.0)["b2"] == (1 if policy == "least-latency" else 5)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_the_share_of_a_backend_ten_times_slower_falls_and_the_pool_stays_fast(policy: str) -> None:
    world = World(policy, lambda name, now: 10.0 if name == "b2" else 1.0)
    world.run(200.0)
    early, late = world.shares(0.0, 10.0), world.shares(40.0, 200.0)
    assert early["b2"] <= 50
    assert late["b2"] < 0.05 * late.total()
    assert world.p95(40.0, 200.0) < 2 * HEALTHY_S


@pytest.mark.parametrize("policy", EJECTING)
def test_one_that_recovers_gets_one_trial_and_then_a_growing_share(policy: str) -> None:
    world = World(policy, lambda name, now: 0.0 if name == "b2" and now < 10.0 else 1.0)
    world.run(120.0)
    assert world.trials == 1
    back = min(at for at, name in world.asked if name == "b2" and at > 10.0)
    assert 30.0 <= back < 35.0
    shares = [world.shares(begin, begin + 5.0)["b2"] for begin in (back + 1.0, back + 26.0, back + 40.0)]
    assert shares[0] <= 10
    assert shares[0] <= shares[1] <= shares[2]
    assert shares[2] == pytest.approx(25, abs=15 if policy in BY_CHANCE else 2)


@pytest.mark.parametrize("policy", EJECTING)
def test_when_three_of_four_fail_all_are_asked_again_but_none_that_drains(policy: str) -> None:
    world = World(policy, lambda name, now: 1.0 if name == "b0" else 0.0)
    world.run(3.0)
    world.pool.registry.drain("b1", 3.0)
    world.asked.clear()
    asked = Counter(world.pool.lease(now=3.0).spec.name for _ in range(12))
    assert set(asked) == {"b0", "b2", "b3"}


def test_least_latency_asks_one_that_fails_again_when_its_failure_is_outlived() -> None:
    world = World("least-latency", lambda name, now: 0.0 if name == "b2" and now < 10.0 else 1.0)
    world.run(120.0)
    assert world.shares(1.0, 20.0)["b2"] == 0
    assert world.shares(90.0, 120.0)["b2"] > 50
