"""When a backend is ejected, tried and eased in."""

from __future__ import annotations

import math

import pytest

from balancer.pool.breaker import BreakerEvent, BreakerStatus
from balancer.pool.breaker_limits import BreakerLimits
from balancer.pool.ledger import IN_SERVICE, ON_TRIAL, SHUT
from tests.balancer.pool.breaker_world import World
from tests.balancer.pool.specs import a_spec, join


def test_five_failures_in_a_row_eject_for_thirty_seconds() -> None:
    world = World()
    assert world.fail("a", 4) == []
    assert world.fail("a", 1) == [BreakerEvent("a", "ejected", "5 failures in a row", 30.0)]
    assert world.state("a") == BreakerStatus("open", 1, 30.0)
    assert (world.gate("a"), world.ledger.gated) == (SHUT, 1)
    assert world.state("b") == BreakerStatus("closed", 0, None)


def test_a_success_between_failures_begins_the_count_anew() -> None:
    world = World()
    world.fail("a", 4)
    world.succeed("a")
    assert world.fail("a", 4) == []


def test_what_still_runs_on_an_ejected_backend_decides_nothing() -> None:
    world = World()
    left = [world.lease("a"), world.lease("a")]
    world.fail("a")
    assert world.breaker.succeeded(left[0], 101.0) == world.breaker.failed(left[1], 101.0) == ()
    assert world.state("a").state == "open"


def test_after_its_ejection_one_trial_decides() -> None:
    world = World()
    world.fail("a")
    assert world.wait(29.75) == []
    assert world.wait(0.25) == [BreakerEvent("a", "half_open", "its ejection is over")]
    assert world.gate("a") == ON_TRIAL
    trial = world.lease("a")
    assert trial.is_trial
    assert (world.gate("a"), world.ledger.shut_until[trial.index]) == (SHUT, math.inf)
    assert world.state("a") == BreakerStatus("half_open", 1, None)
    assert world.breaker.succeeded(trial, world.now) == (BreakerEvent("a", "readmitted", "its trial succeeded", 30.0),)
    trial.release()
    assert (world.gate("a"), world.ledger.gated) == (IN_SERVICE, 0)
    assert world.state("a") == BreakerStatus("ramping", 1, 30.0)


def test_a_failed_trial_ejects_for_longer_up_to_five_minutes() -> None:
    world = World()
    (first,) = world.fail("a")
    seconds = [first.seconds]
    for _ in range(11):
        world.wait(seconds[-1])
        (again,) = world.fail("a", 1)
        assert again.reason == "its trial failed"
        seconds.append(again.seconds)
    assert seconds == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_a_trial_that_was_cancelled_is_followed_by_another() -> None:
    world = World()
    world.fail("a")
    world.wait(30.0)
    freed: list[int] = []
    world.ledger.on_free = lambda index: freed.append(world.gate("a"))
    world.lease("a").release()
    assert freed == [ON_TRIAL]
    trial = world.lease("a")
    assert trial.is_trial
    assert world.breaker.failed(trial, world.now)[0].kind == "ejected"
    trial.release()
    assert world.gate("a") == SHUT
    assert world.state("a") == BreakerStatus("open", 2, 60.0)


def test_a_verdict_after_the_release_still_counts_unless_another_trial_runs() -> None:
    world = World()
    world.fail("a")
    world.wait(30.0)
    first = world.lease("a")
    first.release()
    second = world.lease("a")
    assert world.breaker.failed(first, world.now) == ()
    second.release()
    assert world.breaker.succeeded(second, world.now)[0].kind == "readmitted"


def test_it_is_eased_in_over_thirty_seconds() -> None:
    world = World()
    world.fail("a")
    world.wait(30.0)
    world.succeed("a")
    weights = [world.ledger.weight[0]]
    for _ in range(3):
        world.wait(10.0)
        weights.append(world.ledger.weight[0])
    assert weights == pytest.approx([0.1, 0.4, 0.7, 1.0])
    assert world.state("a").state == "closed"


def test_good_service_forgives_one_ejection_each_thirty_seconds() -> None:
    world = World()
    world.fail("a")
    for wait_s in (30.0, 60.0):
        world.wait(wait_s)
        world.fail("a", 1)
    world.wait(90.0)
    world.succeed("a")
    assert world.state("a").ejections == 3
    world.wait(59.0)
    assert world.state("a").ejections == 2
    assert world.fail("a")[0].seconds == 90.0


def test_a_flapping_backend_is_ejected_for_longer_each_time() -> None:
    world = World()
    seconds = []
    for _ in range(12):
        (event,) = world.fail("a")
        seconds.append(event.seconds)
        world.wait(event.seconds)
        world.succeed("a")
        world.wait(1.0)
    assert seconds == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_one_much_slower_than_its_peers_is_ejected_with_the_next_check() -> None:
    world = World()
    world.wait(1.0)
    for name, itl_s in (("a", 0.02), ("b", 0.03), ("c", 0.3)):
        world.succeed(name, 19, itl_s=itl_s)
    assert world.wait(1.0) == []
    world.succeed("c", 1, itl_s=0.3)
    reason = "300 ms a token, 12.0 times as long as its peers"
    assert world.wait(1.0) == [BreakerEvent("c", "ejected", reason, 30.0)]


def test_a_trial_as_slow_as_before_ejects_again() -> None:
    world = World()
    for name, itl_s in (("a", 0.02), ("b", 0.02), ("c", 0.3)):
        world.succeed(name, 20, itl_s=itl_s)
    world.wait(31.0)
    assert world.succeed("c", itl_s=0.11) == [BreakerEvent("c", "ejected", "its trial was as slow as before", 60.0)]
    world.wait(60.0)
    assert world.fail("c", 1)[0].seconds == 90.0
    world.wait(90.0)
    assert world.succeed("c", itl_s=0.09)[0].kind == "readmitted"
    world.wait(2.0)
    assert world.succeed("c", itl_s=0.3) == []


def test_a_panic_is_told_when_it_begins_and_when_it_is_over() -> None:
    world = World()
    world.fail("a")
    assert world.wait(1.0) == []
    world.fail("b")
    (panic,) = world.wait(1.0)
    assert (panic.name, panic.kind) == ("m", "panic")
    assert panic.reason == "2 of 3 backends are ejected: ejections are not heeded"
    world.wait(30.0)
    world.succeed("a")
    assert world.wait(1.0) == [BreakerEvent("m", "panic_over", "enough backends are in service")]


def test_whoever_waits_is_told_when_a_trial_may_begin() -> None:
    world = World()
    world.fail("a")
    freed: list[int] = []
    world.ledger.on_free = freed.append
    world.wait(30.0)
    assert freed == [0]


def test_limits_are_the_operators() -> None:
    world = World(limits=BreakerLimits(failures=2, ejection_s=1.0, ejection_max_s=2.0, panic_share=0.9))
    assert world.fail("a", 2)[0].seconds == 1.0
    assert world.ledger.panic_share == 0.9
    join(world.registry, a_spec("joining"), world.now)
    assert world.state("joining").state == "closed"
