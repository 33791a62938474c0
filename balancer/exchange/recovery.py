"""What has failed of one exchange so far, and whether another backend may be asked. Pure; made at the first failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balancer import errors
from balancer.errors import Failure

ATTEMPTS_MAX: Final = 3
"""Not counting those whose backend was declared dead: that was not the request's doing."""
LOSSES_MAX: Final = 8
RESUMES_MAX: Final = 8
BUSY_AVOID_MIN_S: Final = 0.05
BUSY_AVOID_MAX_S: Final = 1.0
"""A backend that answered 429 is left alone this long at most: its next beat tells more than its header."""


def avoid_s(failure: Failure) -> float:
    """How long a backend that was too busy gets no new work."""
    return max(BUSY_AVOID_MIN_S, min(failure.retry_after_s or BUSY_AVOID_MAX_S, BUSY_AVOID_MAX_S))


class Recovery:
    """Of one exchange."""

    __slots__ = ("_losses", "_resumes")

    def __init__(self) -> None:
        self._losses = 0
        """Backends that were declared dead before they answered."""
        self._resumes = 0
        """How often another backend was to go on."""

    def may_resume(self) -> bool:
        """An answer broke off: may another backend go on with it, once more?"""
        self._resumes += 1
        return self._resumes <= RESUMES_MAX

    def may_retry(self, failure: Failure, attempts: int, budget: Callable[[], bool]) -> bool:
        """The last of so many ``attempts`` came to nothing: may another backend be asked?

        A backend that the pool knows to be dead gets no more requests, so moving away from it can feed no storm; any
        other failure spends the ``budget``.
        """
        if failure.code == errors.BACKEND_LOST:
            self._losses += 1
            return self._losses <= LOSSES_MAX
        return failure.retryable and attempts - self._losses < ATTEMPTS_MAX and budget()
