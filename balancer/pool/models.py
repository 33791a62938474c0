"""Which models were offered lately: one that just lost its last backend is not an unknown model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from balancer.pool.backend import ModelInfo

REMEMBERED_MAX = 4096
"""Names kept of models that nobody offers any more."""


class ModelMemory:
    """Counts the backends that offer each model, and remembers for `keep_s` those that nobody offers."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._offered: Counter[str] = Counter()
        self._gone_at: dict[str, float] = {}  # in the order of going

    def offer(self, models: Iterable[ModelInfo]) -> None:
        """A backend with these models came into the pool."""
        for name in {info.name for info in models}:
            self._offered[name] += 1
            self._gone_at.pop(name, None)

    def withdraw(self, models: Iterable[ModelInfo], now: float) -> None:
        """A backend with these models left the pool."""
        for name in {info.name for info in models}:
            self._offered[name] -= 1
            if self._offered[name] == 0:
                del self._offered[name]
                self._gone_at[name] = now
        self._forget(now)

    def seen(self, name: str, now: float) -> bool:
        """Whether a backend offers the model now, or did at most `keep_s` ago."""
        if name in self._offered:
            return True
        gone_at = self._gone_at.get(name)
        return gone_at is not None and now - gone_at <= self._keep_s

    def _forget(self, now: float) -> None:
        while self._gone_at:
            oldest = next(iter(self._gone_at))
            if len(self._gone_at) <= REMEMBERED_MAX and now - self._gone_at[oldest] <= self._keep_s:
                return
            del self._gone_at[oldest]
