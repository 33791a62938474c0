"""How many retries are too many: a budget, so that a pool in trouble is not asked three times for everything.

After Finagle's and Envoy's retry budgets: within ten seconds at most a fifth as many retries as requests (those under
way count, too, since one may have begun long ago), but always three. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SHARE: Final = 0.2
ALWAYS: Final = 3
WINDOW_S: Final = 10.0


class RetryBudget:
    """Counts in steps: `advance` begins a new one, a few times a second."""

    __slots__ = ("_asked", "_retried", "_steps", "_total_asked", "_total_retried")

    def __init__(self) -> None:
        self._asked = 0
        self._retried = 0
        self._steps: deque[tuple[float, int, int]] = deque()
        self._total_asked = 0
        self._total_retried = 0

    def asked(self) -> None:
        """A request came."""
        self._asked += 1

    def spend(self, active: int) -> bool:
        """Whether one more retry is within the budget, with so many requests under way; if so, it is spent."""
        asked = max(self._asked + self._total_asked, active)
        if self._retried + self._total_retried >= max(ALWAYS, SHARE * asked):
            return False
        self._retried += 1
        return True

    def advance(self, now: float) -> None:
        """Forget what is older than the window."""
        if self._asked or self._retried:
            self._steps.append((now, self._asked, self._retried))
            self._total_asked += self._asked
            self._total_retried += self._retried
            self._asked = self._retried = 0
        while self._steps and self._steps[0][0] <= now - WINDOW_S:
            _, asked, retried = self._steps.popleft()
            self._total_asked -= asked
            self._total_retried -= retried
