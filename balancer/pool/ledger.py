"""Leases and loads: numbers that change with every request and every beat.

Strategy: one array per number, as long as the pool may grow, indexed by backend. The arrays are `array.array`,
which plain Python reads fast one at a time, and numpy sees the same memory (`*_np`), for decisions over many.
An index is used again after its backend left; its generation then differs, so that a lease given before
releases harmlessly.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from balancer.pool.backend import BackendSpec
from balancer.pool.load import Load

_INT64_MAX = 2**63 - 1
"""A beat may claim more tokens than an array can hold."""

IN_SERVICE, ON_TRIAL, SHUT = 0, 1, 2
"""What a backend's gate lets through: everything, the one request that is its trial, nothing (but in a panic)."""


class SlotsTaken(Exception):
    """A lease was asked of a backend that has no free slot, or is gone."""


class Lease:
    """One slot of one backend, reserved for one request until `release`, which any number of calls may repeat."""

    __slots__ = ("_ledger", "generation", "index", "released", "spec")

    is_trial: ClassVar[bool] = False
    """Whether the breaker waits for its outcome."""

    def __init__(self, ledger: Ledger, index: int, generation: int, spec: BackendSpec) -> None:
        self._ledger = ledger
        self.index = index
        self.generation = generation
        self.spec = spec
        self.released = False

    @property
    def current(self) -> bool:
        """Whether its backend is still the one that it was given for."""
        return self._ledger.generation[self.index] == self.generation

    def release(self) -> None:
        """Give the slot back; only the first call has an effect, and none if the backend was replaced."""
        if not self.released:
            self.released = True
            self._ledger.give_back(self.index, self.generation)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class TrialLease(Lease):
    """The one lease of an ejected backend whose outcome decides; released without one, another may try."""

    __slots__ = ()

    is_trial: ClassVar[bool] = True

    def release(self) -> None:
        """First the trial is given back, so that whoever is told of the freed slot may take both."""
        if not self.released:
            self._ledger.end_trial(self)
        super().release()


class Ledger:
    """The arrays, and the leases counted in them. Only the registry opens, reopens and closes indexes."""

    def __init__(self, capacity: int) -> None:
        self.on_free: Callable[[int], object] | None = None
        """Called with an index that has a free slot again: after a release, or when a beat tells of more slots."""
        self.on_beat: Callable[[int], object] | None = None
        """Called with an index whose backend's load was just recorded."""
        self.specs: list[BackendSpec | None] = [None] * capacity
        self.generation: list[int] = [0] * capacity
        self.in_flight = _integers(capacity)
        self.slots = _integers(capacity)
        self.weight = _reals(capacity)
        self.busy_until = _reals(capacity)
        """Until when (monotonic s) a backend that answered "busy" gets no new work."""
        self.busy_horizon = 0.0
        """The latest `busy_until` of all: past it nobody need look at them."""
        self.share = array("d", [1.0]) * capacity
        """What part of its weight a backend has: less than 1 while it is eased in again."""
        self.gate = array("b", bytes(capacity))
        """IN_SERVICE, ON_TRIAL or SHUT, as the breaker sets it."""
        self.gated = 0
        """How many gates are not IN_SERVICE: while there are none nobody need look at them."""
        self.shut_until = _reals(capacity)
        """When (monotonic s) a gate that is SHUT opens for a trial; inf: when the trial under way ends."""
        self.panic_share = 0.5
        """If a larger part than this of those who could serve is gated, no gate is heeded."""
        self._trials: dict[int, TrialLease] = {}
        self.prefill_running = _integers(capacity)
        self.prefill_waiting = _integers(capacity)
        self.kv_used = _integers(capacity)
        self.kv_total = _integers(capacity)
        self.in_flight_np: npt.NDArray[np.int64] = np.frombuffer(self.in_flight, dtype=np.int64)
        self.slots_np: npt.NDArray[np.int64] = np.frombuffer(self.slots, dtype=np.int64)
        self.weight_np: npt.NDArray[np.float64] = np.frombuffer(self.weight, dtype=np.float64)
        self.busy_until_np: npt.NDArray[np.float64] = np.frombuffer(self.busy_until, dtype=np.float64)
        self.gate_np: npt.NDArray[np.int8] = np.frombuffer(self.gate, dtype=np.int8)
        self.shut_until_np: npt.NDArray[np.float64] = np.frombuffer(self.shut_until, dtype=np.float64)
        self._free = deque(range(capacity))

    @property
    def has_room(self) -> bool:
        """Whether another index can be opened."""
        return bool(self._free)

    def lease(self, index: int, *, force: bool = False) -> Lease:
        """Reserve a slot; `force` goes above the slots. On a backend that is ON_TRIAL it is the trial.

        Raises:
            SlotsTaken: no slot is free, or no backend has this index.
        """
        spec = self.specs[index]
        if spec is None or (self.in_flight[index] >= self.slots[index] and not force):
            raise SlotsTaken(index)
        self.in_flight[index] += 1
        if self.gated and self.gate[index] == ON_TRIAL:
            self.gate[index] = SHUT
            self.shut_until[index] = math.inf
            self._trials[index] = trial = TrialLease(self, index, self.generation[index], spec)
            return trial
        return Lease(self, index, self.generation[index], spec)

    def give_back(self, index: int, generation: int) -> None:
        """What `Lease.release` does, once."""
        if self.generation[index] != generation:
            return
        self.in_flight[index] -= 1
        self.tell_free(index)

    def set_gate(self, index: int, gate: int, until: float = 0.0) -> None:
        """What the breaker decided; `until` is when a SHUT gate will let a trial through. Forgets any trial."""
        self.gated += (gate != IN_SERVICE) - (self.gate[index] != IN_SERVICE)
        self.gate[index] = gate
        self.shut_until[index] = until
        self._trials.pop(index, None)

    def decides(self, lease: Lease) -> bool:
        """Whether this lease is the trial that its backend's gate waits for, or the last one if none is under way."""
        return self._trials.get(lease.index) is lease

    def end_trial(self, lease: TrialLease) -> None:
        """The trial is over; if nobody has decided anything, the next request is one."""
        if self._trials.get(lease.index) is lease:
            self.gate[lease.index] = ON_TRIAL
            self.shut_until[lease.index] = 0.0

    def set_share(self, index: int, share: float) -> None:
        """Give a backend only this part of its weight."""
        spec = self.specs[index]
        self.share[index] = share
        self.weight[index] = (spec.weight if spec is not None else 0.0) * share

    def tell_free(self, index: int) -> None:
        """Somebody may get a slot of this backend who could not before."""
        if self.on_free is not None and self.in_flight[index] < self.slots[index]:
            self.on_free(index)

    def avoid(self, lease: Lease, until: float) -> None:
        """The backend answered that it is busy: no new work there before `until` (monotonic s)."""
        if lease.current:
            self.busy_until[lease.index] = until
            self.busy_horizon = max(self.busy_horizon, until)

    def record(self, index: int, load: Load) -> None:
        """Take over what decisions need of a beat's report."""
        self.prefill_running[index] = load.prefill_tokens_running
        self.prefill_waiting[index] = load.prefill_tokens_waiting
        self.kv_used[index] = min(load.kv_tokens_used, _INT64_MAX)
        self.kv_total[index] = min(load.kv_tokens_total, _INT64_MAX)
        if load.slots and load.slots != self.slots[index]:
            self.slots[index] = load.slots
            self.tell_free(index)
        if self.on_beat is not None:
            self.on_beat(index)

    def total_in_flight(self) -> int:
        """All leases held, those on backends that left lately included."""
        return int(self.in_flight_np.sum())

    def open(self, spec: BackendSpec) -> int:
        """Give a new backend an index, with nothing in flight (IndexError: no room)."""
        index = self._free.popleft()
        self.restart(index, spec)
        return index

    def restart(self, index: int, spec: BackendSpec) -> None:
        """The backend's process is a new one: what was in flight is gone with the old."""
        self.generation[index] += 1
        self.in_flight[index] = 0
        self.busy_until[index] = 0.0
        self._put_in_service(index)
        self.resume(index, spec)
        self.record(index, Load())

    def resume(self, index: int, spec: BackendSpec) -> None:
        """The backend's process is the same, its registration new: what was in flight still is, and so its gate."""
        self.specs[index] = spec
        self.slots[index] = spec.slots
        self.weight[index] = spec.weight * self.share[index]

    def close(self, index: int) -> None:
        """The backend is gone; its leases release without effect, the index may be used again."""
        self.generation[index] += 1
        self.in_flight[index] = 0
        self.slots[index] = 0
        self.specs[index] = None
        self._put_in_service(index)
        self._free.append(index)

    def _put_in_service(self, index: int) -> None:
        """Nothing is held against a process that is not known yet."""
        self.set_gate(index, IN_SERVICE)
        self.share[index] = 1.0


def _integers(capacity: int) -> array[int]:
    return array("q", bytes(8 * capacity))


def _reals(capacity: int) -> array[float]:
    return array("d", bytes(8 * capacity))
