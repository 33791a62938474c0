"""Ejects backends by what their requests come to: failures in a row, or a pace far from that of their peers.

Strategy: passive, for what no heartbeat tells: an engine that beats well and serves badly. Three states, which are the
gates in the ledger, so that routing sees them without asking here:

* in service (IN_SERVICE). `BreakerLimits.failures` in a row, or being an outlier, ejects.
* ejected (SHUT until a time): nothing new. Its nth ejection lasts n times as long as the first, up to a limit; one is
  forgiven for each time in service as long as the first, as in Envoy. What still runs there decides nothing.
* half open (ON_TRIAL; SHUT without a time while the trial runs): one request at a time. Its success puts the backend in
  service, eased in (`ramp.py`); its failure ejects again, and so does a success as slow as what it was ejected for; one
  that is cancelled decides nothing, and the next is the trial.

The detector says who lives, the breaker who works. What fails because a backend is dead or has left isn't held against
it; one that comes back from the dead is eased in. A new process (the ledger's generation) starts with a clean slate,
the same process on a new connection does not. When ejections are not heeded is in `routing/panic.py`.

Time takes effect only in `advance`; a stall of this process moves all deadlines and ends what was measured.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from typing import Literal, NamedTuple

import numpy as np

from balancer.pool.backend import State
from balancer.pool.breaker_limits import BreakerLimits
from balancer.pool.ledger import IN_SERVICE, ON_TRIAL, SHUT, Lease, Ledger
from balancer.pool.outliers import Comparison, Slow
from balancer.pool.panics import PanicWatch
from balancer.pool.ramp import Ramps
from balancer.pool.view import PoolView

EVENTS_MAX = 1024
"""Kept for `take_events`; beyond them the oldest are lost."""

_HERE, _LEFT, _DEAD = 0, 1, 2


class BreakerEvent(NamedTuple):
    """Something for the log."""

    name: str
    """The backend; in a panic the model."""
    kind: Literal["ejected", "half_open", "readmitted", "panic", "panic_over"]
    reason: str
    seconds: float = 0.0
    """How long it is ejected, or eased in."""


class BreakerStatus(NamedTuple):
    """What an operator wants to know of one backend."""

    state: Literal["closed", "open", "half_open", "ramping"]
    ejections: int
    """Not yet forgiven."""
    until_s: float | None
    """Seconds until the trial (open), or until it has its whole weight (ramping)."""


class Breaker:
    """Of all backends of one ledger, by index. Call `succeeded` and `failed` before the lease is released."""

    def __init__(self, ledger: Ledger, limits: BreakerLimits) -> None:
        capacity = len(ledger.generation)
        ledger.panic_share = limits.panic_share
        self.limits = limits
        self._ledger = ledger
        self._ramps = Ramps(ledger, limits.ramp_from, limits.ramp_s)
        self._comparison = Comparison(capacity, limits)
        self._panics = PanicWatch(ledger)
        self._generation = list(ledger.generation)
        self._failures = array("q", bytes(8 * capacity))
        self._ejections = array("q", bytes(8 * capacity))
        self._serves_since = array("d", bytes(8 * capacity))
        self._away = array("b", bytes(capacity))
        self._slow: dict[int, Slow] = {}
        """What those were ejected for that are too slow."""
        self._events: deque[BreakerEvent] = deque(maxlen=EVENTS_MAX)
        self._check_at = -math.inf

    # --- what requests come to

    def succeeded(
        self,
        lease: Lease,
        now: float,
        *,
        ttft_s: float | None = None,
        prompt_tokens: int | None = None,
        itl_s: float | None = None,
    ) -> tuple[BreakerEvent, ...]:
        """A request was answered in full. Times that aren't known, or aren't the engine's, are None.

        `ttft_s`: from the request's departure to its first token. `prompt_tokens`: of these, what was not in the
        engine's cache, where that is known. `itl_s`: the mean time between tokens.
        """
        index = lease.index
        if not self._knows(lease):
            return ()
        times = self._comparison.times(ttft_s, prompt_tokens, itl_s)
        if self._ledger.gate[index] == IN_SERVICE:
            self._failures[index] = 0
            self._comparison.add(index, times, now)
            return ()
        if not self._ledger.decides(lease):
            return ()
        slow = self._slow.get(index)
        if slow is not None:
            taken_s = times.itl_s if slow.kind == "itl" else times.ttft_s
            if taken_s is not None and taken_s > slow.bearable_s:
                return (self._eject(index, "its trial was as slow as before", now, slow),)
        return (self._readmit(index, now),)

    def failed(self, lease: Lease, now: float) -> tuple[BreakerEvent, ...]:
        """A request failed by the backend's fault (connect, reset, 5xx, junk, too late), not because it was busy."""
        index = lease.index
        if not self._knows(lease) or self._away[index]:
            return ()
        if self._ledger.gate[index] == IN_SERVICE:
            self._failures[index] += 1
            if self._failures[index] < self.limits.failures:
                return ()
            return (self._eject(index, f"{self.limits.failures} failures in a row", now),)
        if self._ledger.decides(lease):
            return (self._eject(index, "its trial failed", now, self._slow.get(index)),)
        return ()

    # --- the pool and time

    def moved(self, index: int, state: State | None, now: float) -> None:
        """The registry's: a backend changed state; None: it has left."""
        self._meet(index)
        if state is None or state is State.DEAD:
            self._ejections[index] = self._unforgiven(index, now)
            self._away[index] = _DEAD if state is State.DEAD else max(self._away[index], _LEFT)
        elif state is State.ALIVE and self._away[index]:
            if self._away[index] == _DEAD and self._ledger.gate[index] == IN_SERVICE:
                self._ramps.begin(index, now)
            self._away[index] = _HERE
            self._failures[index] = 0
            self._serves_since[index] = now

    def advance(self, now: float, view: PoolView, stall_s: float = 0.0) -> None:
        """Let time pass; the registry's. What it brings about is told by `take_events`."""
        if stall_s:
            self._extend(stall_s, now)
        self._ramps.advance(now)
        opened = self._open_trials(now) if self._ledger.gated else []
        if now >= self._check_at:
            self._check_at = now + self.limits.check_s
            opened += self._eject_outliers(view, now)  # which may be a panic: then there are slots again
            self._tell_panics(view)
        for index in opened:
            self._ledger.tell_free(index)

    def take_events(self) -> tuple[BreakerEvent, ...]:
        """What `advance` brought about since the last call."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def state_of(self, index: int, now: float) -> BreakerStatus:
        """For people."""
        self._meet(index)
        ejections = self._unforgiven(index, now)
        ramps_until = self._ramps.until(index)
        if self._ledger.gate[index] == IN_SERVICE:
            if ramps_until is None:
                return BreakerStatus("closed", ejections, None)
            return BreakerStatus("ramping", ejections, max(0.0, ramps_until - now))
        until = self._ledger.shut_until[index]
        if self._ledger.gate[index] == SHUT and until < math.inf:
            return BreakerStatus("open", ejections, max(0.0, until - now))
        return BreakerStatus("half_open", ejections, None)

    # --- one backend

    def _knows(self, lease: Lease) -> bool:
        """Whether the lease is of the process that is there now; if so, its numbers are."""
        generation, index = lease.generation, lease.index
        if self._ledger.generation[index] != generation:
            return False
        if self._generation[index] != generation:
            self._meet(index)
        return True

    def _meet(self, index: int) -> None:
        """Forget whoever had this index before."""
        generation = self._ledger.generation[index]
        if self._generation[index] == generation:
            return
        self._generation[index] = generation
        self._failures[index] = 0
        self._ejections[index] = 0
        self._serves_since[index] = 0.0
        self._away[index] = _HERE
        self._slow.pop(index, None)
        self._comparison.forget(index)

    def _unforgiven(self, index: int, now: float) -> int:
        count = self._ejections[index]
        if not count or self._away[index] or self._ledger.gate[index] != IN_SERVICE:
            return count
        return max(0, count - int((now - self._serves_since[index]) / self.limits.ejection_s))

    def _eject(self, index: int, reason: str, now: float, slow: Slow | None = None) -> BreakerEvent:
        most = math.ceil(self.limits.ejection_max_s / self.limits.ejection_s)
        count = min(self._unforgiven(index, now) + 1, most)
        seconds = min(count * self.limits.ejection_s, self.limits.ejection_max_s)
        self._ejections[index] = count
        self._failures[index] = 0
        self._comparison.forget(index)
        if slow is not None:
            self._slow[index] = slow
        self._ramps.end(index)  # in a panic it serves with its whole weight
        self._ledger.set_gate(index, SHUT, now + seconds)
        return BreakerEvent(self._name(index), "ejected", reason, seconds)

    def _readmit(self, index: int, now: float) -> BreakerEvent:
        self._ledger.set_gate(index, IN_SERVICE)
        self._serves_since[index] = now
        self._slow.pop(index, None)
        self._ramps.begin(index, now)
        return BreakerEvent(self._name(index), "readmitted", "its trial succeeded", self.limits.ramp_s)

    def _name(self, index: int) -> str:
        spec = self._ledger.specs[index]
        return spec.name if spec is not None else "?"

    # --- all backends

    def _open_trials(self, now: float) -> list[int]:
        gates = self._ledger
        due: list[int] = np.flatnonzero((gates.gate_np == SHUT) & (gates.shut_until_np <= now)).tolist()
        for index in due:
            gates.set_gate(index, ON_TRIAL)
            self._events.append(BreakerEvent(self._name(index), "half_open", "its ejection is over"))
        return due

    def _eject_outliers(self, view: PoolView, now: float) -> list[int]:
        found = {slow.backend: slow for slow in self._comparison.find(view, now)}
        for index, slow in found.items():
            self._events.append(self._eject(index, slow.reason, now, slow))
        return list(found)

    def _tell_panics(self, view: PoolView) -> None:
        began, over = self._panics.look(view)
        for panic in began:
            reason = f"{panic.ejected} of {panic.of} backends are ejected: ejections are not heeded"
            self._events.append(BreakerEvent(panic.model, "panic", reason))
        for model in over:
            self._events.append(BreakerEvent(model, "panic_over", "enough backends are in service"))

    def _extend(self, stall_s: float, now: float) -> None:
        ejected = self._ledger.gate_np == SHUT
        self._ledger.shut_until_np[ejected] += stall_s
        self._ramps.extend(stall_s, now)
        self._comparison.clear()
