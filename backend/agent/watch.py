"""Whether a foreign engine answers and makes progress. Pure: ``now`` is monotonic seconds, nothing here asks.

An engine is ready while it answers. It is not after `FAILURES_MAX` polls in a row without an answer, nor once it has
had work for ten seconds while none of the numbers it shows has moved: an HTTP server answers on for an engine that
hangs. An engine that shows no such numbers can only be judged by its answers.
"""

from __future__ import annotations

import math
from typing import Final

from backend.engines.base import EngineLoad
from balancer.wire import engine_metrics

FAILURES_MAX: Final = 2


class EngineWatch:
    """What is known of one engine between two polls; it has answered at ``now``."""

    def __init__(self, now: float) -> None:
        self._failures = 0
        self._metrics: engine_metrics.EngineLoad | None = None
        self._moved_at = now

    @property
    def answers(self) -> bool:
        return self._failures < FAILURES_MAX

    @property
    def known_load(self) -> int | None:
        """Requests that it runs or holds, as last told; ``None`` where it tells none."""
        return self._metrics.running + self._metrics.waiting if self._metrics is not None else None

    def answered(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1

    def began_anew(self, now: float) -> None:
        """It was gone and is back: what its metrics said before is over."""
        self._metrics, self._moved_at, self._failures = None, now, 0

    def measured(self, metrics: engine_metrics.EngineLoad, now: float) -> None:
        """Its metrics were read."""
        if metrics != self._metrics or not self._can_stall(metrics):
            self._moved_at = now
        self._metrics = metrics

    def unmeasured(self) -> None:
        """It has no metrics, or none that say anything."""
        self._metrics = None

    def load(self, now: float) -> EngineLoad:
        """For the next beat."""
        metrics = self._metrics
        if metrics is None or not self.answers:
            return EngineLoad(ready=self.answers)
        stalled_s = now - self._moved_at if self._can_stall(metrics) else 0.0
        used, total = metrics.kv_tokens_used_and_total
        return EngineLoad(
            running=metrics.running,
            waiting=metrics.waiting,
            kv_tokens_used=used,
            kv_tokens_total=total,
            ms_since_step=math.floor(1000 * stalled_s),
        )

    @staticmethod
    def _can_stall(metrics: engine_metrics.EngineLoad) -> bool:
        """It has work, and would show progress."""
        return bool(metrics.progress) and metrics.running + metrics.waiting > 0
