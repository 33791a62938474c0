"""The queue of requests that no backend has a slot for yet: bounded, fair between tenants, with a deadline each.

A freed slot goes to the first waiter it can serve. First come whoever already had a turn (their backend was busy or
failed), then tenants take turns (``fairness``), and what one tenant needs of a kind is served as it came. Newcomers
never overtake: while anybody waits, whoever comes is queued, and served, if at all, by the next pass. Waiters that
need the same thing (`Waiter.need`) are blocked together, so one pass asks routing once per need and not once per
waiter, and ends when all needs are blocked.

A full queue refuses newcomers, with one exception: a tenant that holds less than its share of the places takes one
from the tenant that is furthest above its own, whose last request is put out (longest queue drop, as fair queueing
buffers do it). So a flood hurts only who sends it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from balancer.admission.fairness import DeficitRoundRobin, Flow

TENANTS_SHOWN_MAX: Final = 32


@dataclass(slots=True, eq=False)
class Waiter:
    """One queued request. ``need`` equal means: what cannot serve one cannot serve the other."""

    serve: Callable[[], bool]
    """Try to start it; False if there is still no slot. Called only from `WaitQueue.pump`."""
    expire: Callable[[float], None]
    """Its deadline has passed and it was taken out; called by who asks `WaitQueue.expired`."""
    told: Callable[[int], None]
    """Its position has changed; called by who asks `WaitQueue.moved`."""
    need: Hashable
    size_bytes: int
    deadline: float
    """Monotonic seconds after which it is no longer worth starting."""
    position: int = 0
    """As last told to its client; 1 is next."""
    tenant: str = "local"
    tokens: int = 1
    """What it costs, at least 1: an estimate of the tokens of its prompt and its answer."""
    evict: Callable[[], None] = lambda: None
    """It was put out of a full queue, for a tenant that held less. Called only from `WaitQueue.pump`."""


class WaitQueue:
    """See the module. ``weight_of`` tells a tenant's weight, above 0; it is asked when the tenant begins to wait."""

    def __init__(
        self, max_waiters: int, max_bytes: int, weight_of: Callable[[str], float] = lambda tenant: 1.0
    ) -> None:
        self._max_waiters = max_waiters
        self._max_bytes = max_bytes
        self._weight_of = weight_of
        self._waiters: dict[Waiter, bool] = {}  # whether it waits in front
        self._front = Flow("")  # in the order of their coming, whoever's they are: they have paid for their turn
        self._line = DeficitRoundRobin()
        self._evicted: list[Waiter] = []
        self._came = 0
        self._pumping = False
        self._again = False

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def size_bytes(self) -> int:
        return self._front.size_bytes + self._line.size_bytes

    def tenants(self) -> dict[str, int]:
        """How many requests of each tenant wait, most first; of many tenants those with the most."""
        found = Counter({flow.tenant: flow.waiting for flow in self._line.flows()})
        found.update(waiter.tenant for waiter in self._front.in_order())
        return dict(found.most_common(TENANTS_SHOWN_MAX))

    def resize(self, max_waiters: int, max_bytes: int) -> None:
        """Other bounds from now on; who waits already stays."""
        self._max_waiters = max_waiters
        self._max_bytes = max_bytes

    def has_room(self, size_bytes: int) -> bool:
        return len(self) < self._max_waiters and self.size_bytes + size_bytes <= self._max_bytes

    def push(self, waiter: Waiter, *, front: bool = False) -> bool:
        """Queue a request; False if the queue is full. Whoever pushes must `pump` next: that also tells those who
        were put out for it. ``front``: before all others and above the bounds, for a request that already had its
        turn (its backend was busy or failed)."""
        self._came += 1
        if front:
            self._front.add(waiter, self._came)
            waiter.position = self._front.waiting
        else:
            weight = self._weight_of(waiter.tenant)
            if not self.has_room(waiter.size_bytes) and not self._make_room(waiter, weight):
                return False
            flow = self._line.add(waiter, self._came, weight)
            waiter.position = self._front.waiting + self._line.guess(flow)
        self._waiters[waiter] = front
        return True

    def _make_room(self, waiter: Waiter, weight: float) -> bool:
        """Put out the last of those furthest beyond their share, if this one's tenant stays within its own with it:
        then the others hold more than theirs together, so there is somebody to put out."""
        line, front = self._line, self._front
        places, room_bytes = self._max_waiters - front.waiting, self._max_bytes - front.size_bytes
        own = line.flow(waiter.tenant) or Flow(waiter.tenant, weight)
        weights = line.weights + (0.0 if own.waiting else own.weight)
        share = own.weight / weights
        if own.waiting + 1 > places * share or own.size_bytes + waiter.size_bytes > room_bytes * share:
            return False

        def places_beyond(flow: Flow) -> float:
            return flow.waiting - places * flow.weight / weights

        def bytes_beyond(flow: Flow) -> float:
            return flow.size_bytes - room_bytes * flow.weight / weights

        while not self.has_room(waiter.size_bytes):
            beyond = places_beyond if len(self) >= self._max_waiters else bytes_beyond
            last = max((flow for flow in line.flows() if flow is not own), key=beyond).last()
            self.remove(last)
            self._evicted.append(last)
        return True

    def remove(self, waiter: Waiter) -> bool:
        """Take one out: its client left. False if it no longer waits."""
        front = self._waiters.pop(waiter, None)
        if front is None:
            return False
        if front:
            self._front.remove(waiter)
        else:
            self._line.remove(waiter)
        return True

    def pump(self) -> None:
        """Start whoever can be started, in order. Safe to call from within itself: a start that fails at once frees
        its slot, and another pass follows."""
        if self._pumping:
            self._again = True
            return
        self._pumping = True
        try:
            self._again = True
            while self._again:
                self._again = False
                while self._evicted:
                    self._evicted.pop(0).evict()
                self._pass()
        finally:
            self._pumping = False

    def _pass(self) -> None:
        blocked: set[Hashable] = set()
        while True:
            decision = None
            waiter = self._front.first(blocked)
            if waiter is None:
                decision = self._line.next(blocked)
                if decision is None:
                    return
                waiter = decision.waiter
            if not waiter.serve():
                blocked.add(waiter.need)
                continue
            if decision is not None:
                self._line.take(decision)
            self.remove(waiter)

    def postpone(self, seconds: float) -> None:
        """Move all deadlines: time passed in which nobody could be served."""
        for waiter in self._waiters:
            waiter.deadline += seconds

    def expired(self, now: float) -> list[Waiter]:
        """Take out and return those whose deadline has passed."""
        late = [waiter for waiter in self._waiters if waiter.deadline <= now]
        for waiter in late:
            self.remove(waiter)
        return late

    def moved(self) -> Iterator[Waiter]:
        """Waiters that are nearer to their turn than they were told; updates their position.

        A position is an estimate: the place if what is blocked were not and nobody else came. Another tenant may come
        and have its turn earlier; the position then stands still, it never goes back.
        """
        for position, waiter in enumerate([*self._front.in_order(), *self._line.in_order()], 1):
            if position < waiter.position:
                waiter.position = position
                yield waiter
