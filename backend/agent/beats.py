"""Which beat goes when and on which way. Pure: ``now`` is monotonic seconds, nothing here sends.

Every beat goes by UDP, and the balancer acknowledges it there. A beat whose predecessor was not acknowledged goes
over the control connection as well, under its own lower sequence number: whichever arrives counts, and the datagram,
having the higher number, is acknowledged whenever UDP arrives again. So one lost datagram costs nothing, a blocked
UDP port costs no beat, and nobody has to decide that UDP "is down".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backend.engines.base import EngineLoad
from balancer.wire.heartbeat import Beat

HEDGE_AFTER_MISSED: Final = 1
"""Unacknowledged datagrams in a row after which beats go over the control connection too."""
BLOCKED_AFTER_MISSED: Final = 3
"""... after which UDP is reported as blocked."""
LOST_AFTER_BEATS: Final = 30
"""Beats in a row acknowledged on no way: the balancer's machine is gone, connect anew. Long enough for a balancer
that stands still for 15 s; counted in beats, so that our own standing still counts for nothing."""


@dataclass(frozen=True, slots=True)
class Due:
    """Send now. ``control`` is the sequence number of the copy for the control connection, if one is to go."""

    datagram: int
    control: int | None = None


class BeatPlan:
    """The beats of one lease. Sequence numbers start at 1."""

    __slots__ = ("_beat_s", "_due_at", "_last_datagram", "_sequence", "_udp_acked", "missed", "unheard")

    def __init__(self, beat_s: float, now: float) -> None:
        self._beat_s = beat_s
        self._due_at = now  # the first one at once: it tells the load, and whether UDP arrives
        self._sequence = 0
        self._last_datagram = 0
        self._udp_acked = True
        self.missed = 0
        """Datagrams in a row whose acknowledgement did not come before the next beat."""
        self.unheard = 0
        """Beats in a row since the balancer last acknowledged anything."""

    @property
    def blocked(self) -> bool:
        return self.missed >= BLOCKED_AFTER_MISSED

    @property
    def lost(self) -> bool:
        return self.unheard >= LOST_AFTER_BEATS

    def wait_s(self, now: float) -> float:
        """Until the next beat is due."""
        return max(0.0, self._due_at - now)

    def due(self, now: float) -> Due | None:
        """The beat to send now, if one is due. After a pause of our own there is one, not all that were missed."""
        if now < self._due_at:
            return None
        self._due_at = max(self._due_at + self._beat_s, now + self._beat_s / 2)
        self.missed = 0 if self._udp_acked else self.missed + 1
        self.unheard += 1
        self._udp_acked = False
        control = self._next_sequence() if self.missed >= HEDGE_AFTER_MISSED else None
        self._last_datagram = self._next_sequence()
        return Due(self._last_datagram, control)

    def acked(self, sequence: int, *, by_udp: bool) -> None:
        """An acknowledgement arrived. A late one shows that UDP arrives, but not within a beat."""
        if not 0 < sequence <= self._sequence:
            return
        self.unheard = 0
        if by_udp and sequence == self._last_datagram:
            self._udp_acked = True

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence


def beat(load: EngineLoad, sequence: int, *, slots: int, draining: bool) -> Beat:
    """What the heartbeat says for this load."""
    return Beat(
        sequence,
        running=load.running,
        waiting=load.waiting,
        slots=slots,
        prefill_tokens_running=load.prefill_tokens_running,
        prefill_tokens_waiting=load.prefill_tokens_waiting,
        kv_tokens_used=load.kv_tokens_used,
        kv_tokens_total=load.kv_tokens_total,
        tokens_per_s=load.tokens_per_s,
        ms_since_step=load.ms_since_step,
        ready=load.ready and not load.stuck,
        draining=draining,
    )
