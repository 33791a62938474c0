"""Membership: who registered, under which lease, in which state. The only writer of view and ledger.

Strategy: each call is one observation; it is applied at once and answered with the transitions it caused.
Time takes effect only in `advance`, so that a process that stood still for a while can first move every
deadline by its own stall. The view is rebuilt when it is next asked for.

A name belongs to an address (host, port). The same name from the same address is a restart, or the same
process on a new connection; from another address it is a conflict until the first is dead and `reclaim_s` over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from balancer.pool.backend import BackendSpec, State
from balancer.pool.breaker import Breaker
from balancer.pool.breaker_limits import BreakerLimits
from balancer.pool.claims import is_same_place, is_same_process, refusal
from balancer.pool.detector import CLASSIC, NATIVE, PROBED, Detector, Timings
from balancer.pool.drains import Drains
from balancer.pool.ledger import Ledger
from balancer.pool.load import Load
from balancer.pool.member import Member
from balancer.pool.models import ModelMemory
from balancer.pool.parking import Parking
from balancer.pool.stall import StallWatch
from balancer.pool.transition import BeatResult, BeatStatus, Reason, Refused, Registered, Transition, reason_of
from balancer.pool.view import PoolBackend, PoolView

TIMINGS: dict[str, Timings] = {"native": NATIVE, "classic": CLASSIC, "upstream": PROBED}

FULL_RETRY_AFTER_S = 10.0

_STALE = BeatResult(BeatStatus.STALE_SEQUENCE)
_UNKNOWN = BeatResult(BeatStatus.UNKNOWN_LEASE)
_ACCEPTED = BeatResult(BeatStatus.ACCEPTED)


class Registry:
    """The pool.

    `reclaim_s`: how long a dead backend keeps its name against another address. `forget_s`: how long a dead
    lease can still be revived by a beat. `tick_s`: how often `advance` is called. `model_memory_s`: how long a
    model that lost its last backend counts as seen. Lease ids are drawn upwards from `first_lease_id`.
    """

    def __init__(
        self,
        *,
        max_backends: int = 4096,
        reclaim_s: float = 30.0,
        forget_s: float = 60.0,
        tick_s: float = 0.25,
        model_memory_s: float = 600.0,
        first_lease_id: int = 1,
        breaker: BreakerLimits | None = None,
    ) -> None:
        self.ledger = Ledger(max_backends)
        self.breaker = Breaker(self.ledger, breaker or BreakerLimits())
        self.stall_s = 0.0
        """How long this process stood still, as the last `advance` found; others move their deadlines by it."""
        self._reclaim_s = reclaim_s
        self._forget_s = forget_s
        self._stall = StallWatch(tick_s)
        self._models = ModelMemory(model_memory_s)
        self._drains = Drains()
        self._parking = Parking(self.ledger, forget_s)
        self._next_lease_id = first_lease_id
        self._by_lease: dict[int, Member] = {}
        self._by_name: dict[str, Member] = {}
        self._by_address: dict[tuple[str, int], str] = {}
        self._view = PoolView(0, ())
        self._changed = False
        self._due_at = math.inf
        """Before this time `advance` finds nobody late: beats only put it off."""

    @property
    def view(self) -> PoolView:
        """The pool as it is now; the same object until a backend changes."""
        if self._changed:
            self._changed = False
            self._view = PoolView(
                self._view.version + 1,
                (PoolBackend(m.index, m.generation, m.spec, m.state) for m in self._by_name.values()),
            )
        return self._view

    def members(self) -> Iterable[Member]:
        return self._by_name.values()

    def member(self, lease_id: int) -> Member | None:
        return self._by_lease.get(lease_id)

    def named(self, name: str) -> Member | None:
        return self._by_name.get(name)

    def model_seen(self, name: str, now: float) -> bool:
        """Whether a backend offers the model now, or did within `model_memory_s`."""
        return self._models.seen(name, now)

    def register(
        self, spec: BackendSpec, now: float, *, timings: Timings | None = None, key: bytes = b""
    ) -> Registered | Refused:
        """Take a backend in, or in again; `timings` None are those of its kind."""
        timings = timings or TIMINGS[spec.kind]
        known = self._by_name.get(spec.name)
        if known is not None and is_same_place(known, spec):
            return self._register_again(known, spec, timings, key, now)
        rivals = [rival for rival in (known, self._at_address(spec)) if rival is not None]
        for rival in rivals:
            if refused := refusal(rival, spec, self._reclaim_s, now):
                return refused
        transitions = tuple(self._remove(rival, Reason.RECLAIMED, now) for rival in rivals)
        index = self._parking.take_back(spec)
        if index is None:
            if not (self.ledger.has_room or self._parking.evict()):
                return Refused("pool_full", "the pool has no room for another backend", FULL_RETRY_AFTER_S)
            index = self.ledger.open(spec)
        member = self._admit(spec, index, Detector(timings, now), key, now)
        joined = _transition(member, None, member.state, Reason.REGISTERED)
        return Registered(member.lease_id, index, (*transitions, joined))

    def beat(self, lease_id: int, sequence: int, load: Load, now: float) -> BeatResult:
        """A heartbeat whose sender is proven. Only one with a growing sequence is a sign of life."""
        member = self._by_lease.get(lease_id)
        if member is None:
            return _UNKNOWN
        if sequence <= member.sequence:
            return _STALE
        member.sequence = sequence
        transitions = self._hear(member, load, now)
        return BeatResult(BeatStatus.ACCEPTED, transitions) if transitions else _ACCEPTED

    def heard(self, lease_id: int, now: float) -> tuple[Transition, ...]:
        """A heartbeat that says nothing but that its sender lives."""
        member = self._by_lease.get(lease_id)
        return self._hear(member, None, now) if member else ()

    def hold(self, lease_id: int) -> None:
        """An answer is awaited from a backend that can't beat meanwhile: its silence doesn't count."""
        if member := self._by_lease.get(lease_id):
            member.detector.hold()

    def unhold(self, lease_id: int, now: float) -> None:
        """The awaited answer came, or is given up; each `hold` is undone by one call."""
        if member := self._by_lease.get(lease_id):
            member.detector.unhold(now)
            self._watch(member)

    def probe_ok(self, lease_id: int, now: float, load: Load | None = None) -> tuple[Transition, ...]:
        """A probe was answered, with the engine's metrics where it has them."""
        member = self._by_lease.get(lease_id)
        return self._hear(member, load, now) if member else ()

    def probe_failed(self, lease_id: int, now: float) -> tuple[Transition, ...]:
        """A probe was refused, timed out or answered wrongly."""
        member = self._by_lease.get(lease_id)
        if member is None:
            return ()
        old = member.state
        member.detector.fail()
        return self._moved(member, old, Reason.PROBES_FAILED, now)

    def leave(self, lease_id: int, now: float) -> tuple[Transition, ...]:
        """The control connection of this lease closed: out at once. A superseded lease leaves without effect."""
        member = self._by_lease.get(lease_id)
        return (self._remove(member, Reason.LEFT, now),) if member else ()

    def drain(self, name: str, now: float) -> tuple[Transition, ...]:
        """No new work for it until `undrain`, or until another process registers under its name.

        Raises:
            KeyError: no backend has this name.
        """
        member = self._by_name[name]
        self._drains.ask(member.spec)
        old = member.state
        member.detector.operator_drains(True)
        return self._moved(member, old, Reason.DRAIN, now)

    def undrain(self, name: str, now: float) -> tuple[Transition, ...]:
        """Take back a `drain` (KeyError: no backend has this name)."""
        member = self._by_name[name]
        self._drains.take_back(member.spec)
        old = member.state
        member.detector.operator_drains(False)
        return self._moved(member, old, Reason.UNDRAIN, now)

    def agent_drain(self, lease_id: int, wanted: bool, now: float) -> tuple[Transition, ...]:
        """The backend's own wish, between two beats that would say the same; it ends with the lease."""
        member = self._by_lease.get(lease_id)
        if member is None:
            return ()
        old = member.state
        member.detector.agent_drains(wanted)
        return self._moved(member, old, reason_of(old, member.state), now)

    def advance(self, now: float) -> tuple[Transition, ...]:
        """Let time pass; to be called every `tick_s`. A longer gap was this process's own stall and kills nobody."""
        self.stall_s = stall_s = self._stall.tick(now)
        if stall_s:
            for member in self._by_name.values():
                member.extend(stall_s, now)
        transitions = self._late(now) if now >= self._due_at else []
        self._parking.advance(now)
        self.breaker.advance(now, self.view, stall_s)
        return tuple(transitions)

    def deadline(self) -> float:
        """When `advance` can next change a backend's state, if nothing is heard until then (inf: never)."""
        times = [min(m.detector.deadline(), self._forget_at(m)) for m in self._by_name.values()]
        return min(times, default=math.inf)

    def _late(self, now: float) -> list[Transition]:
        """What silence until `now` brought about."""
        transitions: list[Transition] = []
        for member in list(self._by_name.values()):
            if member.detector.deadline() <= now:
                old = member.state
                member.detector.advance(now)
                transitions += self._moved(member, old, Reason.SILENT, now)
            if now >= self._forget_at(member):
                transitions.append(self._remove(member, Reason.FORGOTTEN, now))
        self._due_at = self.deadline()
        return transitions

    def _watch(self, member: Member) -> None:
        """Its deadline may have come nearer, which no sign of life does."""
        self._due_at = min(self._due_at, member.detector.deadline(), self._forget_at(member))

    def _hear(self, member: Member, load: Load | None, now: float) -> tuple[Transition, ...]:
        detector = member.detector
        old = detector.state
        member.beats += 1
        if load is None:
            detector.hear(True, now)
        else:
            member.load = load
            detector.agent_drains(load.draining)
            detector.hear(load.is_ready, now)
            self.ledger.record(member.index, load)
        new = detector.state
        return () if new is old else self._moved(member, old, reason_of(old, new), now)

    def _moved(self, member: Member, old: State, reason: Reason, now: float) -> tuple[Transition, ...]:
        new = member.state
        if new is old:
            return ()
        member.dead_at = now if new is State.DEAD else None
        self._watch(member)
        self.breaker.moved(member.index, new, now)
        self._changed = True
        return (_transition(member, old, new, reason),)

    def _register_again(
        self, member: Member, spec: BackendSpec, timings: Timings, key: bytes, now: float
    ) -> Registered:
        old = member.state
        self._drop(member, now)
        if is_same_process(member, spec):
            self.ledger.resume(member.index, spec)
            member.detector.registered_again(now)
            again = self._admit(spec, member.index, member.detector, key, now)
            again.load = member.load
            transitions = self._moved(again, old, Reason.REGISTERED, now)
        else:
            self.ledger.restart(member.index, spec)
            again = self._admit(spec, member.index, Detector(timings, now), key, now)
            # Names the process that ended, whose exchanges end with it.
            transitions = (_transition(member, old, again.state, Reason.RESTARTED),)
        return Registered(again.lease_id, again.index, transitions, member.lease_id)

    def _at_address(self, spec: BackendSpec) -> Member | None:
        """Another registered backend at this address; a configured URL may be there twice, with two keys."""
        if spec.kind == "upstream":
            return None
        name = self._by_address.get(spec.address)
        return self._by_name[name] if name is not None and name != spec.name else None

    def _admit(self, spec: BackendSpec, index: int, detector: Detector, key: bytes, now: float) -> Member:
        detector.operator_drains(self._drains.wanted(spec))
        member = Member(self._next_lease_id, index, self.ledger.generation[index], spec, detector, now, key)
        self._next_lease_id += 1
        self._by_lease[member.lease_id] = member
        self._by_name[spec.name] = member
        if spec.kind != "upstream":
            self._by_address[spec.address] = spec.name
        self._models.offer(spec.models)
        self._watch(member)
        self.breaker.moved(index, detector.state, now)
        self._changed = True
        return member

    def _drop(self, member: Member, now: float) -> None:
        del self._by_lease[member.lease_id]
        del self._by_name[member.spec.name]
        if member.spec.kind != "upstream":
            del self._by_address[member.spec.address]
        self._models.withdraw(member.spec.models, now)
        self._changed = True

    def _remove(self, member: Member, reason: Reason, now: float) -> Transition:
        transition = _transition(member, member.state, None, reason)
        self._drop(member, now)
        self.breaker.moved(member.index, None, now)
        if reason is Reason.LEFT:
            self._parking.park(member.index, now)
        else:
            self.ledger.close(member.index)
        return transition

    def _forget_at(self, member: Member) -> float:
        if member.dead_at is None or member.spec.kind == "upstream":
            return math.inf
        return member.dead_at + self._forget_s


def _transition(member: Member, old: State | None, new: State | None, reason: Reason) -> Transition:
    return Transition(member.spec.name, member.index, member.generation, member.lease_id, old, new, reason)
