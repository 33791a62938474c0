"""How long to wait before the next try: exponential, capped, with jitter."""

from __future__ import annotations

from random import Random

RECONNECT_FIRST_S = 0.1
"""A balancer that restarts is back in a second or two: the first tries come quickly."""
RECONNECT_CAP_S = 5.0
REFUSED_FIRST_S = 2.0
REFUSED_CAP_S = 30.0
"""A refusal (wrong token, name taken) goes away only when a person or a deadline acts."""


class Backoff:
    """``next_s`` doubles from ``first_s`` up to ``cap_s``; each wait is drawn from its upper half, so that backends
    which lost the same balancer do not all come back in the same instant."""

    __slots__ = ("_cap_s", "_first_s", "_rng", "_upper_s")

    def __init__(self, first_s: float, cap_s: float, rng: Random) -> None:
        self._first_s = self._upper_s = first_s
        self._cap_s = cap_s
        self._rng = rng

    def next_s(self) -> float:
        wait_s = self._upper_s * (0.5 + 0.5 * self._rng.random())
        self._upper_s = min(self._cap_s, 2 * self._upper_s)
        return wait_s

    def reset(self) -> None:
        """It worked: the next failure starts from the beginning."""
        self._upper_s = self._first_s
