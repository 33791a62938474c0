"""What the breaker makes of backends that restart, die, come back, or stood still with this process."""

from __future__ import annotations

import pytest

from balancer.pool.breaker import BreakerStatus
from tests.balancer.pool.breaker_world import World
from tests.balancer.pool.specs import a_spec, join_alive


def test_a_new_process_starts_with_a_clean_slate() -> None:
    world = World()
    world.fail("a")
    stale = world.lease("a")
    world.lease_ids["a"] = join_alive(world.registry, a_spec("a", slots=10, instance="a-2"), world.now).lease_id
    assert (world.state("a"), world.ledger.gated) == (BreakerStatus("closed", 0, None), 0)
    world.fail("a", 4)
    assert world.breaker.failed(stale, world.now) == ()
    assert world.breaker.succeeded(stale, world.now) == ()
    assert world.fail("a", 1)[0].seconds == 30.0


def test_an_index_that_another_backend_uses_now_is_in_service() -> None:
    world = World("a", max_backends=1)
    world.fail("a")
    world.registry.leave(world.lease_ids.pop("a"), world.now)
    assert world.ledger.gated == 0
    world.lease_ids["b"] = join_alive(world.registry, a_spec("b"), world.now).lease_id
    assert world.index("b") == 0
    assert world.state("b") == BreakerStatus("closed", 0, None)
    assert world.fail("b", 4) == []


def test_the_same_process_on_a_new_connection_stays_ejected() -> None:
    world = World()
    world.fail("a")
    world.lease_ids["a"] = join_alive(world.registry, a_spec("a", slots=10), world.now).lease_id
    assert world.state("a") == BreakerStatus("open", 1, 30.0)
    held = world.lease("a")
    world.registry.leave(world.lease_ids["a"], world.now)
    world.lease_ids["a"] = join_alive(world.registry, a_spec("a", slots=10), world.now).lease_id
    assert held.current
    assert world.state("a") == BreakerStatus("open", 1, 30.0)


def test_what_fails_because_the_backend_is_dead_or_gone_is_not_held_against_it() -> None:
    world = World()
    leases = [world.lease("a") for _ in range(10)]
    world.silent = {"a"}
    world.wait(4.0)
    for lease in leases[:5]:
        assert world.breaker.failed(lease, world.now) == ()
    world.silent = set()
    world.wait(1.0)
    world.registry.leave(world.lease_ids["a"], world.now)
    for lease in leases[5:]:
        assert world.breaker.failed(lease, world.now) == ()
        lease.release()
    world.lease_ids["a"] = join_alive(world.registry, a_spec("a", slots=10), world.now).lease_id
    assert world.fail("a", 4) == []
    assert len(world.fail("a", 1)) == 1


def test_one_that_comes_back_from_the_dead_is_eased_in_and_a_newcomer_is_not() -> None:
    world = World()
    assert world.ledger.weight[0] == 1.0
    world.silent = {"a"}
    world.wait(4.0)
    world.silent = set()
    world.wait(0.25)
    assert world.ledger.weight[0] == pytest.approx(0.1)
    assert world.state("a").state == "ramping"
    world.wait(30.0)
    assert world.ledger.weight[0] == 1.0


def test_one_that_was_ejected_is_so_after_its_death_too() -> None:
    world = World()
    world.fail("a")
    world.silent = {"a"}
    world.wait(10.0)
    world.silent = set()
    world.wait(1.0)
    assert world.state("a") == BreakerStatus("open", 1, 19.0)


def test_a_stall_of_this_process_moves_the_end_of_an_ejection() -> None:
    world = World()
    world.wait(1.0)
    world.fail("a")
    world.wait(10.0)
    world.now += 60.0
    world.registry.advance(world.now)
    assert world.breaker.take_events() == ()
    assert world.state("a") == BreakerStatus("open", 1, 20.0)


def test_what_was_measured_before_a_stall_is_not_judged_after_it() -> None:
    world = World()
    world.wait(1.0)
    for name, itl_s in (("a", 0.02), ("b", 0.03), ("c", 0.3)):
        world.succeed(name, 20, itl_s=itl_s)
    world.now += 5.0
    world.registry.advance(world.now)
    assert world.wait(2.0) == []
