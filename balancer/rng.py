"""Where chance comes from, for rooms that draw none themselves."""

from __future__ import annotations

from typing import Protocol


class Rng(Protocol):
    """A source of random numbers, such as `random.Random`."""

    def random(self) -> float:
        """In [0, 1)."""
        ...
