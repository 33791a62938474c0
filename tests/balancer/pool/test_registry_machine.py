"""Any sequence of what can happen to a pool leaves registry, view and ledger in step."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from balancer.pool.backend import State
from balancer.pool.ledger import Lease, SlotsTaken
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import BeatStatus, Reason, Registered, Transition
from tests.balancer.pool.specs import a_spec

NAMES = st.sampled_from("abc")
LOADS = st.tuples(st.integers(0, 3), st.booleans(), st.booleans()).map(
    lambda told: Load(slots=told[0], ready=told[1], draining=told[2])
)


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(max_backends=4)
        self.now = 100.0
        self.sequence = 0
        self.lease_ids: list[int] = []
        self.leases: list[Lease] = []
        self.states: dict[str, State] = {}  # as the transitions told them
        self.freed: list[int] = []
        self.registry.ledger.on_free = self.freed.append

    def take(self, transitions: tuple[Transition, ...]) -> None:
        """What a shell does: follow the states, end the exchanges that a transition ends."""
        for transition in transitions:
            assert self.states.get(transition.name) is transition.old
            if transition.new is None:
                del self.states[transition.name]
            else:
                self.states[transition.name] = transition.new
            if transition.ends_exchanges:
                self.end(transition.index, transition.generation)

    def end(self, index: int, generation: int) -> None:
        for lease in [x for x in self.leases if (x.index, x.generation) == (index, generation)]:
            lease.release()
            self.leases.remove(lease)

    @rule(name=NAMES, port=st.integers(1, 4), instance=st.sampled_from(["", "x", "y"]), slots=st.integers(1, 3))
    def register(self, name: str, port: int, instance: str, slots: int) -> None:
        answer = self.registry.register(a_spec(name, port=port, instance=instance, slots=slots), self.now)
        if isinstance(answer, Registered):
            self.take(answer.transitions)
            self.lease_ids.append(answer.lease_id)
        else:
            assert answer.retry_after_s > 0

    @precondition(lambda self: self.lease_ids)
    @rule(data=st.data(), load=LOADS, fresh=st.booleans())
    def beat(self, data: st.DataObject, load: Load, fresh: bool) -> None:
        self.sequence += fresh
        lease_id = data.draw(st.sampled_from(self.lease_ids))
        result = self.registry.beat(lease_id, self.sequence, load, self.now)
        self.take(result.transitions)
        member = self.registry.member(lease_id)
        if result.status is BeatStatus.ACCEPTED:
            assert member is not None
            assert member.state not in (State.DEAD, State.SUSPECT)
            assert (member.state is State.ALIVE) <= load.is_ready

    @precondition(lambda self: self.lease_ids)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        lease_id = data.draw(st.sampled_from(self.lease_ids))
        self.take(self.registry.leave(lease_id, self.now))
        assert self.registry.member(lease_id) is None

    @rule(name=NAMES, wanted=st.booleans())
    def drain(self, name: str, wanted: bool) -> None:
        if self.registry.named(name) is not None:
            call = self.registry.drain if wanted else self.registry.undrain
            self.take(call(name, self.now))

    @rule(seconds=st.sampled_from([0.25, 0.5, 0.5, 1.0, 15.0]))
    def tick(self, seconds: float) -> None:
        stalled = seconds > 0.5
        self.now += seconds
        transitions = self.registry.advance(self.now)
        self.take(transitions)
        # No stall of our own is counted against anyone.
        if stalled:
            assert Reason.SILENT not in [transition.reason for transition in transitions]

    @precondition(lambda self: self.registry.view.backends)
    @rule(data=st.data())
    def lease(self, data: st.DataObject) -> None:
        backend = data.draw(st.sampled_from(self.registry.view.backends))
        ledger = self.registry.ledger
        full = ledger.in_flight[backend.index] >= ledger.slots[backend.index]
        try:
            self.leases.append(ledger.lease(backend.index))
        except SlotsTaken:
            assert full
        else:
            assert not full

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), times=st.integers(1, 2))
    def release(self, data: st.DataObject, times: int) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        for _ in range(times):
            lease.release()

    @invariant()
    def the_transitions_tell_the_whole_story(self) -> None:
        view = self.registry.view
        assert {backend.spec.name: backend.state for backend in view.backends} == self.states

    @invariant()
    def in_flight_is_the_number_of_leases_held(self) -> None:
        ledger = self.registry.ledger
        for backend in self.registry.view.backends:
            held = [x for x in self.leases if (x.index, x.generation) == (backend.index, backend.generation)]
            assert ledger.in_flight[backend.index] == len(held)
            assert ledger.specs[backend.index] == backend.spec
        assert ledger.total_in_flight() == len([lease for lease in self.leases if lease.current])

    @invariant()
    def every_backend_has_an_index_and_an_address_of_its_own(self) -> None:
        backends = self.registry.view.backends
        assert len({backend.index for backend in backends}) == len(backends)
        assert len({backend.spec.address for backend in backends}) == len(backends)

    @invariant()
    def the_deadline_lies_ahead_of_a_pool_that_was_advanced(self) -> None:
        self.take(self.registry.advance(self.now))
        assert self.registry.deadline() > self.now

    def teardown(self) -> None:
        for lease in self.leases:
            lease.release()
        assert self.registry.ledger.total_in_flight() == 0


PoolMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase
