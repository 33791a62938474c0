"""What holds for the waiting queue whatever comes, in whatever order: found out by hypothesis."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from balancer.admission.queue import Waiter, WaitQueue

MAX_WAITERS, MAX_BYTES = 6, 60
WEIGHTS = {"a": 1.0, "b": 1.0, "c": 2.5, "d": 0.001}
TENANTS, NEEDS = st.sampled_from(sorted(WEIGHTS)), st.sampled_from("xyz")
SERVES = {"x": ("1", "both"), "y": ("2", "both"), "z": ("3",)}
"""Which slots serve a need: x and y compete for some."""


class Rules(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = WaitQueue(MAX_WAITERS, MAX_BYTES, WEIGHTS.__getitem__)
        self.free = dict.fromkeys(("1", "2", "3", "both"), 0)
        self.waiting: list[Waiter] = []
        """As they came."""
        self.front: list[Waiter] = []
        self.gone: set[Waiter] = set()
        self.fails_next = False
        self.asking = ""
        self.now = 0.0

    def slot(self, need: str) -> str | None:
        return next((slot for slot in SERVES[need] if self.free[slot]), None)

    def waiter(self, tenant: str, need: str, size_bytes: int, tokens: int, patience: float) -> Waiter:
        def serve() -> bool:
            slot = self.slot(need)
            if slot is None:
                return False
            self.check_turn(waiter)
            self.leave(waiter)
            self.free[slot] -= 1
            if self.fails_next:  # its backend fails at once: the slot is free again, and it waits in front
                self.fails_next = False
                self.free[slot] += 1
                self.come(self.waiter(tenant, need, size_bytes, tokens, patience), front=True)
                self.queue.pump()
            return True

        def evict() -> None:
            assert waiter not in self.front
            assert tenant != self.asking
            self.leave(waiter)

        deadline = self.now + patience
        waiter = Waiter(
            serve,
            lambda now: None,
            lambda n: None,
            need,
            size_bytes,
            deadline,
            tenant=tenant,
            tokens=tokens,
            evict=evict,
        )
        return waiter

    def check_turn(self, waiter: Waiter) -> None:
        """Served once, in front first, and as they came among equals."""
        assert waiter not in self.gone
        rivals = (
            self.front if waiter in self.front else [other for other in self.waiting if other.tenant == waiter.tenant]
        )
        assert next(other for other in rivals if other.need == waiter.need) is waiter
        if waiter not in self.front:
            assert not [other for other in self.front if self.slot(str(other.need)) is not None]

    def leave(self, waiter: Waiter) -> None:
        self.gone.add(waiter)
        (self.front if waiter in self.front else self.waiting).remove(waiter)

    def come(self, waiter: Waiter, *, front: bool) -> bool:
        if not self.queue.push(waiter, front=front):
            return False
        (self.front if front else self.waiting).append(waiter)
        return True

    @rule(tenant=TENANTS, need=NEEDS, size=st.integers(0, 40), tokens=st.integers(1, 5000), patience=st.floats(1, 9))
    def asks(self, tenant: str, need: str, size: int, tokens: int, patience: float) -> None:
        self.asking = tenant
        had_room = self.queue.has_room(size)
        queued = self.come(self.waiter(tenant, need, size, tokens, patience), front=False)
        assert queued or not had_room
        if queued:
            assert len(self.queue) <= MAX_WAITERS
            assert self.queue.size_bytes <= MAX_BYTES
        self.queue.pump()

    @rule(tenant=TENANTS, need=NEEDS, size=st.integers(0, 40))
    def comes_back(self, tenant: str, need: str, size: int) -> None:
        assert self.come(self.waiter(tenant, need, size, 100, 5.0), front=True)
        self.queue.pump()

    @rule(slot=st.sampled_from(["1", "2", "3", "both"]), count=st.integers(1, 3), fails=st.booleans())
    def slots_are_freed(self, slot: str, count: int, fails: bool) -> None:
        self.free[slot] += count
        self.fails_next = fails
        self.queue.pump()
        self.fails_next = False

    @precondition(lambda self: self.waiting or self.front)
    @rule(data=st.data())
    def a_client_leaves(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting + self.front))
        assert self.queue.remove(waiter)
        assert not self.queue.remove(waiter)
        self.leave(waiter)

    @rule(seconds=st.floats(0.1, 4.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        late = [waiter for waiter in self.waiting + self.front if waiter.deadline <= self.now]
        assert set(self.queue.expired(self.now)) == set(late)
        for waiter in late:
            self.leave(waiter)

    @rule()
    def positions_are_told(self) -> None:
        before = {waiter: waiter.position for waiter in self.waiting + self.front}
        moved = list(self.queue.moved())
        assert all(waiter.position < before[waiter] for waiter in moved)
        if self.front:
            assert min(waiter.position for waiter in self.front) == 1

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.queue) == len(self.waiting) + len(self.front)
        assert self.queue.size_bytes == sum(waiter.size_bytes for waiter in self.waiting + self.front)
        assert sum(self.queue.tenants().values()) == len(self.queue)

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        assert not [waiter for waiter in self.waiting + self.front if self.slot(str(waiter.need)) is not None]

    @invariant()
    def positions_lie_within_the_queue(self) -> None:
        assert all(waiter.position >= 1 for waiter in self.waiting + self.front)


Rules.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRules = Rules.TestCase
