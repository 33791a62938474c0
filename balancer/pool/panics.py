"""Notices, for the log, when so many backends of a model are ejected that ejections are not heeded.

Routing decides by itself, for each request, by who could serve it (`routing/panic.py`); this looks at models only.
"""

from __future__ import annotations

from typing import NamedTuple

from balancer.pool.backend import State
from balancer.pool.ledger import IN_SERVICE, Ledger
from balancer.pool.view import PoolView


class Panic(NamedTuple):
    """One that begins."""

    model: str
    ejected: int
    of: int


class PanicWatch:
    """Remembers which models are in a panic."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._models: dict[str, None] = {}

    def look(self, view: PoolView) -> tuple[list[Panic], list[str]]:
        """Panics that began since the last look, and models whose panic is over."""
        if not (self._ledger.gated or self._models):
            return [], []
        panics = {panic.model: panic for panic in self._panics(view)}
        began = [panic for model, panic in panics.items() if model not in self._models]
        over = [model for model in self._models if model not in panics]
        self._models = dict.fromkeys(panics)
        return began, over

    def _panics(self, view: PoolView) -> list[Panic]:
        found: list[Panic] = []
        gate = self._ledger.gate
        for model, backends in view.models().items():
            serving = [b.index for b in backends if b.state in (State.ALIVE, State.SUSPECT)]
            ejected = sum(gate[index] != IN_SERVICE for index in serving)
            if ejected > self._ledger.panic_share * len(serving):
                found.append(Panic(model, ejected, len(serving)))
        return found
