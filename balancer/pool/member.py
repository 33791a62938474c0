"""What the registry knows of one backend in the pool."""

from __future__ import annotations

from dataclasses import dataclass

from balancer.pool.backend import BackendSpec, State
from balancer.pool.detector import Detector
from balancer.pool.load import Load


@dataclass(slots=True)
class Member:
    """One backend and its lease on a place in the pool. Only the registry writes to it."""

    lease_id: int
    index: int
    generation: int
    spec: BackendSpec
    detector: Detector
    registered_at: float
    key: bytes = b""
    """What its beats are verified with; kept for the caller."""
    sequence: int = -1
    """Of the last beat accepted."""
    beats: int = 0
    load: Load | None = None
    """As its last beat or probe reported it."""
    dead_at: float | None = None

    @property
    def state(self) -> State:
        return self.detector.state

    @property
    def heard_at(self) -> float:
        """When its last sign of life came (monotonic s)."""
        return self.detector.heard_at

    @property
    def draining(self) -> bool:
        """Whether its operator or agent wants it drained, also while it is dead."""
        return self.detector.drains

    def extend(self, stall_s: float, now: float) -> None:
        """This process itself stood still for `stall_s`: neither silence nor death counts it."""
        self.detector.extend(stall_s, now)
        if self.dead_at is not None:
            self.dead_at = min(self.dead_at + stall_s, now)
