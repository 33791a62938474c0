"""What a bound knows of one pool of entries, and of one entry."""

from __future__ import annotations

from balancer.cache.observations import BINS, Tally
from balancer.cache.posterior import Floats


class Pool:
    """One tenant's entries for one model."""

    __slots__ = ("informed", "learned", "limit", "looked_at", "offers", "tally", "weights")

    def __init__(self, now: float) -> None:
        self.tally = Tally()
        self.informed = False
        """Anything was ever learned."""
        self.learned = 0
        """How often its numbers were worked out."""
        self.limit = BINS
        self.weights: Floats | None = None
        self.looked_at = now
        self.offers = 0
        """Since it was looked at."""


class Record:
    """What one entry's answer was found to be."""

    __slots__ = ("alone", "created", "learned", "limit", "tally")

    def __init__(self, created: float) -> None:
        self.created = created
        self.tally = Tally()
        self.limit = BINS
        """Bins below are served if the pool serves them; from here on the entry's own record speaks against it."""
        self.alone = 0
        """Bins below are served whatever the pool does."""
        self.learned = 0
        """Of which state of its pool that is."""
