"""The failure detector of one backend: a table of states and events, and the clock that feeds it.

Strategy: all transitions are in `TABLE`; a pair that isn't there can't happen, and is a KeyError if it does.
The detector turns what is seen of a backend (signs of life, failed probes, silence, a wish to drain) into
events. Agents, probes and classic heartbeats differ only in their `Timings`.

Rejected: a phi-accrual detector (Hayashibara et al., 2004). With a beat each second, three missed beats are
a bound that can be stated and tested; a learned one is neither.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from balancer.pool.backend import State


class Event(enum.Enum):
    """What can be seen of a backend, or be asked for it."""

    READY = "ready"  # a beat or a probe: lives and can take work
    UNREADY = "unready"  # lives, but its engine can't take work
    MISSED = "missed"  # silent, or failing probes, long enough to be doubted
    EXPIRED = "expired"  # silent, or failing probes, for too long
    REGISTERED = "registered"  # the same process has registered again: lives, readiness unknown
    DRAIN = "drain"
    UNDRAIN = "undrain"


TABLE: dict[tuple[State, Event], State] = {
    (State.JOINING, Event.READY): State.ALIVE,
    (State.JOINING, Event.UNREADY): State.JOINING,
    (State.JOINING, Event.MISSED): State.JOINING,
    (State.JOINING, Event.EXPIRED): State.DEAD,
    (State.JOINING, Event.REGISTERED): State.JOINING,
    (State.JOINING, Event.DRAIN): State.DRAINING,
    (State.ALIVE, Event.READY): State.ALIVE,
    (State.ALIVE, Event.UNREADY): State.JOINING,
    (State.ALIVE, Event.MISSED): State.SUSPECT,
    (State.ALIVE, Event.EXPIRED): State.DEAD,
    (State.ALIVE, Event.REGISTERED): State.ALIVE,
    (State.ALIVE, Event.DRAIN): State.DRAINING,
    (State.SUSPECT, Event.READY): State.ALIVE,
    (State.SUSPECT, Event.UNREADY): State.JOINING,
    (State.SUSPECT, Event.MISSED): State.SUSPECT,
    (State.SUSPECT, Event.EXPIRED): State.DEAD,
    (State.SUSPECT, Event.REGISTERED): State.SUSPECT,
    (State.SUSPECT, Event.DRAIN): State.DRAINING,
    # A frozen backend that thaws beats on its old lease: it is back without registering again.
    (State.DEAD, Event.READY): State.ALIVE,
    (State.DEAD, Event.UNREADY): State.JOINING,
    (State.DEAD, Event.REGISTERED): State.JOINING,
    # Only a sign of life brings a dead one back: a drain of it is remembered by the detector, not by the state.
    (State.DEAD, Event.DRAIN): State.DEAD,
    # Draining outlasts beats and doubts, but not death: its streams must be ended at that instant too.
    (State.DRAINING, Event.READY): State.DRAINING,
    (State.DRAINING, Event.UNREADY): State.DRAINING,
    (State.DRAINING, Event.MISSED): State.DRAINING,
    (State.DRAINING, Event.EXPIRED): State.DEAD,
    (State.DRAINING, Event.REGISTERED): State.DRAINING,
    (State.DRAINING, Event.UNDRAIN): State.JOINING,
}


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a backend may be silent (s), and how many probes in a row may fail, before it is doubted, or dead."""

    suspect_after_s: float
    dead_after_s: float
    suspect_failures: int = 2
    dead_failures: int = 3
    starts_ready: bool = False
    """Believed alive on registering; otherwise joining until the first sign of readiness."""


def of_beats(interval_s: float) -> Timings:
    """Timings for a beat each `interval_s`: suspect when 2 are missed, dead when 3 are.

    A beat is missed when half an interval has passed since it was due.
    """
    return Timings(suspect_after_s=2.5 * interval_s, dead_after_s=3.5 * interval_s)


NATIVE = of_beats(1.0)
CLASSIC = Timings(suspect_after_s=7.5, dead_after_s=10.0, starts_ready=True)
"""A classic backend beats every 5 s."""
PROBED = Timings(suspect_after_s=math.inf, dead_after_s=math.inf)
PASSIVE = Timings(suspect_after_s=math.inf, dead_after_s=math.inf, starts_ready=True)


class Detector:
    """What is believed of one backend, from `registered` at `now` on."""

    __slots__ = ("_agent_drains", "_failures", "_heard_at", "_holds", "_operator_drains", "_ready", "_timings", "state")

    def __init__(self, timings: Timings, now: float) -> None:
        self._timings = timings
        self._heard_at = now
        self._failures = 0
        self._holds = 0
        self._ready = timings.starts_ready
        self._operator_drains = False
        self._agent_drains = False
        self.state = State.ALIVE if timings.starts_ready else State.JOINING

    @property
    def heard_at(self) -> float:
        """When the last sign of life came, moved on by this process's own stalls."""
        return self._heard_at

    @property
    def drains(self) -> bool:
        """Whether its operator or its agent wants it drained (also while it is dead)."""
        return self._operator_drains or self._agent_drains

    def hear(self, ready: bool, now: float) -> None:
        """A beat came, or a probe was answered."""
        self._heard_at = now
        self._failures = 0
        self._ready = ready
        if ready and self.state is State.ALIVE and not self._agent_drains and not self._operator_drains:
            return  # as with nearly every beat
        self._feed(Event.READY if ready else Event.UNREADY)
        self._keep_draining()

    def fail(self) -> None:
        """A probe failed."""
        self._failures += 1
        if self.state is State.DEAD:
            return
        if self._failures < self._timings.suspect_failures:
            return
        self._ready = False
        expired = self._failures >= self._timings.dead_failures
        self._feed(Event.EXPIRED if expired else Event.MISSED)

    def registered_again(self, now: float) -> None:
        """The same process came back on a new connection: a sign of life, not of readiness."""
        self._heard_at = now
        self._failures = 0
        self._holds = 0
        self._feed(Event.REGISTERED)
        self._keep_draining()

    def operator_drains(self, wanted: bool) -> None:
        """The operator's wish; it lasts until it is taken back."""
        self._operator_drains = wanted
        self._follow_wishes()

    def agent_drains(self, wanted: bool) -> None:
        """The agent's wish, as each of its beats repeats it."""
        if wanted is not self._agent_drains:
            self._agent_drains = wanted
            self._follow_wishes()

    def hold(self) -> None:
        """Silence doesn't count from here: an answer is awaited from a backend that can't beat meanwhile."""
        self._holds += 1

    def unhold(self, now: float) -> None:
        """One awaited answer less; with the last, silence counts from `now`."""
        if self._holds > 0:
            self._holds -= 1
            self._heard_at = now

    def deadline(self) -> float:
        """When `advance` can next change the state, if nothing is heard until then (inf: never)."""
        if self._holds or self.state is State.DEAD:
            return math.inf
        if self.state is State.ALIVE:
            return self._heard_at + self._timings.suspect_after_s
        return self._heard_at + self._timings.dead_after_s

    def advance(self, now: float) -> None:
        """Let silence until `now` have its effect."""
        if now < self.deadline():
            return
        expired = now >= self._heard_at + self._timings.dead_after_s
        self._feed(Event.EXPIRED if expired else Event.MISSED)

    def extend(self, stall_s: float, now: float) -> None:
        """This process itself stood still for `stall_s`: that silence was ours and doesn't count."""
        self._heard_at = min(self._heard_at + stall_s, now)

    def _feed(self, event: Event) -> None:
        self.state = TABLE[self.state, event]

    def _keep_draining(self) -> None:
        if self.drains and self.state is not State.DRAINING:
            self._feed(Event.DRAIN)

    def _follow_wishes(self) -> None:
        if self.drains:
            self._keep_draining()
        elif self.state is State.DRAINING:
            self._feed(Event.UNDRAIN)
            # It may have nothing new to say for a while (a classic one, for 5 s): what it last said stands.
            if self._ready:
                self._feed(Event.READY)
