"""Virtual time: what is to happen, in order; nothing takes any but what says so."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Clock:
    """`now` in seconds. What is due at the same instant happens in the order in which it was planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, happen: Callable[..., object], *args: Any) -> None:
        """Plan something; what is due already happens next."""
        self._count += 1
        heapq.heappush(self._planned, (max(when, self.now), self._count, happen, args))

    def after(self, seconds: float, happen: Callable[..., object], *args: Any) -> None:
        self.at(self.now + seconds, happen, *args)

    def run(self, until: float) -> None:
        """Let everything happen that is due before `until`."""
        planned = self._planned
        while planned and planned[0][0] < until:
            self.now, _, happen, args = heapq.heappop(planned)
            happen(*args)
        self.now = until
