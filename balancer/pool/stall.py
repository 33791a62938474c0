"""Notices that this process itself stood still, so that its own silence isn't blamed on the backends.

Source: the idea of local health awareness in Lifeguard (Dadgar, Phillips, Currey, 2017).
"""

from __future__ import annotations


class StallWatch:
    """Told each `tick_s`; a gap of more than two ticks is a stall."""

    __slots__ = ("_last", "_tick_s")

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._last: float | None = None

    def tick(self, now: float) -> float:
        """How long (s) this process stood still since the last tick; mostly 0.

        The whole gap counts, the tick that was due included: what arrived in it is still to be read.
        """
        last, self._last = self._last, now
        if last is None or now - last <= 2 * self._tick_s:
            return 0.0
        return now - last
