"""The queue of requests that no backend has a slot for yet: bounded, in order, with a deadline each.

A freed slot goes to the first waiter it can serve. Newcomers never overtake: while anybody waits, whoever comes is
queued behind and served, if at all, by the same pass. Waiters that need the same thing (`Waiter.need`) are blocked
together, so one pass asks routing once per need and not once per waiter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass


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


class WaitQueue:
    """First come, first served, as far as slots allow."""

    def __init__(self, max_waiters: int, max_bytes: int) -> None:
        self._max_waiters = max_waiters
        self._max_bytes = max_bytes
        self._waiters: dict[Waiter, None] = {}  # a dict keeps the order and removes from the middle in O(1)
        self._bytes = 0
        self._pumping = False
        self._again = False

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def has_room(self, size_bytes: int) -> bool:
        return len(self._waiters) < self._max_waiters and self._bytes + size_bytes <= self._max_bytes

    def push(self, waiter: Waiter, *, front: bool = False) -> bool:
        """Queue a request; False if the queue is full. ``front``: before all others and above the bounds, for a
        request that already had its turn (its backend was busy or failed)."""
        if not front and not self.has_room(waiter.size_bytes):
            return False
        self._waiters = {waiter: None, **self._waiters} if front else self._waiters
        self._waiters[waiter] = None
        self._bytes += waiter.size_bytes
        waiter.position = 1 if front else len(self._waiters)
        return True

    def remove(self, waiter: Waiter) -> bool:
        """Take one out: its client left. False if it no longer waits."""
        if waiter not in self._waiters:
            return False
        del self._waiters[waiter]
        self._bytes -= waiter.size_bytes
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
                self._pass()
        finally:
            self._pumping = False

    def _pass(self) -> None:
        blocked: set[Hashable] = set()
        for waiter in list(self._waiters):
            if waiter.need in blocked or waiter not in self._waiters:
                continue
            if waiter.serve():
                self.remove(waiter)
            else:
                blocked.add(waiter.need)

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
        """Waiters whose position has changed since it was last told; updates it."""
        for position, waiter in enumerate(self._waiters, 1):
            if waiter.position != position:
                waiter.position = position
                yield waiter
