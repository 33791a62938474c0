"""One simulated request, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BLOCK_TOKENS = 16
"""Of the engines' prefix caches."""
ROUTED_BLOCK_TOKENS = 64
"""What the balancer hashes at a time: 256 bytes of text."""


class Ask(NamedTuple):
    """What a client asks. Blocks are the identities of each 16 tokens of the text together with all before them."""

    tenant: str
    session: str
    prompt_tokens: int
    output_tokens: int
    blocks: Sequence[int] = ()
    """Of the prompt."""
    then: Sequence[int] = ()
    """Of prompt and answer, as the engine's cache holds them afterwards."""


@dataclass(slots=True, eq=False)
class Asked:
    """An `Ask` on its way. Times in seconds; -1 for what has not happened."""

    ask: Ask
    at: float
    first_at: float = -1.0
    ended_at: float = -1.0
    backend: int = -1
    cached_tokens: int = 0
    attempts: int = 0
    excluded: frozenset[str] = field(default_factory=frozenset)

    @property
    def ttft_s(self) -> float:
        return self.first_at - self.at

    @property
    def itl_s(self) -> float:
        return (self.ended_at - self.first_at) / max(1, self.ask.output_tokens - 1)
