"""What a backend's heartbeat, or a probe of its metrics, says about its engine at this moment."""

from __future__ import annotations

from dataclasses import dataclass

KV_TOKENS_ASSUMED = 500_000
"""What an engine's KV cache holds, of one that does not tell."""
STUCK_AFTER_MS = 10_000
"""An engine that has work and takes no step for this long is not ready, whatever its agent says."""


@dataclass(init=False, slots=True)
class Load:
    """One report; counts of requests and of tokens. `slots` 0 means not told: the registered number stays.

    Its own ``__init__``: see `balancer.request`.
    """

    running: int
    waiting: int
    slots: int
    prefill_tokens_running: int
    prefill_tokens_waiting: int
    kv_tokens_used: int
    kv_tokens_total: int
    tokens_per_s: float
    ms_since_step: int
    ready: bool
    draining: bool

    def __init__(
        self,
        running: int = 0,
        waiting: int = 0,
        slots: int = 0,
        prefill_tokens_running: int = 0,
        prefill_tokens_waiting: int = 0,
        kv_tokens_used: int = 0,
        kv_tokens_total: int = 0,
        tokens_per_s: float = 0.0,
        ms_since_step: int = 0,
        ready: bool = True,
        draining: bool = False,
    ) -> None:
        self.running = running
        self.waiting = waiting
        self.slots = slots
        self.prefill_tokens_running = prefill_tokens_running
        self.prefill_tokens_waiting = prefill_tokens_waiting
        self.kv_tokens_used = kv_tokens_used
        self.kv_tokens_total = kv_tokens_total
        self.tokens_per_s = tokens_per_s
        self.ms_since_step = ms_since_step
        self.ready = ready
        self.draining = draining

    @property
    def is_ready(self) -> bool:
        """Whether new work may go there: its agent says so, and the engine isn't stuck."""
        return self.ready and not (self.running + self.waiting > 0 and self.ms_since_step >= STUCK_AFTER_MS)
