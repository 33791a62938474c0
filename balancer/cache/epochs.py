"""Forgetting all entries, or all of a model, at once: a number that is part of every key.

Nothing is searched: keys made with another number find no earlier entry, which leaves as the least recently used.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

MODELS_MAX: Final = 1000
"""Models forgotten one by one; the next forgets all."""
_COUNTER_BITS: Final = 20


class Epochs:
    """Counts are never used twice, so that what was forgotten stays forgotten."""

    __slots__ = ("_all", "_base", "_latest", "_models")

    def __init__(self, version: str = "") -> None:
        """``version``: the operator's own name for what the answers were made with; another one finds none of them."""
        digest = blake2b(version.encode("utf-8", "surrogatepass"), digest_size=5).digest() if version else b""
        self._base = int.from_bytes(digest, "big") << _COUNTER_BITS
        self._latest = 0
        self._all = 0
        self._models: dict[str, int] = {}

    def of(self, model: str) -> int:
        """The number in the keys of this model's requests."""
        return self._base + self._models.get(model, self._all)

    def advance(self, model: str | None = None) -> None:
        """Forget what this model answered; ``None``: what all did."""
        self._latest += 1
        if model is None or (model not in self._models and len(self._models) >= MODELS_MAX):
            self._models.clear()
            self._all = self._latest
        else:
            self._models[model] = self._latest

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"latest": self._latest, "all": self._all, "models": dict(self._models)}

    def restore(self, told: object) -> None:
        """Go on from what `as_dict` gave earlier; anything else, damaged, forgets nothing and is passed over."""
        if not isinstance(told, dict):
            return
        models = told.get("models")
        counts = [told.get("latest"), told.get("all"), *(models.values() if isinstance(models, dict) else [None])]
        if not all(type(count) is int and 0 <= count < 1 << _COUNTER_BITS for count in counts):
            return
        self._latest, self._all, self._models = counts[0], counts[1], dict(models or {})

    def merge(self, told: object) -> None:
        """Go on from what `as_dict` gave elsewhere, and forget what was forgotten here, too."""
        here = self.as_dict()
        self.restore(told)
        self._latest = max(self._latest, here["latest"])
        if here["all"]:
            self.advance()
        for model in here["models"]:
            self.advance(model)
