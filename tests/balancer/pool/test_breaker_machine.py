"""Any order of requests, verdicts, deaths and time: what must always be true of gates, trials and counters."""

from __future__ import annotations

import math
from collections.abc import Collection

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from balancer.pool.backend import State
from balancer.pool.breaker import BreakerEvent
from balancer.pool.ledger import IN_SERVICE, ON_TRIAL, SHUT, Lease
from balancer.pool.transition import Registered
from balancer.routing.need import RouteNeed
from balancer.routing.panic import is_panic
from balancer.routing.policies import POLICIES
from balancer.routing.select import NoSlot
from tests.balancer.pool.specs import READY, a_spec
from tests.balancer.routing.pools import CHAT, Pool

NAMES = st.sampled_from("abcd")


class BreakerMachine(RuleBasedStateMachine):
    """A pool of up to four backends, and requests that end well, badly or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(sorted(POLICIES)[0])
        self.registry = self.pool.registry
        self.ledger, self.breaker = self.registry.ledger, self.registry.breaker
        self.now = 100.0
        self.starts = 0
        self.beats = 0
        self.leases: list[Lease] = []

    @rule(name=NAMES, again=st.booleans())
    def join(self, name: str, again: bool) -> None:
        """A new process, or the same on a new connection."""
        self.starts += not again
        before = self.registry.named(name)
        was = None if before is None else self.breaker.state_of(before.index, self.now)
        answer = self.registry.register(a_spec(name, instance=f"{name}{self.starts}"), self.now)
        assert isinstance(answer, Registered)
        self.registry.beat(answer.lease_id, self.beats, READY, self.now)
        status = self.breaker.state_of(answer.index, self.now)
        if not again:
            assert (status.state, status.ejections, self.ledger.share[answer.index]) == ("closed", 0, 1.0)
        elif before is not None and before.spec.instance == f"{name}{self.starts}" and was is not None:
            assert status == was or was.state in ("closed", "ramping")

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        if member := self.registry.named(name):
            self.registry.leave(member.lease_id, self.now)

    @rule(name=NAMES, wanted=st.booleans())
    def drain(self, name: str, wanted: bool) -> None:
        if self.registry.named(name) is not None:
            (self.registry.drain if wanted else self.registry.undrain)(name, self.now)

    @rule(exclude=st.frozensets(NAMES, max_size=2))
    def ask(self, exclude: frozenset[str]) -> None:
        members = [m for m in self.registry.members() if m.spec.name in exclude]
        need = RouteNeed("m", "chat", exclude=frozenset(m.spec.process for m in members))
        group = self.registry.view.group("m", "chat")
        panic = is_panic(group, self.ledger)
        could = [b for tier in group.tiers for b in tier.backends if b.spec.process not in need.exclude]
        all_ejected = all(self.ledger.gate[b.index] == SHUT for b in could)
        gates = list(self.ledger.gate)
        found = self.pool.route(need, self.now)
        if isinstance(found, Lease):
            assert self.registry.named(found.spec.name).state in (State.ALIVE, State.SUSPECT)  # type: ignore[union-attr]
            if gates[found.index] == SHUT:
                assert panic or all_ejected
            assert found.is_trial == (gates[found.index] not in (IN_SERVICE, SHUT))
            self.leases.append(found)
        elif isinstance(found, NoSlot) and found.not_before is not None:
            assert found.not_before < math.inf

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), verdict=st.sampled_from(["good", "bad", "bad", "bad", "none"]), late=st.booleans())
    def end(self, data: st.DataObject, verdict: str, late: bool) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        if late:
            lease.release()
        events: tuple[BreakerEvent, ...] = ()
        if verdict == "good":
            events = self.breaker.succeeded(lease, self.now, ttft_s=0.1, prompt_tokens=10, itl_s=0.02)
        elif verdict == "bad":
            events = self.breaker.failed(lease, self.now)
        gate = self.ledger.gate[lease.index]
        lease.release()
        assert self.ledger.gate[lease.index] == gate or not events

    @rule(name=NAMES)
    def fail_five_times(self, name: str) -> None:
        member = self.registry.named(name)
        if member is None or member.state is not State.ALIVE:
            return
        for _ in range(5):
            with self.ledger.lease(member.index, force=True) as lease:
                self.breaker.failed(lease, self.now)
        assert self.ledger.gate[member.index] != IN_SERVICE

    @rule(name=NAMES, asks=st.integers(1, 3))
    def eject_and_try_again(self, name: str, asks: int) -> None:
        """Up to its trial, and on: some requests, of which the first it gets is the trial."""
        self.fail_five_times(name)
        member = self.registry.named(name)
        if member is None or self.breaker.state_of(member.index, self.now).state != "open":
            return
        left_s = self.breaker.state_of(member.index, self.now).until_s
        assert left_s is not None and left_s <= 300.0
        self.tick("abcd", left_s)
        assert self.ledger.gate[member.index] == ON_TRIAL
        assert any(event[:2] == (name, "half_open") for event in self.breaker.take_events())
        for _ in range(asks):
            self.ask(frozenset())

    @rule(beaters=st.frozensets(NAMES), seconds=st.sampled_from([0.25, 1.0, 5.0, 30.0, 60.0]))
    def pass_time(self, beaters: frozenset[str], seconds: float) -> None:
        self.tick(beaters, seconds)

    @rule(seconds=st.sampled_from([0.75, 5.0, 60.0]))
    def stall(self, seconds: float) -> None:
        """This process stands still: nothing is over that was not over before."""
        self.tick("", 0.25)
        gates = list(self.ledger.gate)
        self.now += seconds
        self.registry.advance(self.now)
        assert all(self.ledger.gate[backend.index] == gates[backend.index] for backend in self.registry.view.backends)

    def tick(self, beaters: Collection[str], seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.5, end)
            self.beats += 1
            for member in list(self.registry.members()):
                if member.spec.name in beaters:
                    self.registry.beat(member.lease_id, self.beats, READY, self.now)
            self.registry.advance(self.now)

    @invariant()
    def a_half_open_backend_has_at_most_one_trial(self) -> None:
        for backend in self.registry.view.backends:
            if self.breaker.state_of(backend.index, self.now).state == "half_open":
                trials = [x for x in self.leases if x.current and x.index == backend.index and self.ledger.decides(x)]
                under_way = self.ledger.gate[backend.index] == SHUT
                assert len(trials) == under_way

    @invariant()
    def the_count_of_gates_is_the_count_of_gates(self) -> None:
        assert self.ledger.gated == sum(gate != IN_SERVICE for gate in self.ledger.gate)

    @invariant()
    def no_counter_is_negative_and_no_share_is_above_all_or_nothing(self) -> None:
        assert min(self.ledger.in_flight) >= 0
        for backend in self.registry.view.backends:
            assert 0.0 < self.ledger.share[backend.index] <= 1.0
            assert self.ledger.weight[backend.index] == backend.spec.weight * self.ledger.share[backend.index]
            assert 0 <= self.breaker.state_of(backend.index, self.now).ejections <= 10

    @invariant()
    def a_pool_with_someone_alive_serves_in_a_panic(self) -> None:
        group = self.registry.view.group("m", "chat")
        idle = [i for tier in group.tiers for i in tier.indexes if self.ledger.in_flight[i] == 0]
        if idle and is_panic(group, self.ledger):
            lease = self.pool.route(CHAT, self.now)
            assert isinstance(lease, Lease)
            lease.release()


BreakerMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
TestBreaker = BreakerMachine.TestCase
