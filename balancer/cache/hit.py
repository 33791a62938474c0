"""An entry that answers a request, and why it may."""

from __future__ import annotations

from typing import Literal, NamedTuple

from balancer.cache.entry import Entry


class Hit(NamedTuple):
    """An entry that answers."""

    kind: Literal["exact", "semantic"]
    entry: Entry
    similarity: float | None
    """Cosine of the questions' embeddings; ``None`` for an exact hit."""
    probability: float | None = None
    """That the answer is right, where the learned verdict judged."""
