"""What the registry answers: the changes of state that a call caused, and how the call went."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from balancer.pool.backend import State


class Reason(enum.StrEnum):
    """Why a backend changed state."""

    REGISTERED = "registered"
    READY = "ready"
    NOT_READY = "not ready"
    SILENT = "silent"
    PROBES_FAILED = "probes failed"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    RESTARTED = "restarted"
    LEFT = "left"
    FORGOTTEN = "forgotten"  # dead for so long that its lease ended
    RECLAIMED = "reclaimed"  # dead for so long that another took its name or its address


def reason_of(old: State, new: State) -> Reason:
    """Why a sign of life led from `old` to `new`."""
    if new is State.DRAINING:
        return Reason.DRAIN
    if old is State.DRAINING:
        return Reason.UNDRAIN
    return Reason.READY if new is State.ALIVE else Reason.NOT_READY


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of one backend; `old` None is "was not in the pool", `new` None is "has left it"."""

    name: str
    index: int
    generation: int
    lease_id: int
    old: State | None
    new: State | None
    reason: Reason

    @property
    def ends_exchanges(self) -> bool:
        """Whether every exchange with a lease of this index and generation must end at this instant.

        Not when a draining backend leaves: it has said all it had to say, but its last words may still be on their way
        to a client who reads slowly. If it was killed, its connections end by themselves.
        """
        if self.reason is Reason.LEFT and self.old is State.DRAINING:
            return False
        return self.new is None or self.new is State.DEAD or self.reason is Reason.RESTARTED


@dataclass(frozen=True, slots=True)
class Registered:
    """In the pool."""

    lease_id: int
    index: int
    transitions: tuple[Transition, ...]
    superseded: int | None = None
    """The lease that this one takes the place of; if its control connection is still open, close it, lest an agent
    that has two of them waits on the wrong one."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not in the pool: `code` is "conflict" or "pool_full"."""

    code: str
    message: str
    retry_after_s: float


class BeatStatus(enum.StrEnum):
    """What became of a beat."""

    ACCEPTED = "accepted"
    STALE_SEQUENCE = "stale_sequence"
    UNKNOWN_LEASE = "unknown_lease"


@dataclass(frozen=True, slots=True)
class BeatResult:
    """What became of a beat, and what it changed."""

    status: BeatStatus
    transitions: tuple[Transition, ...] = ()
