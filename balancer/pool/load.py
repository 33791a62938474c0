"""What a backend's heartbeat, or a probe of its metrics, says about its engine at this moment."""

from __future__ import annotations

from typing import NamedTuple

STUCK_AFTER_MS = 10_000
"""An engine that has work and takes no step for this long is not ready, whatever its agent says."""


class Load(NamedTuple):
    """One report; counts of requests and of tokens. `slots` 0 means not told: the registered number stays."""

    running: int = 0
    waiting: int = 0
    slots: int = 0
    prefill_tokens_running: int = 0
    prefill_tokens_waiting: int = 0
    kv_tokens_used: int = 0
    kv_tokens_total: int = 0
    tokens_per_s: float = 0.0
    ms_since_step: int = 0
    ready: bool = True
    draining: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether new work may go there: its agent says so, and the engine isn't stuck."""
        return self.ready and not (self.running > 0 and self.ms_since_step >= STUCK_AFTER_MS)
