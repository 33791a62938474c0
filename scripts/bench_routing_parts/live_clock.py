"""The simulator's clock in real time: what is planned happens when its time has come, and is told that time.

A thing that is planned for 3.000 s sees ``now`` 3.000, though it may happen a millisecond later; so nothing that plans
its next step from ``now`` falls behind by what timers and a busy machine add.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from scripts.simulate_parts.clock import Clock

LATES_MAX = 1_000_000


class LiveClock(Clock):
    """On the running loop, beginning now; a model's second takes ``slower`` real ones."""

    def __init__(self, slower: float = 1.0) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._slower = slower
        self._began = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._turning = False
        self.lates_s: list[float] = []
        """By how much each turn came too late, in the model's seconds."""

    @property
    def reached(self) -> float:
        """The model's time by the real clock."""
        return (self._loop.time() - self._began) / self._slower

    def at(self, when: float, happen: Callable[..., object], *args: Any) -> None:
        super().at(when, happen, *args)
        if not self._turning:
            self._arm()

    def catch_up(self) -> None:
        """Let happen what is due. To be called before anything that comes from outside the model."""
        self._turning = True
        try:
            self.run(max(self.now, self.reached))
        finally:
            self._turning = False
        self._arm()

    def stop(self) -> None:
        """Nothing happens any more by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if not self._planned:
            return
        at = self._began + self._slower * self._planned[0][0]
        if self._timer is None or at < self._rings_at:
            self.stop()
            self._rings_at = at
            self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._planned and len(self.lates_s) < LATES_MAX:
            self.lates_s.append(max(0.0, self.reached - self._planned[0][0]))
        self.catch_up()
