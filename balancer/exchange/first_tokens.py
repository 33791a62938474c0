"""How late the first tokens of each model are, of its last answers: when may another backend be quicker?"""

from __future__ import annotations

from collections import deque
from typing import Final

KEPT: Final = 256
"""Answers of a model; what it was like before does not matter."""
LEAST: Final = 50
"""Below so many the slowest of twenty is not known."""
MODELS_MAX: Final = 256
SHARE: Final = 0.95
_EVERY: Final = 16
"""Answers after which it is looked at again."""


class _Model:
    __slots__ = ("last", "quantile_s", "since")

    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=KEPT)
        self.quantile_s: float | None = None
        self.since = 0


class FirstTokens:
    """By model, in seconds."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}

    def learn(self, model: str, seconds: float) -> None:
        """Record one time to the first token. Of a hedge's loser it is the time until it was cancelled, a lower bound:
        leaving those out would shrink the quantile with every hedge."""
        found = self._models.get(model)
        if found is None:
            if len(self._models) >= MODELS_MAX:
                del self._models[next(iter(self._models))]
            found = self._models[model] = _Model()
        found.last.append(seconds)
        found.since += 1
        if len(found.last) >= LEAST and (found.since >= _EVERY or found.quantile_s is None):
            found.since = 0
            found.quantile_s = sorted(found.last)[int(SHARE * len(found.last))]

    def late_after_s(self, model: str) -> float | None:
        """What 95 of 100 keep within; ``None`` while too few are known."""
        found = self._models.get(model)
        return found.quantile_s if found is not None else None
