"""Whose turn it is: deficit round robin between tenants (Shreedhar and Varghese, SIGCOMM 1995), on estimated tokens.

Tenants that wait stand in a ring. At its turn a tenant starts requests as long as its deficit pays for their tokens,
then it is granted the quantum for its next turn and goes to the end; what is left over stays with it while it waits
and is lost when nothing of it waits any more. The quantum is the mean size of what waits, times the tenant's weight
over the mean weight: about one request a turn, whatever the sizes are. A fixed one would let small requests through
in bursts or make large ones go round and round.

Two things differ from packets on a line. A request may need what has no slot now (a "blocked" need): its tenant is
passed over and granted nothing. And whether there is a slot is known only when one is asked for, so a decision
changes nothing until it is kept (`DeficitRoundRobin.take`); rounds in which nobody could pay are added up at once.
A decision looks at the tenants up to the one that can pay, at all of them at worst, and never at all waiters.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from balancer.admission.queue import Waiter

WEIGHT_MIN: Final = 1e-6
"""Smaller weights count as this one, so that a quantum is never too small to add up."""


class Flow:
    """What one tenant has waiting: first come, first served, in a lane for each need."""

    # OrderedDict: removes anywhere and finds both ends in O(1); a dict's first key costs a walk over removed ones.
    __slots__ = ("_lanes", "deficit", "size_bytes", "tenant", "tokens", "waiting", "weight")

    def __init__(self, tenant: str, weight: float = 1.0) -> None:
        self.tenant = tenant
        self.weight = max(weight, WEIGHT_MIN)
        self.deficit = 0.0
        """Tokens it may start without another turn."""
        self.waiting = 0
        self.tokens = 0
        self.size_bytes = 0
        self._lanes: dict[Hashable, OrderedDict[Waiter, int]] = {}

    def add(self, waiter: Waiter, number: int) -> None:
        """``number`` rises with every waiter that comes."""
        self._lanes.setdefault(waiter.need, OrderedDict())[waiter] = number
        self.waiting += 1
        self.tokens += waiter.tokens
        self.size_bytes += waiter.size_bytes

    def remove(self, waiter: Waiter) -> None:
        """Raises `KeyError` if it is not there."""
        lane = self._lanes[waiter.need]
        del lane[waiter]
        if not lane:
            del self._lanes[waiter.need]
        self.waiting -= 1
        self.tokens -= waiter.tokens
        self.size_bytes -= waiter.size_bytes

    def first(self, blocked: Set[Hashable] = frozenset()) -> Waiter | None:
        """Who has waited longest among those whose need is not blocked."""
        heads = (next(iter(lane.items())) for need, lane in self._lanes.items() if need not in blocked)
        found = min(heads, key=lambda head: head[1], default=None)
        return found[0] if found is not None else None

    def last(self) -> Waiter:
        """Who came last. Raises `ValueError` if nobody waits."""
        tails = (next(reversed(lane.items())) for lane in self._lanes.values())
        return max(tails, key=lambda tail: tail[1])[0]

    def in_order(self) -> list[Waiter]:
        """All, as they came."""
        if len(self._lanes) == 1:
            return list(*self._lanes.values())
        numbered = [item for lane in self._lanes.values() for item in lane.items()]
        return [waiter for waiter, _ in sorted(numbered, key=lambda item: item[1])]


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """Whose turn it is, and what tenants are granted if it is taken."""

    waiter: Waiter
    flow: Flow
    grants: list[tuple[Flow, float]]


class DeficitRoundRobin:
    """Whoever waits for a first turn, by tenant. See the module."""

    def __init__(self) -> None:
        self._ring: OrderedDict[str, Flow] = OrderedDict()  # whose turn it is stands first
        self._needs: dict[Hashable, int] = {}
        self._tokens = 0
        self.waiting = 0
        self.size_bytes = 0
        self.weights = 0.0
        """Of the tenants in the ring, together."""

    def flows(self) -> Iterable[Flow]:
        return self._ring.values()

    def flow(self, tenant: str) -> Flow | None:
        """``None`` if nothing of this tenant waits."""
        return self._ring.get(tenant)

    def add(self, waiter: Waiter, number: int, weight: float) -> Flow:
        """The tenant's flow, in which it now waits; a new one has the ``weight`` and its first turn granted."""
        flow = self._ring.get(waiter.tenant)
        new = flow is None
        if flow is None:
            flow = self._ring[waiter.tenant] = Flow(waiter.tenant, weight)
            self.weights += flow.weight
        flow.add(waiter, number)
        self._tokens += waiter.tokens
        self.waiting += 1
        self.size_bytes += waiter.size_bytes
        self._needs[waiter.need] = self._needs.get(waiter.need, 0) + 1
        if new:
            flow.deficit = self._quantum() * flow.weight
        return flow

    def remove(self, waiter: Waiter) -> None:
        """Raises `KeyError` if it is not there."""
        flow = self._ring[waiter.tenant]
        flow.remove(waiter)
        self._tokens -= waiter.tokens
        self.waiting -= 1
        self.size_bytes -= waiter.size_bytes
        self._needs[waiter.need] -= 1
        if not self._needs[waiter.need]:
            del self._needs[waiter.need]
        if not flow.waiting:
            del self._ring[flow.tenant]
            self.weights = self.weights - flow.weight if self._ring else 0.0

    def next(self, blocked: Set[Hashable]) -> Decision | None:
        """Whose turn it is among those whose need is not blocked; ``None`` if all are. Changes nothing."""
        if self._needs.keys() <= blocked:
            return None
        quantum = self._quantum()
        passed: list[Flow] = []
        at, found, chosen, rounds = 0, None, None, 0
        for flow in self._ring.values():
            waiter = flow.first(blocked)
            if waiter is None:
                continue
            needed = max(0, math.ceil((waiter.tokens - flow.deficit) / (quantum * flow.weight)))
            if found is None or needed < rounds:
                at, found, chosen, rounds = len(passed), waiter, flow, needed
            if not needed:
                break
            passed.append(flow)
        assert found is not None and chosen is not None  # some need is not blocked, so somebody waits for it
        grants = [(flow, quantum * flow.weight * (rounds + (place < at))) for place, flow in enumerate(passed)]
        return Decision(found, chosen, grants)

    def take(self, decision: Decision) -> None:
        """The turn was used: its tenant pays. Whoever stood before it had its turn too, and goes to the end."""
        for flow, tokens in decision.grants:
            flow.deficit += tokens
        decision.flow.deficit -= decision.waiter.tokens
        if self._ring.get(decision.flow.tenant) is decision.flow:
            while (first := next(iter(self._ring))) != decision.flow.tenant:
                self._ring.move_to_end(first)

    def in_order(self) -> list[Waiter]:
        """All, in the order in which they would be served if nothing were blocked and nobody else came."""
        if not self._ring:
            return []
        if len(self._ring) == 1:
            return next(iter(self._ring.values())).in_order()
        quantum, tenants = self._quantum(), len(self._ring)
        waiters: list[Waiter] = []
        turns: list[int] = []
        for place, flow in enumerate(self._ring.values()):
            owed, granted = -flow.deficit, quantum * flow.weight
            for waiter in flow.in_order():
                owed += waiter.tokens
                waiters.append(waiter)
                turns.append(max(0, math.ceil(owed / granted)) * tenants + place)
        return [waiters[i] for i in sorted(range(len(waiters)), key=turns.__getitem__)]

    def guess(self, flow: Flow) -> int:
        """About which place its last has in that order, without looking at each: 1 is next. On the safe side: as if
        every tenant had as much to do as this one. Exact where one tenant waits alone."""
        tokens = flow.tokens * self.weights / flow.weight
        return min(max(flow.waiting, round(tokens * self.waiting / self._tokens)), self.waiting)

    def _quantum(self) -> float:
        """Tokens granted each turn, for a weight of 1. Only while somebody waits."""
        return self._tokens / self.waiting * len(self._ring) / self.weights
