"""Tokens per second, as heartbeats tell it."""

from __future__ import annotations

import math
from typing import Final

WINDOW_S: Final = 5.0


class RateMeter:
    """An exponentially decaying average of events per second, with the time constant `WINDOW_S`.

    Pure: ``now`` is monotonic seconds. An engine that stops making tokens reads as 0 after a few windows.
    """

    __slots__ = ("_at", "_rate")

    def __init__(self, now: float) -> None:
        self._rate = 0.0
        self._at = now

    def add(self, count: int, now: float) -> None:
        """``count`` events happened just now."""
        self._rate = self.per_s(now) + count / WINDOW_S
        self._at = now

    def per_s(self, now: float) -> float:
        age_s = max(0.0, now - self._at)
        return self._rate * math.exp(-age_s / WINDOW_S)
