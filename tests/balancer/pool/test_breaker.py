from __future__ import annotations

import math

import pytest

from balancer.pool.breaker import BreakerEvent, BreakerStatus
from balancer.pool.breaker_limits import BreakerLimits
from balancer.pool.ledger import IN_SERVICE, ON_TRIAL, SHUT, Lease
from balancer.pool.registry import Registry
from tests.balancer.pool.specs import READY, a_spec, join, join_alive


class World:
    """Backends a, b, c, ... of ten slots and one model, their beats going on; time goes in ticks of 0.25 s."""

    def __init__(self, names: str = "abc", limits: BreakerLimits | None = None, max_backends: int = 8) -> None:
        self.registry = Registry(max_backends=max_backends, breaker=limits)
        self.breaker, self.ledger = self.registry.breaker, self.registry.ledger
        self.now = 100.0
        self.beats = 1
        self.silent: set[str] = set()
        self.lease_ids = {n: join_alive(self.registry, a_spec(n, slots=10), self.now).lease_id for n in names}

    def index(self, name: str) -> int:
        member = self.registry.named(name)
        assert member is not None
        return member.index

    def lease(self, name: str) -> Lease:
        return self.ledger.lease(self.index(name))

    def fail(self, name: str, times: int = 5) -> list[BreakerEvent]:
        events: list[BreakerEvent] = []
        for _ in range(times):
            with self.lease(name) as lease:
                events += self.breaker.failed(lease, self.now)
        return events

    def succeed(self, name: str, times: int = 1, itl_s: float = 0.02) -> list[BreakerEvent]:
        events: list[BreakerEvent] = []
        for _ in range(times):
            with self.lease(name) as lease:
                events += self.breaker.succeeded(lease, self.now, ttft_s=0.1, prompt_tokens=1000, itl_s=itl_s)
        return events

    def wait(self, seconds: float) -> list[BreakerEvent]:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.25, end)
            self.beats += 1
            for name, lease_id in self.lease_ids.items():
                if name not in self.silent:
                    self.registry.beat(lease_id, self.beats, READY, self.now)
            self.registry.advance(self.now)
        return list(self.breaker.take_events())

    def state(self, name: str) -> BreakerStatus:
        return self.breaker.state_of(self.index(name), self.now)

    def gate(self, name: str) -> int:
        return self.ledger.gate[self.index(name)]


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
