"""Between a near answer that the verdict allows and the client: the bound, shadow mode, and what both teach."""

from __future__ import annotations

from typing import Any

from balancer.cache.bound import Bound
from balancer.cache.store import Hit
from balancer.exchange.checking import Checks
from balancer.exchange.ports import Clock
from balancer.request import Request


class Trial:
    """One lookup's. ``withheld`` is the first answer that the verdict alone would have served."""

    __slots__ = ("_bound", "_now", "_shadow", "withheld")

    def __init__(self, bound: Bound, shadow: bool, now: float) -> None:
        self._bound = bound
        self._shadow = shadow
        self._now = now
        self.withheld: Hit | None = None

    def admit(self, hit: Hit) -> str | None:
        """Why a near answer is not served; ``None`` if it is."""
        if self._shadow and self.withheld is not None:
            return "shadow"  # one is decided on, as it would be served
        reason = None if self._bound.admits(hit.entry, hit.probability, self._now) else "bound"
        if reason is not None:
            self._bound.withheld += self.withheld is None
        else:
            self._bound.serves(hit.entry, hit.probability, self._now)
            reason = "shadow" if self._shadow else None
        if reason is not None and (self.withheld is None or reason == "shadow"):
            self.withheld = hit
        return reason


class Trials:
    """All lookups' trials. In shadow mode near answers are decided on, counted and compared, but never served; then
    what `Bound` counts as served would have been."""

    def __init__(self, bound: Bound, clock: Clock, *, shadow: bool = False) -> None:
        self.bound = bound
        self._clock = clock
        self.shadow = shadow
        self.checks: Checks | None = None
        """Who asks a backend as well, if anybody does."""
        self._saved_tokens = 0
        self._saved_s = 0.0

    def begin(self) -> Trial:
        return Trial(self.bound, self.shadow, self._clock.time())

    def served(self, request: Request, model: str, question: str, hit: Hit) -> None:
        """A near answer went to the client."""
        self._count_saved(hit)
        if self.checks is not None:
            self.checks.served(request, model, question, hit)

    def answered(self, request: Request, model: str, question: str, withheld: Hit, fresh: str) -> None:
        """A backend answered what an entry might have."""
        if self.shadow:
            self._count_saved(withheld)
        if self.checks is not None:
            self.checks.withheld(request, model, question, withheld, fresh, as_served=self.shadow)

    def advance(self, now: float) -> None:
        """Every tick."""
        if self.checks is not None:
            self.checks.advance(now)

    def stats(self) -> dict[str, Any]:
        """For the status page. ``saved``: what near answers saved; in shadow mode, would have saved."""
        return {
            **self.bound.stats(),
            "shadow": self.shadow,
            "saved": {"tokens": self._saved_tokens, "seconds": round(self._saved_s, 3)},
            "checking": self.checks.stats() if self.checks is not None else None,
        }

    def _count_saved(self, hit: Hit) -> None:
        self._saved_tokens += hit.entry.completion_tokens or 0
        self._saved_s += hit.entry.made_s
