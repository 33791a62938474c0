"""The moment by which the stage that a connection is in must be over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """One for each connection; ``late`` is called when a stage lasts longer than it may.

    Few ever do: a timer that fires too early for the stage of now looks again then, since to cancel one and start
    another with every request costs more than all else that is done for it here.
    """

    __slots__ = ("_due", "_fires_at", "_late", "_loop", "_timer", "stage")

    def __init__(self, late: Callable[[], None]) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        self._due = math.inf
        self.stage = ""
        """Its name, for who sets it."""

    def set(self, stage: str, seconds: float) -> None:
        """A stage begins, and has so long."""
        self.stage = stage
        self._due = due = self._loop.time() + seconds
        if self._timer is None or due < self._fires_at:
            self._start_timer(due)

    def put_off(self) -> None:
        """The stage may last."""
        self._due = math.inf

    def end(self) -> None:
        """Nothing is ever late again."""
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = due
        self._timer = self._loop.call_at(due, self._fired)

    def _fired(self) -> None:
        self._timer = None
        if self._due <= self._fires_at:
            self._due = math.inf
            self._late()
        elif self._due < math.inf:
            self._start_timer(self._due)
